"""What every table of a configuration shares: how a key is declared, and the parts that several tables have."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from supervisors.node.fields import Choice, Duration, Number, PositiveDuration, Size, Whole

RestartWord = Annotated[str, Choice("permanent", "transient", "temporary")]
Processors = Annotated[float, Number(0.01, 10_000)]
Messages = Annotated[int, Whole(1, 1_000_000_000_000)]
Restarts = Annotated[int, Whole(0, 1_000_000)]
Order = Annotated[int, Whole(-1_000_000, 1_000_000)]


def key(meaning: str, default: Any = ..., **options: Any) -> Any:
    """Return the field of one key: its meaning, and its default as TOML would write it (none: None)."""
    return Field(default, description=meaning, validate_default=default is not None, **options)


class Section(BaseModel):
    """A table: unknown keys are faults, values are frozen, and no input is repeated in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BudgetConfig(Section):
    """`budget`: one child's own limit; beyond it that child is quarantined and its siblings live on."""

    restarts: Restarts = key("Restarts that are carried out within the window.")
    within: PositiveDuration = key("Length of the sliding window.")


class BackoffConfig(Section):
    """`backoff`: how long to wait before each restart."""

    first: Duration | None = key("Delay before the first restart.", None)
    factor: Annotated[float, Number(1, 1000)] | None = key("Growth from one attempt to the next.", None)
    max: Duration | None = key("Longest delay, before jitter.", None)
    jitter: Annotated[float, Number(0, 1)] | None = key("Share of the delay that chance takes away or adds.", None)
    reset_after: Duration | None = key("Quiet running after which attempts count from 1 again.", None)


class HeartbeatConfig(Section):
    """`heartbeat`: a process that stays silent is taken for hung and restarted."""

    every: PositiveDuration | None = key("Time between two beats.", None)
    miss: Annotated[int, Whole(1, 1000)] | None = key("Beats that may be missing in a row.", None)


class BoundsConfig(Section):
    """`bounds`: what else a process may use, and how long it may run."""

    memory_warn: Size | None = key("Resident memory above which an event says so.", None)
    cpu_warn: Processors | None = key("Processors used over 10 s above which an event says so; 1 is one.", None)
    cpu_max: Processors | None = key("Processors used over 10 s above which it is ended and restarted.", None)
    max_age: PositiveDuration | None = key("Age at which it is replaced in order, which counts for no limit.", None)
    max_messages: Messages | None = key("Messages after which an actor is replaced likewise.", None)
