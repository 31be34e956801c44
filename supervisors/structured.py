"""structlog's loggers as a front of the standard library's logging, so that their lines are lines of the node.

Code of a user that calls `structlog.get_logger()` needs no configuration of its own: what it binds and says becomes the
fields of an ordinary log record, which goes through the levels, the redaction and the files of every other. structlog
is not imported for it, for that would take an eighth of a second in each process: it is configured as soon as somebody
else imports it. A program that has configured structlog itself keeps what it chose.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import MutableMapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from supervisors.logfields import FIELDS

NAME: Final = "structlog"


def install() -> None:
    """Configure structlog, now if it is imported, else when it is. Once a process; any thread."""
    module = sys.modules.get(NAME)
    if module is not None:
        _configure(module)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Waits for the import of structlog; finds nothing by itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(NAME)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)  # it may be installed while the program runs
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _configure(module)

        loader.exec_module = exec_module
        return spec


def _configure(structlog: Any) -> None:
    """Have structlog make records, unless somebody told it what to do."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            to_record,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def to_record(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with which the standard library's logger makes the record: structlog's last processor."""
    text = event.pop("event", "")
    given = {key: event.pop(key) for key in ("exc_info", "stack_info", "stacklevel") if key in event}
    return (text,), {**given, "extra": {FIELDS: event}}
