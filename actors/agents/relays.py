"""Tasks that ask the I/O services: mail, browser, telephony, voice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from actors.agents.context import Context, Result, TaskFailedError
from actors.jobs.files import write_atomic
from actors.jobs.offload import Cancel
from actors.jobs.requests import CheckBrowser, CheckTelephony, ListUnseen, Speak, Transcribe, UnseenMail

_AUDIO: Final = (".wav", ".flac", ".mp3", ".ogg", ".m4a")
_TEXT_LIMIT: Final = 20_000
_AT_ONCE: Final = 5

MAIL, BROWSER, TELEPHONY = "/io/gmail", "/io/browser", "/io/twilio"
SPEECH_OUT, SPEECH_IN = "/io/tts", "/io/stt"


async def mail_sync(context: Context) -> Result:
    """Keep the heads of the newest unseen mail in `<home>/mail.json`; tell how many are new since the last run."""
    found = await context.request(MAIL, ListUnseen(limit=20))
    known: set[str] | None = context.memory.get("uids")
    uids = {head.uid for head in found.heads}
    new = len(uids - known) if known is not None else 0
    context.memory["uids"] = uids
    context.metric("mail.unseen", float(found.unseen), "count")
    await context.blocking(_keep_mail, context, found)
    return Result(f"{found.unseen} unseen in {found.mailbox}, {new} new", idle=known is not None and not new)


def _keep_mail(_: Cancel, context: Context, found: UnseenMail) -> None:
    write_atomic(context.home / "mail.json", msgspec.json.format(msgspec.json.encode(found)) + b"\n")


async def browser_health(context: Context) -> Result:
    """Ask the browser who it is; how long it takes is its health."""
    found = await context.request(BROWSER, CheckBrowser())
    context.metric("browser.answer_seconds", found.seconds, "seconds")
    context.metric("browser.targets", float(found.targets), "count")
    return Result(f"{found.browser}, {found.targets} targets, answered in {found.seconds * 1000:.0f} ms")


async def telephony_status(context: Context) -> Result:
    """Ask for the account's status."""
    found = await context.request(TELEPHONY, CheckTelephony())
    context.metric("telephony.answer_seconds", found.seconds, "seconds")
    if found.status != "active":
        raise TaskFailedError(f"the account is {found.status}")
    return Result(f"account {found.name} is active, answered in {found.seconds * 1000:.0f} ms")


async def voice_queue(context: Context) -> Result:
    """Speak the texts that wait in `<home>/voice/out`, write down the recordings that wait in `<home>/voice/in`.

    What was worked through is moved to `voice/done`; a transcript lies there beside its recording. A file whose service
    is not configured waits.
    """
    spoken = written = 0
    if context.outside.is_there(SPEECH_OUT):
        for path in await context.blocking(_waiting, context.home / "voice" / "out", (".txt",)):
            text = await context.blocking(_read, path)
            await context.request(SPEECH_OUT, Speak(text, f"{path.stem}.wav"))
            await context.blocking(_done, context, path, None)
            spoken += 1
    if context.outside.is_there(SPEECH_IN):
        for path in await context.blocking(_waiting, context.home / "voice" / "in", _AUDIO):
            transcript = await context.request(SPEECH_IN, Transcribe(str(path)))
            await context.blocking(_done, context, path, transcript.text)
            written += 1
    if not spoken and not written:
        return Result("nothing waits", idle=True)
    return Result(f"spoke {spoken} texts, wrote down {written} recordings")


def _waiting(_: Cancel, directory: Path, endings: tuple[str, ...]) -> list[Path]:
    try:
        found = [
            Path(entry.path)
            for entry in os.scandir(directory)
            if entry.is_file(follow_symlinks=False) and entry.name.lower().endswith(endings) and entry.name[0] != "."
        ]
    except FileNotFoundError:
        return []
    return sorted(found)[:_AT_ONCE]


def _read(_: Cancel, path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_TEXT_LIMIT).decode("utf-8", "replace")


def _done(_: Cancel, context: Context, path: Path, transcript: str | None) -> None:
    done = context.home / "voice" / "done"
    done.mkdir(parents=True, exist_ok=True)
    if transcript is not None:
        write_atomic(done / f"{path.stem}.txt", transcript.encode() + b"\n")
    os.replace(path, done / path.name)
