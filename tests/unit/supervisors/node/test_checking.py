"""Faults that concern several tables: paths, parents, needs, schedules, secrets, folders."""

import pytest
from support.configurations import faults_of, load, marked_lines

CASES = {
    "path without a slash": ('[supervisors."io"]  # <-', "supervisors.io", "no actor path", '"/io"'),
    "path with a slash at its end": ('[actors."/a/"]  # <-\nuse = "a:B"', 'actors."/a/"', "no actor path", '"/a"'),
    "path with a blank": ('[actors."/a b"]  # <-\nuse = "a:B"', 'actors."/a b"', "no actor path", '"/a-b"'),
    "path upwards": ('[actors."/../x"]  # <-\nuse = "a:B"', 'actors."/../x"', "no actor path", "letters"),
    "empty path": ('[actors.""]  # <-\nuse = "a:B"', 'actors.""', "no actor path", "letters"),
    "the root as an actor": ('[actors."/"]  # <-\nuse = "a:B"', 'actors."/"', "root supervisor", '[supervisors."/"]'),
    "actor without a class": ('[actors."/a"]  # <-', 'actors."/a".use', "names no class", "use ="),
    "actor without a parent": (
        '[actors."/io/a"]  # <-\nuse = "a:B"',
        'actors."/io/a"',
        "there is no supervisor /io",
        'add [supervisors."/io"]',
    ),
    "parent misspelt": (
        '[supervisors."/agents"]\n[actors."/agent/a"]  # <-\nuse = "a:B"',
        'actors."/agent/a"',
        "there is no supervisor /agent",
        'did you mean "/agents"?',
    ),
    "supervisor without a parent": ('[supervisors."/a/b"]  # <-', 'supervisors."/a/b"', "no supervisor /a", "add"),
    "child of an actor": (
        '[actors."/a"]\nuse = "a:B"\n[actors."/a/b"]  # <-\nuse = "a:B"',
        'actors."/a/b"',
        "/a is an actor",
        "elsewhere",
    ),
    "supervisor and actor of one path": (
        '[supervisors."/a"]\n[actors."/a"]  # <-\nuse = "a:B"',
        'actors."/a"',
        'two of /a: the other is supervisors."/a" (actors.toml:1)',
        "unique",
    ),
    "actor in the place of an instance": (
        '[actors."/a"]\nuse = "a:B"\ncount = 3\n[actors."/a#2"]  # <-\nuse = "a:B"',
        'actors."/a#2"',
        "two of /a#2",
        "unique",
    ),
    "loop in the place of an actor": (
        '[supervisors."/s"]\n[actors."/s/x"]\nuse = "a:B"\n[loops]\nunder = "/s"\n[loops.list.x]  # <-\nevery = "1m"',
        "loops.list.x",
        "two of /s/x",
        "unique",
    ),
    "root in another process": (
        '[supervisors."/"]\nruns_in = "process"  # <-',
        'supervisors."/".runs_in',
        "the node itself",
        "leave it out",
    ),
    "system in another process": (
        '[supervisors."/sys"]\nruns_in = "process"  # <-',
        'supervisors."/sys".runs_in',
        "holds the node together",
        "leave it out",
    ),
    "heartbeat of a supervisor without a process": (
        '[supervisors."/a"]\nheartbeat = { every = "1s" }  # <-',
        'supervisors."/a".heartbeat',
        "only a process",
        'runs_in = "process"',
    ),
    "memory of a supervisor without a process": (
        '[supervisors."/a"]\nmemory_max = "1GiB"  # <-',
        'supervisors."/a".memory_max',
        "only a process",
        'runs_in = "process"',
    ),
    "loops without a supervisor": (
        '[loops]  # <-\n[loops.list.a]\nevery = "1m"',
        "loops.under",
        "no supervisor",
        "add",
    ),
    "work without a supervisor": (
        '[work]\nunder = "/elsewhere"  # <-',
        "work.under",
        "there is no supervisor /elsewhere",
        "add",
    ),
    "a queue of the name of that of the work": (
        '[supervisors."/work"]\n[queues.task]  # <-\nhandlers = []\n[work]',
        "queues.task",
        "/work/task",
        "",
    ),
    "loop without a schedule": (
        '[supervisors."/agents"]\n[loops.list.a]  # <-',
        "loops.list.a",
        "it has no schedule",
        'every = "5m"',
    ),
    "loop with two schedules": (
        '[supervisors."/agents"]\n[loops.list.a]  # <-\ncron = "* * * * *"\nevery = "1m"',
        "loops.list.a",
        "it has two schedules",
        'every = "5m"',
    ),
    "zone without cron": (
        '[supervisors."/agents"]\n[loops.list.a]\nevery = "1m"\ntimezone = "UTC"  # <-',
        "loops.list.a.timezone",
        "only a cron schedule",
        "leave it out",
    ),
    "loop id with a slash": (
        '[supervisors."/agents"]\n[loops.list."a/b"]  # <-\nevery = "1m"',
        'loops.list."a/b"',
        "no id of a loop",
        "letters",
    ),
    "need of nothing": (
        '[supervisors."/agents"]\n[actors."/a"]\nuse = "a:B"\nneeds = ["/agent"]  # <-',
        'actors."/a".needs[0]',
        "there is no /agent",
        '"/agents"',
    ),
    "need of itself": ('[actors."/a"]\nuse = "a:B"\nneeds = ["/a"]  # <-', 'actors."/a".needs[0]', "itself", "beside"),
    "need of its supervisor": (
        '[supervisors."/s"]\n[actors."/s/a"]\nuse = "a:B"\nneeds = ["/s"]  # <-',
        'actors."/s/a".needs[0]',
        "lies above",
        "beside",
    ),
    "need of its child": (
        '[supervisors."/s"]\nneeds = ["/s/a"]  # <-\n[actors."/s/a"]\nuse = "a:B"',
        'supervisors."/s".needs[0]',
        "below",
        "beside",
    ),
    "need of what is not enabled": (
        '[actors."/a"]\nuse = "a:B"\nenabled = false\n[actors."/b"]\nuse = "a:B"\nneeds = ["/a"]  # <-',
        'actors."/b".needs[0]',
        "/a is not enabled",
        "enable it",
    ),
    "circle of two": (
        '[actors."/a"]\nuse = "a:B"\nneeds = ["/b"]  # <-\n[actors."/b"]\nuse = "a:B"\nneeds = ["/a"]',
        'actors."/a".needs[0]',
        "in a circle: /a -> /b -> /a",
        "leave one",
    ),
    "circle across supervisors": (
        '[supervisors."/s"]\n[supervisors."/t"]\nneeds = ["/s"]\n[actors."/s/a"]\nuse = "a:B"\nneeds = ["/t/b"]  # <-\n'
        '[actors."/t/b"]\nuse = "a:B"',
        'actors."/s/a".needs[0]',
        "in a circle: /s -> /t -> /s",
        "leave one",
    ),
    "significant and permanent": (
        '[supervisors."/s"]\nauto_shutdown = "any_significant"\n[actors."/s/a"]\nuse = "a:B"\nsignificant = true  # <-',
        'actors."/s/a".significant',
        "permanent",
        'restart = "transient"',
    ),
    "significant where nothing shuts down": (
        '[supervisors."/s"]\n[actors."/s/a"]\nuse = "a:B"\nrestart = "transient"\nsignificant = true  # <-',
        'actors."/s/a".significant',
        "never shuts itself down",
        'auto_shutdown = "any_significant" in [supervisors."/s"]',
    ),
    "memory limit of a thread": (
        '[actors."/a"]\nuse = "a:B"\nmemory_max = "1GiB"  # <-',
        'actors."/a".memory_max',
        "only a process",
        'runs_in = "process"',
    ),
    "spares of a thread": (
        '[actors."/a"]\nuse = "a:B"\nspares = 1  # <-',
        'actors."/a".spares',
        "only a process",
        'runs_in = "process"',
    ),
    "heartbeat of a pool actor": (
        '[actors."/a"]\nuse = "a:B"\nruns_in = "pool"\nheartbeat = { every = "1s" }  # <-',
        'actors."/a".heartbeat',
        "only a process",
        'runs_in = "process"',
    ),
    "budget of what is never restarted": (
        '[actors."/a"]\nuse = "a:B"\nrestart = "temporary"\nbudget = { restarts = 1, within = "1s" }  # <-',
        'actors."/a".budget',
        "never restarted",
        "leave it out",
    ),
    "back-off that ends before it begins": (
        '[actors."/a"]\nuse = "a:B"\nbackoff = { first = "10m", max = "1m" }  # <-',
        'actors."/a".backoff',
        "max is shorter than first",
        "longer",
    ),
    "back-off of the defaults that ends before it begins": (
        '[defaults.child]\nbackoff = { first = "10m", max = "1m" }  # <-\n[actors."/a"]\nuse = "a:B"',
        "defaults.child.backoff",
        "max is shorter than first",
        "longer",
    ),
    "back-off of the loops that ends before it begins": (
        '[supervisors."/agents"]\n[loops]\nbackoff = { first = "10m", max = "1m" }  # <-\n[loops.list.a]\nevery = "1m"',
        "loops.backoff",
        "max is shorter than first",
        "longer",
    ),
    "secret that is not there": (
        '[secrets]\ngmail_token = { env = "HOME" }\n[actors."/a"]\nuse = "a:B"\nsecrets = ["gmail_tokn"]  # <-',
        'actors."/a".secrets',
        "there is no secret 'gmail_tokn'",
        '"gmail_token"',
    ),
    "secret of a class inside another": (
        '[secrets]\nk = { env = "HOME" }\n[actors."/a"]\nuse = "a:B.C"  # <-\nsecrets = ["k"]',
        'actors."/a".use',
        "inside no other",
        "top of its module",
    ),
    "secret and argument of one name": (
        '[secrets]\nk = { env = "HOME" }\n[actors."/a"]\nuse = "a:B"\nargs = { k = 1 }\nsecrets = ["k"]  # <-',
        'actors."/a".secrets',
        "k stands in args too",
        "keep the secret",
    ),
    "secret whose variable is not set": (
        '[secrets]\nk = { env = "NOT_SET" }  # <-',
        "secrets.k",
        "environment variable NOT_SET is not set",
        "export NOT_SET=",
    ),
    "secret whose variable is empty": ('[secrets]\nk = { env = "EMPTY" }  # <-', "secrets.k", "is empty", "export"),
    "secret whose file is not there": (
        '[secrets]\nk = { file = "gone" }  # <-',
        "secrets.k",
        "cannot be read: no such file or directory",
        "name a file",
    ),
    "secret whose file is a folder": ('[secrets]\nk = { file = "." }  # <-', "secrets.k", "cannot be read", "name"),
    "settings of a service that is not there": (
        '[io.gmail]  # <-\nhost = "x"',
        "io.gmail",
        "no actor /io/gmail",
        'use = "actors.services.mail:MailService"',
    ),
    "secret of a service not set": (
        '[supervisors."/io"]\n[actors."/io/gmail"]\nuse = "a:B"\n[io.gmail]\npassword = { env = "NOT_SET" }  # <-',
        "io.gmail.password",
        "NOT_SET is not set",
        "export",
    ),
    "folder to look through that is not there": (
        '[runtime]\ndirectory = "gone"  # <-',
        "runtime.directory",
        "does not exist",
        "name a folder",
    ),
    "folder to look through that is a file": (
        '[runtime]\ndirectory = "actors.toml"  # <-',
        "runtime.directory",
        "is no folder",
        "name a folder",
    ),
    "home that is a file": ('[runtime]\nhome = "actors.toml"  # <-', "runtime.home", "is no folder", "name a folder"),
    "home below a file": ('[runtime]\nhome = "actors.toml/x"  # <-', "runtime.home", "is no folder", "name a folder"),
    "address without tcp": (
        '[runtime]\ncontrol = "127.0.0.1:1"  # <-',
        "runtime.control",
        "with tcp alone",
        'transport = "tcp"',
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_fault_is_named_with_its_line_and_the_remedy(tmp_path, case):
    text, key, message, hint = CASES[case]

    (fault,) = faults_of(tmp_path, text, {"HOME": "x", "EMPTY": ""})

    assert fault.key == key
    assert message in fault.message
    assert hint in fault.hint
    assert [fault.line] == marked_lines(text)


def test_every_circle_is_named_once(tmp_path):
    text = "".join(
        f'[actors."/{name}"]\nuse = "a:B"\nneeds = ["/{need}"]\n'
        for name, need in [("a", "b"), ("b", "c"), ("c", "a"), ("p", "q"), ("q", "p"), ("x", "a"), ("y", "x")]
    )

    faults = faults_of(tmp_path, text)

    assert [fault.message.partition(": ")[2] for fault in faults] == ["/a -> /b -> /c -> /a", "/p -> /q -> /p"]


def test_sound_tree_that_uses_everything_has_no_faults(tmp_path):
    (tmp_path / "token").write_text("t\n")
    text = """\
        version = 1
        [runtime]
        name = "x"
        home = "deep/home"
        transport = "tcp"
        control = "127.0.0.1:18789"
        taps = "auto"
        [secrets]
        one = { env = "HOME" }
        two = { file = "token" }
        [supervisors."/"]
        strategy = "one_for_all"
        [supervisors."/io"]
        auto_shutdown = "all_significant"
        restart = "transient"
        [supervisors."/io/inner"]
        needs = ["/io/gmail"]
        [actors."/io/gmail"]
        use = "a:B"
        runs_in = "process"
        restart = "transient"
        significant = true
        secrets = ["one"]
        memory_max = "1GiB"
        heartbeat = { every = "5s", miss = 3 }
        backoff = { first = "1s" }
        budget = { restarts = 3, within = "1m" }
        shutdown = "brutal_kill"
        mailbox = { capacity = 10, full = "reject" }
        [actors."/io/inner/x"]
        use = "a:B"
        secrets = { token = "two" }
        count = "cpus"
        needs = ["/work/task"]
        [io.gmail]
        host = "h"
        password = { env = "HOME" }
        [supervisors."/agents"]
        needs = ["/io/inner/x#1"]
        [loops]
        [loops.list.a]
        cron = "*/30 * * * * *"
        timezone = "Europe/Berlin"
        [supervisors."/work"]
        [work]
        """

    loaded = load(tmp_path, text, {"HOME": "x"})

    assert [child.id for child in loaded.tree().children] == ["sys", "work", "io", "agents"]
