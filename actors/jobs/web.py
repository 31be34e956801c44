"""One HTTP request: bounded in time and size, no redirect followed (a credential goes to the host it is for alone)."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

from msgspec import Struct

from actors.errors import ActorRuntimeError


class WebError(ActorRuntimeError, OSError):
    """A request had no answer, or one of the wrong kind; the text names the URL without its query."""


class Response(Struct, frozen=True):
    """An answer. Header names are in lower case; `body` is at most the limit asked for."""

    status: int
    headers: dict[str, str]
    body: bytes


def check_url(url: str) -> str:
    """Return `url` without a trailing slash if it is an http or https URL with a host.

    Raises:
        ValueError: It is not.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is no http:// or https:// URL")
    return url.rstrip("/")


def get(url: str, *, headers: dict[str, str] | None = None, timeout: float, limit: int = 1 << 20) -> Response:
    """Return the answer to one GET; blocks.

    Args:
        url: An http or https URL; certificates are verified.
        headers: Sent along.
        timeout: Seconds for each wait on the network.
        limit: Longest body read, in bytes.

    Raises:
        WebError: No connection, no answer in time, a broken or too long one.
        ValueError: `url` is no http URL.
    """
    parts = urlsplit(check_url(url))
    assert parts.hostname is not None  # check_url saw it
    shown = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "") + parts.path
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept": "application/json", **(headers or {})})
        with connection.getresponse() as answer:  # it holds the socket when the server closes the connection
            body = answer.read(limit + 1)
            if len(body) > limit:
                raise WebError(f"{shown} answered with more than {limit} bytes")
            return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
    except WebError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise WebError(f"{shown}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
