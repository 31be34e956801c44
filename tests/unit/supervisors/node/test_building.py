"""Building: the specs that a configuration becomes."""

import msgspec
import pytest
from support.configurations import MACHINE, faults_of, load

from actors.core.mailbox import MailboxSpec
from actors.jobs.specs import QueueSpec
from actors.policies.backoff import Backoff
from supervisors import specs
from supervisors.node.building import build_tree, graft
from supervisors.node.counting import Machine
from supervisors.node.shapes import shape_at
from supervisors.specs import Budget, ChildSpec, Heartbeat, ImportStart, SupervisorSpec


def child_at(tree: SupervisorSpec, path: str) -> ChildSpec:
    spec = None
    for name in path.strip("/").split("/"):
        (spec,) = (child for child in tree.children if child.id == name)
        tree = spec.start
    return spec


def ids(tree: SupervisorSpec, path: str = "") -> list[str]:
    start = child_at(tree, path).start if path else tree
    return [child.id for child in start.children]


def test_child_takes_what_it_says_and_the_defaults_for_the_rest(tmp_path):
    text = """\
        [defaults.child]
        runs_in = "pool"
        shutdown = "3s"
        backoff = { first = "1s", max = "1m" }
        heartbeat = { every = "7s" }
        mailbox = { capacity = 10 }
        [actors."/plain"]
        use = "my.module:Plain"
        [actors."/own"]
        use = "my.module:Own"
        args = { a = 1 }
        runs_in = "process"
        restart = "transient"
        shutdown = "infinity"
        start_timeout = "1m"
        backoff = { max = "2m", jitter = 0 }
        heartbeat = { miss = 5 }
        mailbox = { full = "reject" }
        budget = { restarts = 2, within = "1h" }
        memory_max = "1GiB"
        spares = 2
        """

    tree = load(tmp_path, text).tree()

    plain, own = child_at(tree, "/plain"), child_at(tree, "/own")
    assert plain == ChildSpec(
        id="plain",
        start=ImportStart("my.module:Plain", {}),
        restart=specs.Restart.PERMANENT,
        shutdown=3.0,
        runs_in="pool",
        start_timeout=30.0,
        backoff=Backoff(1.0, 2.0, 60.0, 0.2, 600.0),
        mailbox=MailboxSpec(capacity=10),
    )
    assert own == ChildSpec(
        id="own",
        start=ImportStart("my.module:Own", {"a": 1}),
        restart=specs.Restart.TRANSIENT,
        shutdown="infinity",
        runs_in="process",
        start_timeout=60.0,
        backoff=Backoff(1.0, 2.0, 120.0, 0.0, 600.0),
        heartbeat=Heartbeat(7.0, 5),
        mailbox=MailboxSpec(capacity=10, full="reject"),
        budget=Budget(2, 3600.0),
        memory_max_bytes=2**30,
        spares=2,
    )


@pytest.mark.parametrize(
    ("defaults", "own", "first", "longest"),
    [
        ("{}", '{ first = "10m" }', 600.0, 600.0),
        ("{}", '{ max = "100ms" }', 0.1, 0.1),
        ('{ first = "10m" }', "{}", 600.0, 600.0),
        ('{ max = "100ms" }', "{}", 0.1, 0.1),
        ('{ first = "1m", max = "2m" }', '{ max = "10s" }', 10.0, 10.0),
        ('{ first = "1m", max = "2m" }', '{ first = "3m" }', 180.0, 180.0),
    ],
)
def test_part_of_a_back_off_that_is_written_moves_the_one_that_is_not(tmp_path, defaults, own, first, longest):
    text = f'[defaults.child]\nbackoff = {defaults}\n[actors."/a"]\nuse = "a:B"\nbackoff = {own}\n'

    backoff = child_at(load(tmp_path, text).tree(), "/a").backoff

    assert (backoff.first, backoff.max) == (first, longest)


def test_defaults_for_one_s_own_actors_do_not_concern_what_holds_the_runtime_together(tmp_path):
    text = """\
        [defaults.child]
        runs_in = "process"
        restart = "temporary"
        shutdown = "brutal_kill"
        memory_max = "1MiB"
        spares = 1
        backoff = { first = "1ms", max = "1ms" }
        heartbeat = { every = "1ms" }
        mailbox = { capacity = 1 }
        budget = { restarts = 0, within = "1w" }
        """

    changed, plain = load(tmp_path, text).tree(), load(tmp_path, "").tree()

    assert child_at(changed, "/sys") == child_at(plain, "/sys")


def test_supervisor_becomes_its_spec_and_a_child_of_its_parent(tmp_path):
    text = """\
        [supervisors."/"]
        strategy = "one_for_all"
        limit = { restarts = 2, within = "5s" }
        [supervisors."/io"]
        strategy = "rest_for_one"
        limit = { restarts = 0 }
        on_limit = "park"
        auto_shutdown = "any_significant"
        restart = "temporary"
        [supervisors."/io/deep"]
        [actors."/io/deep/x"]
        use = "a:B"
        """

    tree = load(tmp_path, text).tree()

    assert (tree.strategy, tree.intensity, tree.period) == (specs.Strategy.ONE_FOR_ALL, 2, 5.0)
    io = child_at(tree, "/io")
    assert io.restart is specs.Restart.TEMPORARY
    assert (io.start.strategy, io.start.intensity, io.start.period) == (specs.Strategy.REST_FOR_ONE, 0, 60.0)
    assert (io.start.on_limit, io.start.auto_shutdown) == (specs.OnLimit.PARK, specs.AutoShutdown.ANY_SIGNIFICANT)
    assert child_at(tree, "/io/deep/x").start == ImportStart("a:B")


@pytest.mark.parametrize(
    ("count", "expected"),
    [("3", ["x#1", "x#2", "x#3"]), ("0", []), ('"max(2, cpus/2)"', ["x#1", "x#2", "x#3", "x#4"]), ("1", ["x#1"])],
)
def test_count_makes_numbered_instances(tmp_path, count, expected):
    tree = load(tmp_path, f'[actors."/x"]\nuse = "a:B"\ncount = {count}\n').tree()

    assert ids(tree)[1:] == expected


def test_siblings_start_by_need_then_order_then_as_written(tmp_path):
    text = """\
        [actors."/late"]
        use = "a:B"
        start_order = 5
        [actors."/needy"]
        use = "a:B"
        needs = ["/needed", "/workers"]
        [actors."/first"]
        use = "a:B"
        [actors."/needed"]
        use = "a:B"
        [actors."/workers"]
        use = "a:B"
        count = 2
        [actors."/early"]
        use = "a:B"
        start_order = -1000
        """

    tree = load(tmp_path, text).tree()

    assert ids(tree) == ["early", "sys", "first", "needed", "workers#1", "workers#2", "needy", "late"]
    assert child_at(tree, "/needy").needs == ("/needed", "/workers#1", "/workers#2")


def test_need_elsewhere_in_the_tree_binds_the_subtrees(tmp_path):
    text = """\
        [supervisors."/agents"]
        [actors."/agents/a"]
        use = "a:B"
        needs = ["/io/deep/mail"]
        [supervisors."/io"]
        [supervisors."/io/deep"]
        [actors."/io/deep/mail"]
        use = "a:B"
        """

    tree = load(tmp_path, text).tree()

    assert ids(tree) == ["sys", "io", "agents"]


def test_need_of_one_instance_waits_for_it(tmp_path):
    text = """\
        [actors."/needy"]
        use = "a:B"
        needs = ["/worker#2"]
        [actors."/worker"]
        use = "a:B"
        count = 2
        """

    tree = load(tmp_path, text).tree()

    assert ids(tree) == ["sys", "worker#1", "worker#2", "needy"]
    assert child_at(tree, "/needy").needs == ("/worker#2",)


def test_budget_of_the_defaults_does_not_concern_what_is_never_restarted(tmp_path):
    text = """\
        [defaults.child]
        budget = { restarts = 1, within = "1s" }
        [actors."/kept"]
        use = "a:B"
        [actors."/once"]
        use = "a:B"
        restart = "temporary"
        """

    tree = load(tmp_path, text).tree()

    assert child_at(tree, "/kept").budget == Budget(1, 1.0)
    assert child_at(tree, "/once").budget is None


def test_actor_that_is_not_enabled_is_no_part_of_the_tree(tmp_path):
    tree = load(tmp_path, '[actors."/x"]\nuse = "a:B"\nenabled = false\n').tree()

    assert ids(tree) == ["sys"]


def test_loop_gets_what_its_class_takes(tmp_path):
    text = """\
        [runtime]
        timezone = "Europe/Berlin"
        [supervisors."/agents"]
        [loops]
        runs_in = "pool"
        timeout = "1m"
        [loops.list."07"]
        name = "loop-x"
        title = "X"
        task = "resources"
        cron = "0 2 * * *"
        caps = ["a"]
        priority = "high"
        tags = ["t"]
        requires = ["/io/gmail"]
        options = { deep = { n = 1 } }
        run_at_start = true
        [loops.list.own]
        use = "my:Loop"
        every = "90s"
        timeout = "5s"
        restart = "temporary"
        """

    tree = load(tmp_path, text).tree()

    first, second = child_at(tree, "/agents/07"), child_at(tree, "/agents/own")
    assert first.start == ImportStart(
        "actors.agents.loop:AgentLoop",
        {
            "index": 7,
            "name": "loop-x",
            "title": "X",
            "task": "resources",
            "schedule": "0 2 * * *",
            "timezone": "Europe/Berlin",
            "caps": ["a"],
            "priority": "high",
            "tags": ["t"],
            "requires": ["/io/gmail"],
            "timeout": 60.0,
            "run_at_start": True,
            "options": {"deep": {"n": 1}},
            "home": str(tmp_path / ".actors"),
            "root": str(tmp_path),
        },
    )
    assert first.runs_in == "pool"
    assert second.start.target == "my:Loop"
    assert (second.start.kwargs["index"], second.start.kwargs["name"]) == (1, "loop-own")
    assert (second.start.kwargs["every"], second.start.kwargs["timeout"]) == (90.0, 5.0)
    assert not {"schedule", "timezone", "task", "queue"} & set(second.start.kwargs)
    assert second.restart is specs.Restart.TEMPORARY


def test_workers_run_in_processes_of_their_own_unless_the_work_table_says_otherwise(tmp_path):
    text = """\
        [defaults.child]
        runs_in = "pool"
        [supervisors."/work"]
        [work]
        """

    usual = load(tmp_path, text).tree()
    chosen = load(tmp_path, text + '        runs_in = "thread"\n').tree()

    assert child_at(usual, "/work/task#1").runs_in == "process"
    assert child_at(usual, "/work/jobs").runs_in == child_at(usual, "/work/index").runs_in
    assert child_at(chosen, "/work/task#1").runs_in == "thread"


def test_work_becomes_a_queue_and_its_workers(tmp_path):
    text = """\
        [runtime]
        home = "h"
        [supervisors."/jobs"]
        [work]
        under = "/jobs"
        count = 2
        runs_in = "process"
        capacity = 5
        attempts = 2
        job_timeout = "1m"
        chunk = "4KiB"
        max_file = "1MiB"
        """

    tree = load(tmp_path, text).tree()

    assert ids(tree, "/jobs") == ["index", "task#1", "task#2"]
    queues, keeper, worker = (child_at(tree, path) for path in ("/work/jobs", "/jobs/index", "/jobs/task#2"))
    (rules,) = queues.start.kwargs["queues"]
    assert msgspec.convert(rules, QueueSpec) == QueueSpec(
        name="task", attempts=2, timeout=60.0, capacity=5, payload_max_bytes=2**23,
        handlers=("actors.jobs.indexing",), workers=("/jobs/task#*",),
    )  # fmt: skip
    assert keeper.start == ImportStart("actors.jobs.indexkeeper:IndexKeeper", {"home": str(tmp_path / "h")})
    assert worker.start == ImportStart(
        "actors.jobs.running:JobProcess",
        {
            "queue": "task", "handlers": ["actors.jobs.indexing"], "places": 1,
            "options": {"chunk_bytes": 4096, "max_file_bytes": 2**20},
        },
    )  # fmt: skip
    assert worker.runs_in == "process"
    assert worker.heartbeat == Heartbeat(30.0, 2)


def test_service_gets_its_settings_and_its_secrets_by_place_only(tmp_path):
    text = """\
        [secrets]
        extra = { file = "key" }
        [supervisors."/io"]
        [actors."/io/gmail"]
        use = "actors.services.mail:MailService"
        args = { port = 1143 }
        secrets = { key = "extra" }
        [io.gmail]
        host = "imap.example.org"
        port = 993
        password = { env = "PASSWORD_VARIABLE" }
        timeout = "30s"
        [actors."/io/tts"]
        use = "actors.services.speech_out:SpeechOutService"
        [io.tts]
        command = ["say", "-f"]
        """
    (tmp_path / "key").write_text("value of the key")

    tree = load(tmp_path, text, {"PASSWORD_VARIABLE": "value of the variable"}).tree()

    assert child_at(tree, "/io/gmail").start == ImportStart(
        "supervisors.node.secretive:of.actors.services.mail.MailService",
        {
            "args": {
                "host": "imap.example.org",
                "port": 1143,
                "tls": True,
                "mailbox": "INBOX",
                "timeout": 30.0,
                "concurrency": 2,
            },
            "secrets": {"key": {"file": str(tmp_path / "key")}, "password": {"env": "PASSWORD_VARIABLE"}},
        },
    )
    assert "value of" not in repr(tree)
    assert child_at(tree, "/io/tts").start.kwargs == {
        "command": ["say", "-f"],
        "directory": str(tmp_path / ".actors" / "speech"),
        "timeout": 60.0,
        "concurrency": 1,
    }


def test_every_start_can_cross_a_process(tmp_path):
    text = '[supervisors."/agents"]\n[loops.list.a]\nevery = "1m"\n[supervisors."/work"]\n[work]\n'

    def starts(tree):
        for child in tree.children:
            if isinstance(child.start, SupervisorSpec):
                yield from starts(child.start)
            else:
                yield child.start

    for start in starts(load(tmp_path, text).tree()):
        packed = msgspec.msgpack.encode([start.target, start.kwargs])
        assert msgspec.msgpack.decode(packed) == [start.target, start.kwargs]


def test_tree_depends_on_the_machine_it_is_built_for(tmp_path):
    loaded = load(tmp_path, '[actors."/x"]\nuse = "a:B"\ncount = "cpus"\n')

    small = build_tree(loaded.config, Machine(cpus=1, mem_gib=1.0), tmp_path)

    assert len(small.children) == 2
    assert len(build_tree(loaded.config, MACHINE, tmp_path).children) == 9


def test_tree_in_python_gets_the_system_beside_it_unless_it_has_its_own(tmp_path):
    system = load(tmp_path, "").tree()
    app = SupervisorSpec(intensity=7, children=(ChildSpec("x", ImportStart("a:B")),))
    own_sys = SupervisorSpec(children=(ChildSpec("sys", SupervisorSpec()),))

    assert ids(graft(app, system)) == ["sys", "x"]
    assert graft(app, system).intensity == 7
    assert graft(own_sys, system) == own_sys


@pytest.mark.parametrize(
    ("path", "enum"),
    [
        (("actors", "/x", "restart"), specs.Restart),
        (("supervisors", "/x", "on_limit"), specs.OnLimit),
        (("supervisors", "/x", "auto_shutdown"), specs.AutoShutdown),
    ],
)
def test_words_of_the_configuration_are_those_of_the_specs(path, enum):
    assert set(shape_at(path).kind.choices) == {member.value for member in enum}


def test_strategies_of_the_configuration_are_those_without_a_template():
    words = set(shape_at(("supervisors", "/x", "strategy")).kind.choices)

    assert words == {strategy.value for strategy in specs.Strategy} - {"simple_one_for_one"}


def test_supervisor_in_a_process_has_the_heartbeat_of_the_defaults_and_what_it_says_itself(tmp_path):
    text = """\
        [defaults.child]
        heartbeat = { every = "7s" }
        [supervisors."/far"]
        runs_in = "process"
        heartbeat = { miss = 5 }
        memory_max = "1GiB"
        [supervisors."/near"]
        """

    tree = load(tmp_path, text).tree()

    far, near = child_at(tree, "/far"), child_at(tree, "/near")
    assert (far.runs_in, far.heartbeat, far.memory_max_bytes) == ("process", Heartbeat(7.0, 5), 1024**3)
    assert (near.runs_in, near.heartbeat, near.memory_max_bytes) == ("pool", None, None)


def test_modules_of_actors_below_a_process_are_found_and_not_imported(tmp_path):
    (tmp_path / "below_a_process.py").write_text("raise RuntimeError('imported by the node')")
    text = """\
        [supervisors."/far"]
        runs_in = "process"
        [supervisors."/far/near"]
        [actors."/far/near/a"]
        use = "below_a_process:Class"
        """

    load(tmp_path, text, imports=True, spare_processes=True)

    assert "imported by the node" in str(faults_of(tmp_path, text, imports=True))


def test_scheduler_is_told_the_bounds_of_catching_up(tmp_path):
    text = '[supervisors."/sys"]\n[actors."/sys/scheduler"]\nuse = "actors.scheduling.scheduler:SchedulerTick"\n'

    usual = child_at(load(tmp_path, text).tree(), "/sys/scheduler").start
    bounded = child_at(load(tmp_path, text + '[catch_up]\nrate = "5/10s"\nmost = 7\n').tree(), "/sys/scheduler").start

    assert "catch_up" not in usual.kwargs
    assert bounded.kwargs["catch_up"] == {"at_once": 16, "rate": {"count": 5, "per": 10.0}, "most": 7}
