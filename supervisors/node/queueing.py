"""The tables that describe queues of jobs: `[queues.NAME]`, and the rules made from one."""

from __future__ import annotations

from typing import Annotated, Any

from supervisors.node.childoptions import ChildOptions, Placement
from supervisors.node.durations import read_rate
from supervisors.node.fields import (
    Choice,
    Count,
    Duration,
    Number,
    PositiveDuration,
    Rate,
    Size,
    Table,
    Texts,
    Whole,
)
from supervisors.node.sections import Section, key

InFlightWord = Annotated[str, Choice("retry", "fail")]
DurabilityWord = Annotated[str, Choice("full", "relaxed")]


class RetryConfig(Section):
    """`retry`: the tries of a job that does not say."""

    attempts: Annotated[int, Whole(1, 1000)] = key("Tries a job gets.", 3)
    first: Duration = key("Delay before the second try.", "1s")
    factor: Annotated[float, Number(1, 1000)] = key("Growth from one delay to the next.", 2)
    max: Duration = key("Longest delay, before jitter.", "30s")
    jitter: Annotated[float, Number(0, 1)] = key("Share of the delay that chance takes away or adds.", 0.2)


class KeepConfig(Section):
    """`keep`: how long finished jobs stay to be looked at."""

    succeeded: PositiveDuration = key("Jobs that succeeded, with their results.", "1d")
    failed: PositiveDuration = key("Dead letters.", "30d")
    cancelled: PositiveDuration = key("Jobs that were cancelled.", "1d")
    most: Annotated[int, Whole(1, 100_000_000)] = key("Most of them but for dead letters; the oldest go.", 100_000)


class QueueConfig(ChildOptions):
    """`[queues.NAME]`: a queue of jobs, and its workers `/work/NAME#1` and on."""

    handlers: Texts = key("Modules that register handlers.", [])
    runs_in: Placement = key("Where workers run, whatever `[defaults.child]` says.", "pool")
    workers: Count = key("Workers: a number, or arithmetic over `cpus` and `mem_gib`.", "4")
    places: Annotated[int, Whole(1, 1000)] = key("Jobs at a time of a worker that is a process.", 1)
    concurrency: Annotated[int, Whole(0, 1_000_000)] = key("Most jobs at a time; 0 is what the workers can do.", 0)
    rate: Rate | None = key("Most jobs begun in a time.", None)
    retry: RetryConfig = key("Tries of a job that does not say.", {})
    timeout: PositiveDuration = key("Longest time of one try, for jobs that do not say.", "5m")
    grace: Duration = key("From asking a running job to end until its worker is ended.", "5s")
    capacity: Annotated[int, Whole(1, 10_000_000)] = key("Unfinished jobs; more are refused.", 100_000)
    payload_max: Size = key("Largest payload, and largest result.", "1MiB")
    keep: KeepConfig = key("How long finished jobs stay.", {})
    in_flight: InFlightWord = key("What becomes of a job that ran as the node was killed.", "retry")
    repeats: Annotated[int, Whole(0, 1000)] = key("How often one may be found so before it fails all the same.", 5)
    options: Table = key("What handlers find in `Run.options`.", {})
    durability: DurabilityWord = key("`relaxed` answers before the disk does: quicker, a kill may cost jobs.", "full")


def rules_of(name: str, queue: QueueConfig) -> dict[str, Any]:
    """Return the rules of a queue as plain data, as the actor of the queues takes them."""
    retry, keep = queue.retry, queue.keep
    rules: dict[str, Any] = {
        "name": name,
        "concurrency": queue.concurrency,
        "attempts": retry.attempts,
        "timeout": queue.timeout,
        "backoff": {
            "first": retry.first, "factor": retry.factor, "max": max(retry.first, retry.max), "jitter": retry.jitter,
        },
        "grace": queue.grace,
        "capacity": queue.capacity,
        "payload_max_bytes": queue.payload_max,
        "keep": {
            "succeeded": keep.succeeded, "failed": keep.failed, "cancelled": keep.cancelled, "most": keep.most,
        },
        "in_flight": queue.in_flight,
        "repeats": queue.repeats,
        "relaxed": queue.durability == "relaxed",
        "handlers": list(queue.handlers),
        "workers": [f"/work/{name}#*"],
    }  # fmt: skip
    if queue.rate is not None:
        count, per = read_rate(queue.rate)
        rules["rate"] = {"count": count, "per": per}
    return rules
