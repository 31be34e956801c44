"""Views that answer `reload`: what a configuration changes in the running tree, and what became of it."""

from __future__ import annotations

from supervisors.views.base import View


class ReloadItem(View, frozen=True, gc=False):
    """One thing that the configuration changes.

    Attributes:
        path: A path in the tree, or the key of a setting of the node.
        action: `add`, `remove`, `replace`, `rolling` or `update` for the tree; `setting` for a setting that counts at
            once, `needs-restart` for one that counts from the next start of the node on.
        changes: In what it differs.
        outcome: `planned`, `done` or `failed`.
        message: Why it failed.
    """

    path: str
    action: str
    changes: tuple[str, ...] = ()
    outcome: str = "planned"
    message: str = ""


class ReloadView(View, frozen=True):
    """Answer to `reload`.

    Attributes:
        items: What changes, in the order of the tree.
        unchanged: Workers that nothing happens to.
        faults: Why the configuration was refused whole; nothing was changed then.
        seconds: How long it took.
        code: Where it was refused for another reason than a fault of the configuration: the error's code.
    """

    items: tuple[ReloadItem, ...] = ()
    unchanged: int = 0
    faults: tuple[str, ...] = ()
    seconds: float = 0.0
    code: str = ""
