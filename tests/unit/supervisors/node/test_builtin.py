"""The built-in system: the tree of the daemon's specification with the loops of the scheduler's."""

from inspect import signature

import pytest
from support.configurations import MACHINE, write

from supervisors.node.checking import SERVICES
from supervisors.node.config import IoConfig
from supervisors.node.importing import check_arguments, import_target
from supervisors.node.loading import builtin_text, load_config
from supervisors.specs import SupervisorSpec

LOOPS = {
    "00": ("loop-heartbeat", "*/30 * * * * *", ["gmail", "browser"], ["critical", "system"]),
    "01": ("loop-gmail-sync", "*/2 * * * *", ["twilio", "tts"], ["communication"]),
    "02": ("loop-browser-health", "* * * * *", ["stt", "system"], ["system"]),
    "03": ("loop-voice-queue", "*/5 * * * * *", ["gmail", "twilio"], ["voice"]),
    "04": ("loop-twilio-status", "* * * * *", ["browser", "system"], ["communication"]),
    "05": ("loop-resource-monitor", "*/30 * * * * *", ["gmail"], ["system", "monitoring"]),
    "06": ("loop-identity-sync", "*/5 * * * *", ["browser"], ["identity"]),
    "07": ("loop-soul-update", "* * * * *", ["twilio"], ["soul"]),
    "08": ("loop-context-cleanup", "*/10 * * * *", ["tts"], ["maintenance"]),
    "09": ("loop-notification-digest", "*/15 * * * *", ["stt"], ["notifications"]),
    "10": ("loop-log-rotation", "0 * * * *", ["system"], ["maintenance"]),
    "11": ("loop-backup-check", "*/30 * * * *", ["gmail", "browser", "twilio"], ["maintenance", "backup"]),
    "12": ("loop-rate-limit", "* * * * *", ["tts", "stt"], ["system"]),
    "13": ("loop-presence-check", "*/5 * * * *", ["gmail", "system"], ["user"]),
    "14": ("loop-daily-maintenance", "0 2 * * *", ["all"], ["maintenance", "daily"]),
}


@pytest.fixture
def builtin(tmp_path):
    return load_config(environ={}, directory=tmp_path, machine=MACHINE)


def outline(tree: SupervisorSpec) -> dict[str, object]:
    return {c.id: outline(c.start) if isinstance(c.start, SupervisorSpec) else c.runs_in for c in tree.children}


def test_tree_is_that_of_the_daemon(builtin):
    shape = outline(builtin.tree())

    assert list(shape) == ["sys", "io", "work", "agents"]
    assert list(shape["sys"]) == ["recorder", "scheduler", "resource-monitor", "watchdog", "spares"]
    assert list(shape["io"]) == ["gmail", "browser", "twilio", "tts", "stt"]
    assert list(shape["agents"]) == list(LOOPS)
    assert shape["work"] == {"jobs": "thread", "index": "thread", **{f"task#{n}": "process" for n in (1, 2, 3, 4)}}
    assert shape["sys"]["recorder"] == "process"


@pytest.mark.parametrize("index", LOOPS)
def test_loop_has_the_schedule_and_tags_of_one_specification_and_the_capabilities_of_the_other(builtin, index):
    name, cron, caps, tags = LOOPS[index]

    loop = builtin.config.loops.list[index]

    assert (loop.name, loop.cron, list(loop.caps)) == (name, cron, caps)
    assert list(loop.tags) == ["agent-loop", *tags]
    assert loop.priority == ("high" if int(index) < 5 else "normal")


def test_limits_are_those_of_the_daemon(builtin):
    tree = builtin.tree()
    child = builtin.config.defaults.child

    assert (tree.intensity, tree.period) == (10, 60.0)
    assert (child.heartbeat.every, child.heartbeat.miss) == (30.0, 2)
    assert child.backoff.first == 5.0
    assert child.shutdown == 10.0
    assert builtin.config.runtime.drain == 30.0


@pytest.mark.parametrize(("cpus", "workers"), [(1, 2), (2, 2), (5, 2), (8, 4), (64, 32)])
def test_workers_are_half_the_processors_but_at_least_two(tmp_path, cpus, workers):
    machine = type(MACHINE)(cpus=cpus, mem_gib=8.0)

    loaded = load_config(environ={}, directory=tmp_path, machine=machine)

    assert len(outline(loaded.tree())["work"]) == workers + 2


def test_copy_of_the_built_in_system_is_the_same_tree(tmp_path, builtin):
    write(tmp_path, builtin_text())

    copied = load_config(environ={}, directory=tmp_path, machine=MACHINE)

    assert copied.file is not None
    assert copied.tree() == builtin.tree()


def test_services_are_configured_by_the_environment_alone(tmp_path):
    environ = {
        "ACTORS_IO__GMAIL__HOST": "imap.example.org",
        "ACTORS_IO__GMAIL__PASSWORD__ENV": "PW",
        "ACTORS_IO__TTS__COMMAND": '["say"]',
        "PW": "x",
    }

    loaded = load_config(environ=environ, directory=tmp_path, machine=MACHINE)

    assert loaded.config.io.gmail.host == "imap.example.org"
    assert loaded.config.io.gmail.password.env == "PW"
    assert loaded.config.io.tts.command == ("say",)


@pytest.mark.parametrize("name", SERVICES)
def test_default_settings_of_a_service_are_its_class_s_own(name):
    section = type(getattr(IoConfig(**{name: {}}), name))
    own = {key: parameter.default for key, parameter in signature(import_target(SERVICES[name])).parameters.items()}

    defaults = {key: value for key, value in section().model_dump().items() if value is not None}

    assert set(section.model_fields) == set(own)
    assert {key: own[key] for key in defaults} == defaults


def starts(tree, path=""):
    for child in tree.children:
        if isinstance(child.start, SupervisorSpec):
            yield from starts(child.start, f"{path}/{child.id}")
        else:
            yield f"{path}/{child.id}", child.start


def test_every_actor_can_be_imported_and_made_with_its_arguments(builtin):
    for _path, start in starts(builtin.tree()):
        make = import_target(start.target)
        check_arguments(start.target, make, start.kwargs)
        make(**start.kwargs)


def test_check_of_the_built_in_system_finds_nothing(tmp_path):
    load_config(environ={}, directory=tmp_path, machine=MACHINE, imports=True)
