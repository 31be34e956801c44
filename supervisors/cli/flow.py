"""Events as a command wants them: filtered, with the tap's gaps and restarts told to people.

What comes first and whether gaps are filled is the follower's (`transport.following`); here its items become views.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from actors.addresses import is_within, matches
from supervisors.cli.calling import Call
from supervisors.cli.connection import Node, check_running
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.selecting import checked
from supervisors.cli.texts import WhenError, parse_when, plural
from supervisors.selectors import GLOB_CHARACTERS
from supervisors.views import TopicView

if TYPE_CHECKING:
    from transport.following import FollowerStatistics
    from transport.taps import Gap, TapEvent

SILENCE: Final = 5.0
"""Seconds without a beat after which it is looked whether the node is still there."""

SEVERITIES: Final = ("info", "warning", "error")


class Wanted(Struct, frozen=True):
    """Which events are shown. Empty: all of them.

    Attributes:
        paths: Paths and globs; a path takes what is below it too.
        types: Topics and types; a trailing `*` takes the rest.
        severities: Severities.
    """

    paths: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()

    def takes(self, event: TopicView) -> bool:
        """Whether `event` is one of them."""
        return (
            (not self.paths or any(_is_about(event.path, path) for path in self.paths))
            and (not self.types or any(_is_type(event, kind) for kind in self.types))
            and (not self.severities or event.severity in self.severities)
        )

    @property
    def root(self) -> str:
        """The one path to subscribe to, which holds all that is wanted."""
        if len(self.paths) == 1 and GLOB_CHARACTERS.isdisjoint(self.paths[0]):
            return self.paths[0]
        return "/"


class First(Struct, frozen=True):
    """What comes before the live events, and what becomes of gaps.

    Attributes:
        since: What the history has from this instant on.
        has_snapshot: The newest event of each topic.
        is_lossless: Gaps are filled from the history.
        name: What the reader calls itself towards the node.
    """

    since: datetime | None = None
    has_snapshot: bool = False
    is_lossless: bool = False
    name: str = ""


class Flow:
    """The events of one node, one after another; close it. Notices that the node has ended."""

    def __init__(
        self,
        call: Call,
        node: Node,
        wanted: Wanted,
        topics: Sequence[str] | None,
        first: First = First(),
    ) -> None:
        from transport.errors import ControlError
        from transport.following import Follower, Since
        from transport.taps import TapReader
        from transport.taps.reader import JOIN

        self._call = call
        self._wanted = wanted
        self._node = node
        self._is_lossless = first.is_lossless
        classes = event_classes(topics)
        try:
            self._reader = TapReader(
                node.endpoints.taps,
                classes=classes,
                path=wanted.root,
                keys=node.keys,
                join=max(JOIN, node.seconds),
            )
        except ControlError as error:
            raise CommandError(str(error.code), error.message, error.hint) from None
        try:
            self._follower = Follower(
                self._reader,
                node.client,
                classes=tuple(classes or ()),
                path=wanted.root,
                since=Since(first.since, first.has_snapshot),
                lossless=first.is_lossless,
                name=first.name,
            )
        except BaseException:
            self._reader.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._follower.close()
        self._reader.close()

    def statistics(self) -> FollowerStatistics:
        """Return what came, and what did not."""
        return self._follower.statistics()

    def events(self, timeout: float | None) -> Iterator[TopicView]:
        """Yield what is wanted, and a view of type `Gap` or `Restarted` where that happened; ends at the time-out."""
        from transport.taps import Gap, Restarted

        until = None if timeout is None else time.monotonic() + timeout
        checked_at = 0.0
        while True:
            left = SILENCE if until is None else min(SILENCE, until - time.monotonic())
            if left <= 0:
                return
            item = self._follower.read(left)
            if item is None:
                is_silent = self._follower.is_live and self._reader.silence > SILENCE
                if is_silent and time.monotonic() - checked_at > SILENCE:
                    checked_at = time.monotonic()
                    if not self._node.is_elsewhere:
                        check_running(self._node.place)
            elif isinstance(item, Gap):
                self._tell_gap(item)
                yield _gap(item)
            elif isinstance(item, Restarted):
                self._call.note("the node was started anew; numbers start again")
                yield TopicView(
                    seq=0, topic_seq=0, epoch=item.now, at=datetime.now(UTC), topic="daemon", path="/", type="Restarted"
                )
            else:
                event = _view(item)
                if self._wanted.takes(event):
                    yield event

    def _tell_gap(self, gap: Gap) -> None:
        sign = self._call.output.err_terminal.glyph("⚠", "!")
        if not gap.event_class:
            self._call.note(f"{sign} what happened from number {gap.after_seq} on could not be fetched: {gap.why}")
            return
        count = f"{'' if gap.is_exact else 'at least '}{plural(gap.missing, 'event')}"
        topic = f"{gap.event_class} {gap.path}"
        if self._is_lossless:
            self._call.note(f"{sign} {count} missed on {topic}, and not to be had: {gap.why}")
        else:
            self._call.note(f"{sign} {count} missed on {topic} (slow reader); with --lossless none would be")


def wanted_events(paths: Sequence[str] | None, types: Sequence[str] | None, severities: Sequence[str] | None) -> Wanted:
    """Return the filter that the options say.

    Raises:
        CommandError: `usage`: one of them is no path or severity.
    """
    for severity in severities or ():
        if severity not in SEVERITIES:
            raise usage(f"--severity: {severity!r} is no severity", f"there are {', '.join(SEVERITIES)}")
    chosen = tuple(checked(path) for path in paths or ())
    if any(path.startswith("@") for path in chosen):
        raise usage("events are about paths, not about states", "actorctl events '/io/*'")
    return Wanted(chosen, tuple(types or ()), tuple(severities or ()))


def event_classes(topics: Sequence[str] | None) -> list[str] | None:
    """Return the topic classes that were named, globs expanded; None for all.

    Raises:
        CommandError: `not_found`: one names none.
    """
    from transport.taps import CLASSES

    found: list[str] = []
    for topic in topics or ():
        named = [name for name in CLASSES if fnmatchcase(name, topic)]
        if not named:
            near = get_close_matches(topic, CLASSES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CLASSES)}"
            raise CommandError("not_found", f"there is no topic class {topic!r}", hint)
        found.extend(named)
    return found or None


def instant_of(text: str, command: str) -> datetime | None:
    """Return the instant that `--since` of `command` names; None for "".

    Raises:
        CommandError: `usage`: it names none.
    """
    if not text:
        return None
    try:
        return parse_when(text, datetime.now(UTC))
    except WhenError as error:
        raise usage(f"--since: {error}", f"actorctl {command} --since 30m") from None


def _view(item: TapEvent) -> TopicView:
    header = item.header
    return TopicView(
        seq=header.seq,
        topic_seq=header.tseq,
        epoch=header.epoch,
        at=datetime.fromisoformat(header.time),
        topic=item.event_class,
        path=item.path,
        type=_camel(header.type),
        severity=header.severity,
        data={key: value for key, value in item.body.items() if key not in {"at", "path"}},
        origin=item.origin.value,
    )


def _gap(gap: Gap) -> TopicView:
    return TopicView(
        seq=0,
        topic_seq=gap.before,
        epoch=gap.epoch,
        at=datetime.now(UTC),
        topic=gap.event_class,
        path=gap.path,
        type="Gap",
        severity="warning",
        data={"why": gap.why} if gap.why else {},
        missed=gap.missing,
    )


def _is_about(path: str, wanted: str) -> bool:
    return matches(path, wanted) if GLOB_CHARACTERS & set(wanted) else is_within(path, wanted)


def _is_type(event: TopicView, kind: str) -> bool:
    return fnmatchcase(event.topic, kind) or fnmatchcase(event.type, kind)


def _camel(word: str) -> str:
    """Return `ActorExited` for `actors.actor_exited`."""
    return "".join(part.capitalize() for part in word.rpartition(".")[2].split("_"))
