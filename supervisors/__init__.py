"""Supervisors keep actors alive: child specs, strategies, intensity, processes, and the node that runs a tree.

Here are the values a tree is made of. `supervisors.api` writes them in the words of `actors.toml`,
`supervisors.running` starts a tree inside a program, and `actorctl run` starts a node.

What is exported is imported when it is first asked for, so that a part of the package costs no more than itself.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers read; a test holds it against the names below
    from actors.policies.backoff import Backoff
    from supervisors.errors import (
        AlreadyRunningError,
        ChildConflictError,
        ChildNotFoundError,
        ChildStartError,
        Fault,
        SpecError,
        SupervisorError,
    )
    from supervisors.programs import Liveness, Probe, ProgramStart, Readiness
    from supervisors.specs import (
        AutoShutdown,
        Bounds,
        Budget,
        ChildSpec,
        ChildType,
        Heartbeat,
        ImportStart,
        LocalStart,
        OnLimit,
        Restart,
        Strategy,
        SupervisorSpec,
    )
else:
    from actors.exporting import exports

    __getattr__, __dir__ = exports(
        __name__,
        {
            "actors.policies.backoff": ("Backoff",),
            "supervisors.errors": (
                "AlreadyRunningError",
                "ChildConflictError",
                "ChildNotFoundError",
                "ChildStartError",
                "Fault",
                "SpecError",
                "SupervisorError",
            ),
            "supervisors.programs": (
                "Liveness",
                "Probe",
                "ProgramStart",
                "Readiness",
            ),
            "supervisors.specs": (
                "AutoShutdown",
                "Bounds",
                "Budget",
                "ChildSpec",
                "ChildType",
                "Heartbeat",
                "ImportStart",
                "LocalStart",
                "OnLimit",
                "Restart",
                "Strategy",
                "SupervisorSpec",
            ),
        },
    )

__all__ = [
    "AlreadyRunningError",
    "AutoShutdown",
    "Backoff",
    "Bounds",
    "Budget",
    "ChildConflictError",
    "ChildNotFoundError",
    "ChildSpec",
    "ChildStartError",
    "ChildType",
    "Fault",
    "Heartbeat",
    "ImportStart",
    "Liveness",
    "LocalStart",
    "OnLimit",
    "Probe",
    "ProgramStart",
    "Readiness",
    "Restart",
    "SpecError",
    "Strategy",
    "SupervisorError",
    "SupervisorSpec",
]
