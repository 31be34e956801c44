"""What `actorctl history` answers with: files, and what was done with them."""

from __future__ import annotations

from supervisors.views.base import View


class HistoryFileView(View, frozen=True):
    """A file of the history.

    Attributes:
        what: `catalog`, `manifest`, `folder`, `database`, or the table whose rows it holds.
        is_there: Whether there is such a file now.
        about: What it is for.
    """

    what: str
    path: str
    size_bytes: int
    is_there: bool
    about: str = ""
