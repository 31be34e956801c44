"""The tables of `docs/reference/configuration.md` as the models say them.

python tests/support/config_reference.py     prints them, to be laid into the document
"""

from __future__ import annotations

from supervisors.node import config, programs, queueing, schedules, sections
from supervisors.node.shapes import Shape, keys_of
from supervisors.node.showing import write

TABLES: dict[str, type[sections.Section]] = {
    "The file": config.Config,
    "`[runtime]`": config.RuntimeConfig,
    "`[log]`": config.LogConfig,
    "`[health]`": config.HealthConfig,
    "`[history]`": config.HistoryConfig,
    "`[history.retain]`": config.RetainConfig,
    "`[secrets]`: a reference": config.SecretConfig,
    "`[defaults.child]`": config.ChildDefaults,
    "`[defaults.child.backoff]`": config.BackoffDefaults,
    "`[defaults.child.heartbeat]`": config.HeartbeatDefaults,
    "`[supervisors.\"/path\"]`": config.SupervisorConfig,
    "`limit`": config.LimitConfig,
    "`[actors.\"/path\"]`": config.ActorConfig,
    "`[programs.\"/path\"]`": programs.ProgramConfig,
    "`ready`": programs.ReadyConfig,
    "`alive`": programs.AliveConfig,
    "Options of every child": config.ChildOptions,
    "`backoff`": sections.BackoffConfig,
    "`budget`": sections.BudgetConfig,
    "`bounds`": sections.BoundsConfig,
    "`heartbeat`": config.HeartbeatConfig,
    "`mailbox`": config.MailboxConfig,
    "`flight`": config.FlightConfig,
    "`[loops]`": config.LoopsConfig,
    "`[loops.list.ID]`": config.LoopConfig,
    "`[work]`": config.WorkConfig,
    "`[queues.NAME]`": queueing.QueueConfig,
    "`retry`": queueing.RetryConfig,
    "`keep`": queueing.KeepConfig,
    "`[schedules.ID]`": schedules.ScheduleConfig,
    "`[catch_up]`": schedules.CatchUpConfig,
    "`retry` of a schedule": schedules.RetryConfig,
    "`breaker` of a schedule": schedules.BreakerConfig,
    "`[io]`": config.IoConfig,
    "`[io.gmail]`": config.MailConfig,
    "`[io.browser]`": config.BrowserConfig,
    "`[io.twilio]`": config.TelephonyConfig,
    "`[io.tts]`": config.SpeechOutConfig,
    "`[io.stt]`": config.SpeechInConfig,
}  # fmt: skip
"""The model behind each heading of the document."""

HEAD = ["| key | type | default | meaning |", "|---|---|---|---|"]


def table_of(section: type[sections.Section]) -> list[str]:
    """Return the table of one model, line by line; what it takes over from `ChildOptions` is left out."""
    return [*HEAD, *(_row(section, name, shape) for name, shape in keys_of(section).items() if _is_own(section, name))]


def _is_own(section: type[sections.Section], name: str) -> bool:
    return name in section.__annotations__ or section is config.ChildOptions


def _row(section: type[sections.Section], name: str, shape: Shape) -> str:
    field = section.model_fields[name]
    if field.is_required():
        default = "required"
    elif field.default is None:
        default = ""
    elif isinstance(field.default, str):
        default = f'`"{field.default}"`'
    elif field.default == {}:
        default = ""
    else:
        default = f"`{write(field.default, shape)}`"
    words = _words(shape).replace("|", "\\|")
    return f"| `{name}` | {words} | {default} | {field.description} |"


def _words(shape: Shape) -> str:
    if shape.is_reference:
        return "secret reference"
    if shape.section is not None:
        return "table"
    if shape.entries is not None:
        return "secret references by name" if shape.entries.is_reference else "tables by name"
    assert shape.kind is not None
    return shape.kind.words


if __name__ == "__main__":
    for heading, section in TABLES.items():
        print("\n".join([f"## {heading}", "", *table_of(section), ""]))  # noqa: T201
