"""The texts of `actorctl help TOPIC`; what can be derived from code is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from supervisors.cli.failures import EXIT_MEANINGS
from supervisors.cli.states import LOOKS
from supervisors.cli.terminal import Terminal, wrap
from supervisors.views import NodeState

PATHS: Final = """\
Actors have paths: / is the root, /io a supervisor, /io/gmail a child of it. Paths stay the same across restarts.

A selector chooses nodes:
  /io/gmail      one path
  '/io/*'        the children of /io; * is any run of characters within a segment, ? one character
  '/agents/**'   /agents and everything below it
  @restarting    every node in that state; @failed is failed, quarantined, abandoned or parked
Quote globs, or the shell reads them as file names. Commands that change something need at least one selector;
an empty one is refused, since an unset variable must not mean everything. Try a selector with: actorctl ps SELECTOR
"""

OPTIONS: Final = """\
These stand before or after the command:
  --home DIR           home of the runtime; else ACTORCTL_HOME; else the nearest .actors here or above; else ~/.actors
  --endpoint FILE      an endpoints.json (or a home) to use instead
  --timeout DURATION   longest wait: 500ms, 30s, 1h30m
  -o, --output FORMAT  table, wide, json, jsonl, csv or name
  --columns A,B        which columns, for table, wide and csv
  --sort COLUMN        by a column; -COLUMN is descending
  --limit N            at most N items
  --color WHEN         auto, always or never
  --utc                times in UTC
  -q, --quiet          no notes and no hints
  -v, --verbose        tracebacks of errors
  -y, --yes            answer questions with yes
  --no-input           never ask
"""

OUTPUT: Final = """\
Data goes to stdout; notes, hints and errors go to stderr. Nothing is ever cut;
only `why` keeps to one screen of a terminal.

  table   aligned columns, the last one wrapped; on a terminal too narrow for that, one block a row
  wide    the same with every column
  json    one document: {"kind": ..., "apiVersion": "actors/v1", "items": [...]}; the schemas: actorctl schema
  jsonl   one item a line; so do streams (events -f, tap) under -o json too
  csv     raw values with a header line; instants in ISO-8601
  name    what identifies each item, one a line: actorctl ps @failed -o name | xargs actorctl reset

Under -o json and -o jsonl an error is a document of kind Error on one line of stderr. Fields are only ever added.
A pipe gets the same text as a terminal, uncoloured and as wide as it needs to be.
"""

ENVIRONMENT: Final = """\
  ACTORCTL_HOME    home of the runtime, as --home
  ACTORCTL_TIMEOUT longest wait for the answer to a reading command, where there is no --timeout; else 5s
  NO_COLOR         no colours, when set and not empty
  FORCE_COLOR      colours even into a pipe, when set and neither empty nor 0
  TERM=dumb        no colours
  ACTORCTL_GLYPHS  ascii or unicode; else the locale decides (LC_ALL, LC_CTYPE, LANG)
  COLUMNS          width of the terminal; a pipe has none
  ACTORS_...       a configuration value: ACTORS_RUNTIME__DRAIN=10s is [runtime] drain; see: actorctl help config
"""

TAPS: Final = """\
A tap shows events while they happen, read from the node's ZeroMQ publisher; nothing waits for it.
  actorctl tap                            everything
  actorctl tap actor.exit supervisor.*    by topic class
  actorctl tap --path '/io/**' -o jsonl   below a path, for a program
  actorctl tap --since 1h                 first what the history has, then what happens
  actorctl tap actor.state --snapshot     first the newest event of each topic
  actorctl tap --lossless                 what a slow reader misses comes from the history
  actorctl taps                           who reads, and how far behind
  actorctl tap schema                     what is on a tap, as an AsyncAPI document
Events of one topic are numbered. A reader that is too slow misses some: the gap is reported with its size, and with
--strict ends the tap with 5.
"""

CONFIG: Final = """\
actors.toml says what runs, where, with which limits; behaviour is Python. A value is taken from, first found first:
a flag of actorctl run, the environment (ACTORS_..., __ is a level), the file, the default.
  actorctl init            write a commented actors.toml and an own actor
  actorctl check           every fault with file, line, key and what would be right; ends with 8
  actorctl config show     every value in effect and where it came from
Secrets stand in the file by reference only and are never shown.
"""


def exit_codes(_terminal: Terminal) -> list[str]:
    """Return the exit codes and their meanings."""
    lines: list[str] = []
    for code, (of_command, of_node) in EXIT_MEANINGS.items():
        lines.append(f"  {int(code):>3}  {of_command}")
        if of_node:
            lines.append(f"       as the end of actorctl run: {of_node}")
    return lines


def states(terminal: Terminal) -> list[str]:
    """Return the states with their glyphs."""
    found = ((LOOKS[state], state) for state in NodeState)
    return [f"  {terminal.glyph(look.glyph, look.plain)} {look.word:<15} @{state.value}" for look, state in found]


def _text(text: str) -> Callable[[Terminal], Iterable[str]]:
    def lines(terminal: Terminal) -> Iterable[str]:
        for line in text.rstrip("\n").split("\n"):
            indent = line[: len(line) - len(line.lstrip())]
            width = terminal.width
            yield from [line] if width is None or len(line) <= width else wrap(line.lstrip(), width, indent)

    return lines


TOPICS: Final[dict[str, tuple[str, Callable[[Terminal], Iterable[str]]]]] = {
    "exit-codes": ("what the numbers mean that commands end with", exit_codes),
    "environment": ("environment variables", _text(ENVIRONMENT)),
    "paths": ("paths and selectors", _text(PATHS)),
    "states": ("states, their glyphs and selectors", states),
    "options": ("options that all commands share", _text(OPTIONS)),
    "output": ("formats, and what programs may rely on", _text(OUTPUT)),
    "taps": ("events while they happen", _text(TAPS)),
    "config": ("the configuration file", _text(CONFIG)),
}
"""What each topic is about, and its text."""
