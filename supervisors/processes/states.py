"""What the machine of a process child (`supervisors.processes.core`) is made of: limits, states, events, effects."""

from __future__ import annotations

from math import inf
from typing import TypeAlias

from msgspec import Struct

from actors.exits import ExitReason

TERM_GRACE = 1.0
"""Seconds between TERM and KILL for a child that did not obey its stop message."""

DUMP_GRACE = 0.25
"""Seconds a silent child gets to write its stacks to stderr before KILL."""

HANDOVER_TIMEOUT = 2.0
"""Seconds a spare has to say hello once it was handed over, before another process is started in its place."""

HELLO_TIMEOUT = 30.0
"""Seconds a new process has to say hello where its start has no deadline of its own."""

LINGER = 5.0
"""Seconds a process may outlive its actor (exit hooks) before KILL."""


class Limits(Struct, frozen=True):
    """What a process child is held to, in seconds and bytes.

    Attributes:
        start_timeout: From the launch to ready; `inf` is without limit.
        heartbeat: Seconds between two heartbeats; `inf` is none.
        misses: Heartbeats that may be missed: the child is ended after `heartbeat * misses` seconds of silence.
        memory_max_bytes: Largest resident size of the process, or None.
        hello_timeout: From the process's making to its hello; `inf` leaves it to the deadline of the start.
        beats_early: Whether it beats from its hello to its end, as subtrees do; else from ready until it is to stop.
    """

    start_timeout: float = inf
    heartbeat: float = inf
    misses: int = 3
    memory_max_bytes: int | None = None
    hello_timeout: float = inf
    beats_early: bool = False

    @property
    def silence(self) -> float:
        """Longest accepted silence, in seconds."""
        return self.heartbeat * self.misses


# --- states -----------------------------------------------------------------------------------------------------------


class Spawning(Struct, frozen=True):
    """The process is being made. `doomed` is why it is to be killed as soon as it exists."""

    deadline: float
    doomed: ExitReason | None = None


class Starting(Struct, frozen=True):
    """The process exists; its actor is not ready. `greeted`: it proved who it is and was told what to run.

    `greet_by`: until when a spare must have done that; `inf` once it was given up; None for another process.
    `hello_by`: until when any process must have done it. `silent` and `looked_at`: as in `Running`, once it greeted.
    """

    deadline: float
    greeted: bool = False
    greet_by: float | None = None
    hello_by: float = inf
    silent: float = 0.0
    looked_at: float = 0.0


class Running(Struct, frozen=True):
    """The actor is ready. `silent` is the counted silence, `looked_at` when it was last counted."""

    silent: float
    looked_at: float


class Stopping(Struct, frozen=True):
    """The actor was asked to end with `reason`; its supervisor holds the patience. The rest: as in `Running`."""

    reason: ExitReason
    started: bool
    silent: float = 0.0
    looked_at: float = 0.0


class Terminating(Struct, frozen=True):
    """The stop was not obeyed and TERM was sent; KILL follows at `deadline`."""

    deadline: float
    started: bool


class Ending(Struct, frozen=True):
    """The child said how it ended (`ended`); its process has until `deadline` to be gone.

    `ended` is a reason, or the text of an ignore.
    """

    ended: ExitReason | str
    deadline: float
    started: bool


class Killing(Struct, frozen=True):
    """KILL was sent, or is sent at `deadline` once the child wrote its stacks; the end will be reported as `why`."""

    why: ExitReason
    deadline: float
    started: bool


class Ended(Struct, frozen=True):
    """The process is gone and its end was reported. Nothing happens any more."""


State: TypeAlias = Spawning | Starting | Running | Stopping | Terminating | Ending | Killing | Ended


# --- events -----------------------------------------------------------------------------------------------------------


class Spawned(Struct, frozen=True):
    """The process exists; `spare_at`: when it was handed over, where it is a spare that was waiting."""

    now: float
    spare_at: float | None = None


class SpawnFailed(Struct, frozen=True):
    """There is no process, for `reason`."""

    reason: ExitReason


class Greeted(Struct, frozen=True):
    """The child said hello with the right token, pid, path and generation."""

    now: float


class Ready(Struct, frozen=True):
    """The actor's `on_start` came back."""

    now: float


class Declined(Struct, frozen=True):
    """The actor answered its start with `Ignore(why)`."""

    now: float
    why: str


class ActorEnded(Struct, frozen=True):
    """The child says that its actor ended, or did not come to be (before ready)."""

    now: float
    reason: ExitReason


class Beat(Struct, frozen=True):
    """A heartbeat: the actor's mailbox answered."""

    now: float


class Sampled(Struct, frozen=True):
    """The process was measured."""

    rss_bytes: int


class Unhealthy(Struct, frozen=True):
    """Whoever asks the process whether it is well found that it is not: it is to be ended with `reason`."""

    now: float
    reason: ExitReason


class Tick(Struct, frozen=True):
    """Time passed."""

    now: float


class StopAsked(Struct, frozen=True):
    """The supervisor asks the child to end with `reason`."""

    reason: ExitReason


class KillAsked(Struct, frozen=True):
    """The supervisor ends the child now (TERM first, if it was asked to stop before)."""

    now: float


class ProcessEnded(Struct, frozen=True):
    """The process is gone, and with it everything it had started.

    Attributes:
        returncode: Its exit code, or the negative number of the signal that ended it.
        stderr: The last lines it wrote there.
    """

    returncode: int
    stderr: str = ""


Event: TypeAlias = (
    Spawned
    | SpawnFailed
    | Greeted
    | Ready
    | Declined
    | ActorEnded
    | Beat
    | Sampled
    | Unhealthy
    | Tick
    | StopAsked
    | KillAsked
    | ProcessEnded
)


# --- effects ----------------------------------------------------------------------------------------------------------


class SendStart(Struct, frozen=True):
    """Tell the child what to run."""


class SendStop(Struct, frozen=True):
    """Ask the child's actor to end with `reason`."""

    reason: ExitReason


class SendBye(Struct, frozen=True):
    """Tell the child that its last word was heard: it may exit."""


class Terminate(Struct, frozen=True):
    """Send TERM to the whole process group."""


class DumpStacks(Struct, frozen=True):
    """Have the process write the stacks of its threads to stderr."""


class KillTree(Struct, frozen=True):
    """Send KILL to the process, its group and its descendants."""


class SpawnAgain(Struct, frozen=True):
    """Make another process: the spare that was handed over is gone, and nothing of the user's ran in it."""


class ReportStarted(Struct, frozen=True):
    """The child is ready."""


class ReportIgnored(Struct, frozen=True):
    """The child does not run, and says what it would need."""

    why: str


class ReportStartFailed(Struct, frozen=True):
    """The child never became ready."""

    reason: ExitReason


class ReportExited(Struct, frozen=True):
    """The child, once ready, ended."""

    reason: ExitReason


Effect: TypeAlias = (
    SendStart
    | SendStop
    | SendBye
    | Terminate
    | DumpStacks
    | KillTree
    | SpawnAgain
    | ReportStarted
    | ReportIgnored
    | ReportStartFailed
    | ReportExited
)
Step: TypeAlias = tuple[State, tuple[Effect, ...]]
