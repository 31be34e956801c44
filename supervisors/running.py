"""A supervision tree inside a program of your own: start it, manage its children, stop it.

    with start_tree(supervisor("/", children=[child(Counter, id="counter")])) as tree:
        tree.ref("/counter").tell(Add(1))

A node (`actorctl run`) is such a tree with configuration, control, taps and history around it. The management calls are
OTP's: they answer when the child has started or ended, none of them counts as a restart, and each names what stands in
its way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from actors.addresses import name_of, parent_of
from actors.core.outcomes import Exited, Incarnation, Outcome, Started, StartFailed
from actors.core.pathref import PathRef
from actors.core.system import ActorSystem
from actors.errors import AskTimeoutError, StartTimeoutError
from actors.exits import SHUTDOWN, ExitReason
from supervisors import core
from supervisors.branches import post_call
from supervisors.core import Counts, Done, Refusal, Refused, WhichChild
from supervisors.core import events as ev
from supervisors.errors import ChildConflictError, ChildNotFoundError, ChildStartError, SpecError, SupervisorError
from supervisors.processes.host import ProcessLauncher
from supervisors.processes.placements import Placements, TemporaryRun
from supervisors.processes.questions import Question, What, children_in, counts_in, inquire, spec_in
from supervisors.specs import ChildSpec, SupervisorSpec
from supervisors.supervisor import Services, Subtree
from supervisors.tree import nodes
from supervisors.views import NodeView

START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
ANSWER_TIMEOUT = 5.0


class TreeStartError(SupervisorError, RuntimeError):
    """A tree did not start; `reason` leads to the child at fault."""

    def __init__(self, reason: ExitReason) -> None:
        steps = "".join(f"\n  because {cause.path}: {cause.reason}" for cause in reason.chain())
        super().__init__(f"the tree did not start: {reason}{steps}")
        self.reason = reason


def start_tree(
    spec: SupervisorSpec | ChildSpec,
    *,
    name: str = "local",
    run: Path | None = None,
    timeout: float = START_TIMEOUT,
) -> RunningTree:
    """Start a tree and return it when every child has started.

    Args:
        spec: What to supervise: a `SupervisorSpec`, or what `supervisors.api.supervisor` returns; checked whole before
            anything starts.
        name: Name of the actor system; the first part of every address.
        run: Private folder for the sockets of process children; a temporary one by default, made when it is needed.
        timeout: Longest wait for the whole tree, in seconds.

    Raises:
        SpecError: The spec has faults; all are named.
        TreeStartError: A child did not start; what had been started was stopped.
        StartTimeoutError: It took longer than `timeout`; the tree was killed.
        TypeError: It is no spec of a supervisor.
    """
    top = spec.start if isinstance(spec, ChildSpec) else spec
    if not isinstance(top, SupervisorSpec):
        raise TypeError(f"spec is a SupervisorSpec, or what supervisors.api.supervisor returns, got {spec!r:.100}")
    tree = RunningTree(top, name=name, run=run)
    tree.wait_ready(timeout)
    return tree


class RunningTree:
    """A running tree. Its methods may be called on any thread but those of its own actors; leave it to stop it."""

    def __init__(self, spec: SupervisorSpec, *, name: str, run: Path | None) -> None:
        core.new(spec)  # raises where the spec has faults, before anything is made
        self.system = ActorSystem(name)
        self._run = TemporaryRun(run)
        self._launchers = Placements(self.system, lambda: ProcessLauncher(self.system, self._run.path))
        self.services = Services(self.system, self._launchers)
        self._outcomes: list[Outcome] = []
        self._changed = threading.Condition()
        self._root = Subtree(self._on_outcome)
        self._root.run(spec, "/", self.services, Incarnation())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ref(self, path: str) -> PathRef:
        """Return the stable ref of `path`."""
        return self.system.ref(path)

    def nodes(self) -> tuple[NodeView, ...]:
        """Return every node, parents before children."""
        return nodes(self.services)

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until every child has started; raises as `start_tree` does."""
        outcome = self._wait(timeout)
        if outcome is None:
            self.kill()
            raise StartTimeoutError("the tree", timeout)
        if not isinstance(outcome, Started):
            self._close()
            raise TreeStartError(outcome.reason if isinstance(outcome, (StartFailed, Exited)) else SHUTDOWN)

    def wait_end(self, timeout: float | None = None) -> ExitReason | None:
        """Wait until the root has ended and return its reason; None where `timeout` seconds were not enough."""
        with self._changed:
            self._changed.wait_for(lambda: self._end() is not None, timeout)
            return self._end()

    def stop(self, timeout: float = STOP_TIMEOUT) -> ExitReason:
        """Stop the children in reverse order and end; what is left after `timeout` seconds is killed."""
        self._root.stop(SHUTDOWN)
        reason = self.wait_end(timeout)
        if reason is None:
            return self.kill()
        self._close()
        return reason

    def kill(self) -> ExitReason:
        """Kill everything and end."""
        self._root.kill()
        reason = self.wait_end(STOP_TIMEOUT)
        self._close()
        return reason if reason is not None else ExitReason.killed("abandoned")

    # Management calls; `path` is a supervisor's for those that list or start, else the child's.

    def start_child(self, path: str, spec: ChildSpec, timeout: float = START_TIMEOUT) -> Done:
        """Add a child to the supervisor at `path`, last, and start it.

        Raises:
            ChildConflictError: A child of that id is there.
            ChildStartError: It did not start; nothing is kept of it.
            SpecError: The spec has faults.
            TypeError: It is no `ChildSpec`.
        """
        if not isinstance(spec, ChildSpec):
            raise TypeError(f"spec is what supervisors.api.child, program or supervisor returns, got {spec!r:.100}")
        return self._call(path, lambda n, t, c: ev.StartChild(request=n, now=t, chance=c, spec=spec), timeout)

    def spawn_child(self, path: str, *args: Any, timeout: float = START_TIMEOUT, **kwargs: Any) -> Done:
        """Start another child of the dynamic supervisor at `path`; its generated id is in the answer."""
        return self._call(
            path, lambda n, t, c: ev.SpawnChild(request=n, now=t, chance=c, args=args, kwargs=kwargs), timeout
        )

    def terminate_child(self, path: str, timeout: float = STOP_TIMEOUT) -> Done:
        """Stop the child at `path`; its record is kept, and a group restart starts it again."""
        return self._call_on(path, lambda id, n, t, c: ev.TerminateChild(request=n, now=t, chance=c, id=id), timeout)

    def restart_child(self, path: str, timeout: float = START_TIMEOUT) -> Done:
        """Start the child at `path`, which does not run."""
        return self._call_on(path, lambda id, n, t, c: ev.RestartChild(request=n, now=t, chance=c, id=id), timeout)

    def delete_child(self, path: str, timeout: float = STOP_TIMEOUT) -> Done:
        """Drop the record of the child at `path`, which does not run."""
        return self._call_on(path, lambda id, n, t, c: ev.DeleteChild(request=n, now=t, chance=c, id=id), timeout)

    def reconfigure(
        self, path: str, spec: SupervisorSpec | None, *, apply: bool = False, timeout: float = START_TIMEOUT
    ) -> Done:
        """Give the supervisor at `path` a new spec; see `supervisors.core.Reconfigure`.

        Raises:
            TypeError: `spec` is neither a `SupervisorSpec` nor None.
        """
        if spec is not None and not isinstance(spec, SupervisorSpec):
            raise TypeError(f"spec is a SupervisorSpec, got {spec!r:.100}")
        return self._call(
            path, lambda n, t, c: ev.Reconfigure(request=n, now=t, chance=c, spec=spec, apply=apply), timeout
        )

    # Questions; a supervisor in another process is asked there, which takes `timeout` seconds at most.

    def get_childspec(self, path: str, timeout: float = ANSWER_TIMEOUT) -> ChildSpec:
        """Return the complete spec of the child at `path`; of one in another process as it was made again there.

        Raises:
            ChildNotFoundError: There is none.
            AskTimeoutError: Its supervisor's process did not answer.
        """
        above, id = parent_of(path) or "", name_of(path)
        supervisor = self.services.supervisors.get(above)
        if supervisor is None:
            return spec_in(self._inquire(Question(above, What.SPEC, id), timeout))
        spec = core.get_childspec(supervisor.published, id)
        if spec is None:
            raise ChildNotFoundError(f"there is no child {path}")
        return spec

    def which_children(self, path: str = "/", timeout: float = ANSWER_TIMEOUT) -> list[WhichChild]:
        """Return the children of the supervisor at `path`, newest first; raises as `get_childspec`."""
        return children_in(self._inquire(Question(path, What.CHILDREN), timeout))

    def count_children(self, path: str = "/", timeout: float = ANSWER_TIMEOUT) -> Counts:
        """Return how many children the supervisor at `path` has, by kind; raises as `get_childspec`."""
        return counts_in(self._inquire(Question(path, What.COUNTS), timeout))

    def _inquire(self, question: Question, timeout: float) -> Done:
        result = _answered(lambda answer: inquire(self.services, question, answer), timeout)
        if result is None:
            raise AskTimeoutError(question.supervisor, timeout)
        if isinstance(result, Refused):
            raise ChildNotFoundError(result.message or f"no supervisor runs at {question.supervisor}")
        return result

    def _call_on(self, path: str, make: Callable[[str, int, float, float], ev.Request], timeout: float) -> Done:
        id = name_of(path)
        return self._call(parent_of(path) or "", lambda n, t, c: make(id, n, t, c), timeout)

    def _call(self, path: str, make: Callable[[int, float, float], ev.Request], timeout: float) -> Done:
        result = _answered(lambda answer: post_call(self.services, path, make(0, 0.0, 0.5), answer), timeout)
        if result is None:
            raise StartTimeoutError(path, timeout)
        if isinstance(result, Done):
            return result
        if result.code is Refusal.NOT_FOUND:
            raise ChildNotFoundError(result.message or f"no supervisor runs at {path}")
        if result.code is Refusal.INVALID:
            raise SpecError(result.faults)
        if result.code is Refusal.START_FAILED and result.reason is not None:
            raise ChildStartError(result.message, result.reason)
        raise ChildConflictError(result.code.value, result.message)

    def _on_outcome(self, outcome: Outcome) -> None:
        with self._changed:
            self._outcomes.append(outcome)
            self._changed.notify_all()

    def _wait(self, timeout: float) -> Outcome | None:
        with self._changed:
            self._changed.wait_for(lambda: self._outcomes, timeout)
            return self._outcomes[0] if self._outcomes else None

    def _end(self) -> ExitReason | None:
        last = self._outcomes[-1] if self._outcomes else None
        return last.reason if isinstance(last, (Exited, StartFailed)) else None

    def _close(self) -> None:
        self._launchers.close()
        self._run.close()
        self.system.shutdown()


def _answered(post: Callable[[Callable[[Done | Refused], None]], bool], timeout: float) -> Done | Refused | None:
    """Post a call and wait for its answer; None where `timeout` seconds were not enough."""
    answers: list[Done | Refused] = []
    answered = threading.Event()

    def answer(result: Done | Refused) -> None:
        answers.append(result)
        answered.set()

    if not post(answer):
        return Refused("", Refusal.NOT_FOUND, "")
    return answers[0] if answered.wait(timeout) else None
