"""`docs/reference/events.md` as the event classes say it.

PYTHONPATH=tests python tests/support/event_reference.py > docs/reference/events.md
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator

from actors.events import EVENT_TYPES, Event

HEAD = """\
# Events

What happens in a node is an event: a frozen value with fields, published once, by the one place that knows. Log lines,
`actorctl events`, taps and the history are made from the same events, so they cannot contradict each other.

This page is made from `actors.events` (`tests/support/event_reference.py`), and a test holds the two together.

Every event has `at` (wall clock, seconds since the epoch, UTC) and `path` (what it is about; `/` is the root, or the
node). In a node each gets a number, `seq`, counted from 1 by each run of the node. Fields are only ever added.

| where | what becomes of an event |
|---|---|
| log lines on stderr | one line, by the severity; metrics and `TreeChanged` are left out |
| `actorctl events` | the latest ones, from the node's memory; metrics and `TreeChanged` are left out |
| `actorctl tap` | topic `a1/<topic>/<path>/`; see [the wire](wire.md) |
| `actorctl sql` | a row of the table `events`, and one of a table of its own; see [the history](history.md) |

A severity is `info`, `warning` or `error`. An exit reason has a kind (`normal`, `shutdown`, `killed`, `crashed`), a
detail, and for a crash the error's type, text and traceback, with the chain of causes below it.
"""


def reference() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_overview(), *(line for event in EVENT_TYPES for line in _event(event))]).rstrip() + "\n"


def _overview() -> Iterator[str]:
    yield "| event | topic | severity |\n|---|---|---|"
    for event in EVENT_TYPES:
        yield f"| [`{event.__name__}`](#{event.__name__.lower()}) | `{event.TOPIC}` | {_severity(event)} |"
    yield ""


def _event(event: type[Event]) -> Iterator[str]:
    text, _, attributes = inspect.cleandoc(event.__doc__ or "").partition("\n\nAttributes:\n")
    described = dict(_described(textwrap.dedent(attributes)))
    yield f"## `{event.__name__}`\n"
    yield f"{text}\n"
    yield "| field | type | |\n|---|---|---|"
    for name, kind in _own_fields(event).items():
        yield f"| `{name}` | `{kind}` | {described.get(name, '')} |"
    yield ""


def _described(attributes: str) -> Iterator[tuple[str, str]]:
    for name, text in re.findall(r"^(\w+): (.*(?:\n +.*)*)", attributes, re.M):
        yield name, re.sub(r"\s+", " ", text)


def _own_fields(event: type[Event]) -> dict[str, str]:
    """The annotations as they are written in the class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(event))).body
    assert isinstance(tree, ast.ClassDef)
    fields = (node for node in tree.body if isinstance(node, ast.AnnAssign))
    return {
        node.target.id: ast.unparse(node.annotation)
        for node in fields
        if isinstance(node.target, ast.Name) and not node.target.id.isupper()
    }


def _severity(event: type[Event]) -> str:
    own = vars(event).get("severity")
    text = inspect.cleandoc(own.__doc__).rstrip(".") if own is not None else ""
    return f"`{event.SEVERITY}`; {text[0].lower()}{text[1:]}" if text else f"`{event.SEVERITY}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
