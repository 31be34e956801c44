"""Supervisors keep actors alive: child specs, strategies, intensity, processes, and the node that runs a tree.

Here are the values a tree is made of. `supervisors.api` writes them in the words of `actors.toml`,
`supervisors.running` starts a tree inside a program, and `actorctl run` starts a node.
"""

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
