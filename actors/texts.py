"""Text as files and wires take it: what UTF-8 cannot say is written out with backslashes."""

from __future__ import annotations


def storable(text: str) -> str:
    """Return `text` with its lone surrogates written out, `\\udce9`; a file name that is no UTF-8 has such."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
