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


class PrunedView(View, frozen=True, gc=False):
    """What was forgotten of the history, or would be.

    Attributes:
        table: Whose rows.
        outcome: `gone`, or `would go` in a dry run.
        rows: How many; 0 where the file they were in cannot be read.
        size_bytes: Bytes of the disk that are free then; 0 for rows of the database, which keeps their room for others.
        file: The sealed file they were in, below the folder of the files; "" for rows of the database.
    """

    table: str
    outcome: str
    rows: int = 0
    size_bytes: int = 0
    file: str = ""


class HistoryPrunedView(View, frozen=True):
    """The answer to `history-prune`.

    Attributes:
        used_bytes: Bytes of the database in use.
        free_bytes: Bytes of it that new rows take before it grows.
        why: What stood in the way, or cannot be said before, or "".
    """

    items: tuple[PrunedView, ...] = ()
    used_bytes: int = 0
    free_bytes: int = 0
    why: str = ""


class HistoryCopyView(View, frozen=True):
    """The answer to `history-copy`: where the copy lies, how far it is sealed, and rows of the database by table."""

    folder: str
    sealed: int = -1
    rows: dict[str, int] = {}


class HistoryCheckView(View, frozen=True, gc=False):
    """A part of the history that was verified.

    Attributes:
        what: `table`, as queries see it; `database`; `published`, `sealed` or `catalog`, a file; `batches`.
        name: Its name; a file's path below the folder; the source of a gap.
        outcome: `ok`, `damaged`, `missing`, or `gap`: batches that never came, or were lost.
        rows: Rows in it; of a gap, batches.
        size_bytes: Of a file.
        about: What is wrong.
    """

    what: str
    name: str
    outcome: str
    rows: int = 0
    size_bytes: int = 0
    about: str = ""
