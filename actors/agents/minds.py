"""Tasks that keep who the system is and what it may use: identity, state of mind, rate limits of APIs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from actors.agents.context import Context, Result, TaskFailedError
from actors.jobs import commands, web
from actors.jobs.files import write_atomic
from actors.jobs.offload import Cancel

_LARGEST: Final = 1 << 20
_STATE_LIMIT: Final = 64 << 10


class Identity(Struct, frozen=True):
    """The content of `<home>/identity.json`: which version of the identity file is in force."""

    path: str
    sha256: str
    version: int
    since: float
    size_bytes: int


async def identity_sync(context: Context) -> Result:
    """Take over the identity file when it has changed: a numbered copy in `<home>/identity`, the version in force."""
    found, is_new = await context.blocking(_sync_identity, context)
    context.metric("identity.version", float(found.version), "count")
    if is_new:
        return Result(f"version {found.version} of {found.path}, {found.size_bytes} bytes")
    return Result(f"version {found.version} is unchanged", idle=True)


def _sync_identity(_: Cancel, context: Context) -> tuple[Identity, bool]:
    source = Path(context.text("file")).expanduser()
    if not source.is_absolute():
        source = context.root / source
    try:
        with source.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise TaskFailedError(f"{source}: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise TaskFailedError(f"{source} is larger than {_LARGEST} bytes")
    state = context.home / "identity.json"
    known = _known_identity(state)
    digest = hashlib.sha256(content).hexdigest()
    if known is not None and known.sha256 == digest and known.path == str(source):
        return known, False
    version = known.version + 1 if known is not None else 1
    write_atomic(context.home / "identity" / f"{version:06d}{source.suffix}", content)
    found = Identity(str(source), digest, version, context.outside.wall(), len(content))
    write_atomic(state, msgspec.json.encode(found) + b"\n")
    return found, True


def _known_identity(state: Path) -> Identity | None:
    try:
        return msgspec.json.decode(state.read_bytes(), type=Identity)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise TaskFailedError(f"{state} is damaged: {error}; remove it to begin at version 1") from error


async def soul_update(context: Context) -> Result:
    """Have the configured model command make the next state of mind from the last one, into `<home>/soul.json`.

    The command gets `{"at": …, "previous": {…} or null}` as JSON on its standard input, and answers with one object.
    """
    size, seconds = await context.blocking(_next_state, context)
    context.metric("soul.model_seconds", seconds, "seconds")
    return Result(f"new state of {size} bytes in {seconds:.1f} s")


def _next_state(cancel: Cancel, context: Context) -> tuple[int, float]:
    target = context.home / "soul.json"
    try:
        previous: object = msgspec.json.decode(target.read_bytes())
    except FileNotFoundError:
        previous = None
    except msgspec.DecodeError as error:
        raise TaskFailedError(f"{target} is damaged: {error}; remove it to begin anew") from error
    question = msgspec.json.encode({"at": context.outside.wall(), "previous": previous})
    command = context.words("model_command")
    try:
        output = commands.run(command, stdin=question, timeout=context.timeout + 1.0, cancel=cancel, limit=_STATE_LIMIT)
        state = msgspec.json.decode(output.stdout, type=dict)
    except commands.CommandError as error:
        raise TaskFailedError(str(error)) from error
    except msgspec.DecodeError as error:
        raise TaskFailedError(f"{command[0]} answered with no JSON object: {error}") from error
    data = msgspec.json.encode(state) + b"\n"
    write_atomic(target, data)
    return len(data), output.seconds


class RateLimit(Struct, frozen=True):
    """What one API said of its limit; None where it did not say.

    Attributes:
        reset: As the API gives it: seconds from now, or an instant.
        retry_after: Seconds to wait, from an API that is limiting now.
    """

    url: str
    status: int
    limit: float | None
    remaining: float | None
    reset: float | None
    retry_after: float | None


async def rate_limit(context: Context) -> Result:
    """Ask each URL once and keep what its headers say of the rate limit, in `<home>/rate-limits.json`."""
    found, failures = await context.blocking(_ask_all, context)
    for limit in found:
        if limit.limit and limit.remaining is not None:
            host = urlsplit(limit.url).hostname
            context.metric(f"api.remaining_ratio[{host}]", limit.remaining / limit.limit, "ratio")
    if failures:
        raise TaskFailedError("; ".join(failures))
    return Result("; ".join(_said(limit) for limit in found))


def _ask_all(cancel: Cancel, context: Context) -> tuple[list[RateLimit], list[str]]:
    found, failures = [], []
    urls = context.words("urls")
    for url in urls:
        cancel.check()
        try:
            answer = web.get(url, timeout=context.timeout / len(urls))
        except (web.WebError, ValueError) as error:
            failures.append(str(error))
            continue
        found.append(_limits(url, answer))
    write_atomic(context.home / "rate-limits.json", msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return found, failures


def _limits(url: str, answer: web.Response) -> RateLimit:
    def number(*names: str) -> float | None:
        for name in names:
            try:
                return float(answer.headers[name].split(",")[0].split(";")[0])
            except (KeyError, ValueError):
                continue
        return None

    return RateLimit(
        url,
        answer.status,
        number("x-ratelimit-limit", "ratelimit-limit", "x-rate-limit-limit"),
        number("x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining"),
        number("x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset"),
        number("retry-after"),
    )


def _said(limit: RateLimit) -> str:
    host = urlsplit(limit.url).hostname
    if limit.status == 429:
        wait = f", wait {limit.retry_after:.0f} s" if limit.retry_after is not None else ""
        return f"{host} is limiting now{wait}"
    if limit.limit is None or limit.remaining is None:
        return f"{host} answered {limit.status} and states no limit"
    return f"{host} has {limit.remaining:.0f} of {limit.limit:.0f} left"
