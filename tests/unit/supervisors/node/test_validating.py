"""Faults of type and spelling: each at its line, with the key, what is wrong and what would be right."""

import pytest
from support.configurations import faults_of, load, marked_lines

from supervisors.node.faults import ConfigurationError

UNKNOWN = [
    ("incude = []  # <-", "incude", '"include"'),
    ("[runtme]  # <-\nname = 'x'", "runtme", '"runtime"'),
    ("[runtime]\ndran = '5s'  # <-", "runtime.dran", '"drain"'),
    ("[log]\nlevle = 'info'  # <-", "log.levle", '"level"'),
    ("[history]\nretian = {}  # <-", "history.retian", '"retain"'),
    ("[history]\nretain = { evnts = '1d' }  # <-", "history.retain.evnts", '"events"'),
    ("[history.retain]\nmetrcs = '1d'  # <-", "history.retain.metrcs", '"metrics"'),
    ("[secrets]\na = { enw = 'A' }  # <-", "secrets.a.enw", '"env"'),
    ("[defaults]\nchld = {}  # <-", "defaults.chld", '"child"'),
    ("[defaults.child]\nrestrt = 'permanent'  # <-", "defaults.child.restrt", '"restart"'),
    ("[defaults.child]\nbackoff = { frist = '1s' }  # <-", "defaults.child.backoff.frist", '"first"'),
    ("[defaults.child.heartbeat]\nevry = '1s'  # <-", "defaults.child.heartbeat.evry", '"every"'),
    ("[defaults.child.mailbox]\ncapcity = 1  # <-", "defaults.child.mailbox.capcity", '"capacity"'),
    ("[supervisors.'/io']\nstrtegy = 'one_for_one'  # <-", 'supervisors."/io".strtegy', '"strategy"'),
    ("[supervisors.'/io'.limit]\nwithn = '1s'  # <-", 'supervisors."/io".limit.withn', '"within"'),
    ("[actors.'/a']\nuse = 'a:B'\nsecret = []  # <-", 'actors."/a".secret', '"secrets"'),
    ("[actors.'/a']\nbudget = { restats = 1, within = '1s' }  # <-", 'actors."/a".budget.restats', '"restarts"'),
    ("[loops]\ntimout = '5m'  # <-", "loops.timout", '"timeout"'),
    ("[loops.list.a]\nevery = '1s'\npriorty = 'high'  # <-", "loops.list.a.priorty", '"priority"'),
    ("[io]\ngmale = {}  # <-", "io.gmale", '"gmail"'),
    ("[io.gmail]\nhosts = 'x'  # <-", "io.gmail.hosts", '"host"'),
    ("[io.gmail]\npassword = { fiel = 'x' }  # <-", "io.gmail.password.fiel", '"file"'),
    ("[work]\ncuont = 2  # <-", "work.cuont", '"count"'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "right"), UNKNOWN, ids=[key for _, key, _ in UNKNOWN])
def test_unknown_key_at_any_level_is_named_with_its_line_and_the_right_one(tmp_path, text, key, right):
    faults = faults_of(tmp_path, text)

    (fault,) = (fault for fault in faults if fault.key == key)
    assert fault.message == "unknown key"
    assert fault.hint == f"did you mean {right}?"
    assert [fault.line] == marked_lines(text)
    assert fault.file == "actors.toml"


def test_unknown_key_like_no_other_is_answered_with_those_there_are(tmp_path):
    (fault,) = faults_of(tmp_path, "[log]\nzzz = 1\n")

    assert fault.hint == "the keys here are level, format, files, max_size, keep, total, min_free"


def test_key_above_its_table_is_told_where_it_stands(tmp_path):
    (fault,) = faults_of(tmp_path, 'drain = "5s"\n')

    assert fault.message == "unknown key"
    assert "[runtime]" in fault.hint


@pytest.mark.parametrize("section", ["cron", "watch", "degrade", "watchdog", "web"])
def test_section_of_another_version_is_refused_in_its_own_words(tmp_path, section):
    (fault,) = faults_of(tmp_path, f"version = 1\n[{section}.x]\na = 1\n")

    assert (fault.line, fault.key) == (2, section)
    assert fault.message == "there is no such section in this version"
    assert fault.hint


WRONG = [
    ("version = 2  # <-", "version", "version 1", "version = 1"),
    ("version = true  # <-", "version", "version 1", "version = 1"),
    ("version = '1'  # <-", "version", "version 1", "version = 1"),
    ("include = 'a'  # <-", "include", "expected a list, got text", "square brackets"),
    ("include = ['a',\n 5]  # <-", "include[1]", "expected text, got a whole number", "quotes"),
    ("runtime = 5  # <-", "runtime", "expected a table, got a whole number", "{ key = value }"),
    ("actors = []  # <-", "actors", "expected a table, got a list", "{ key = value }"),
    ("actors.'/a' = 'x:Y'  # <-", 'actors."/a"', "expected a table, got text", "{ key = value }"),
    ("[runtime]\nname = 5  # <-", "runtime.name", "expected text, got a whole number", "quotes"),
    ("[runtime]\nname = 'a b'  # <-", "runtime.name", "'a b' is no name", "letters"),
    ("[runtime]\nhome = ''  # <-", "runtime.home", "expected 1 to 4096", ""),
    ("[runtime]\nhome = 'a\\u0000b'  # <-".replace("'", '"'), "runtime.home", "printable", ""),
    ("[runtime]\ntimezone = 'Europe/Berln'  # <-", "runtime.timezone", "no time zone", '"Europe/Berlin"'),
    ("[runtime]\ntimezone = '../etc/passwd'  # <-", "runtime.timezone", "no time zone", "IANA"),
    ("[runtime]\ntimezone = ''  # <-", "runtime.timezone", "no time zone", "IANA"),
    ("[runtime]\ntimezone = 'Europe'  # <-", "runtime.timezone", "no time zone", "IANA"),
    ("[runtime]\ndrain = 500  # <-", "runtime.drain", "needs a unit", '"500s" or "500ms"'),
    ("[runtime]\ndrain = '500'  # <-", "runtime.drain", "500 has no unit", '"500s"'),
    ("[runtime]\ndrain = inf  # <-", "runtime.drain", "needs a unit", '"30s"'),
    ("[runtime]\ndrain = true  # <-", "runtime.drain", "expected text, got true or false", "quotes"),
    ("[runtime]\ntransport = 'udp'  # <-", "runtime.transport", "'udp'", "one of auto, ipc, tcp"),
    ("[runtime]\ncontrol = 'localhost'  # <-", "runtime.control", "no address", "127.0.0.1"),
    ("[runtime]\ncontrol = '127.0.0.1:70000'  # <-", "runtime.control", "no address", "127.0.0.1"),
    ("[runtime]\npool_threads = 0  # <-", "runtime.pool_threads", "0 is not in 1..64", "1..64"),
    ("[runtime]\npool_threads = 1.5  # <-", "runtime.pool_threads", "got a number", "1..64"),
    ("[runtime]\npool_threads = true  # <-", "runtime.pool_threads", "got true or false", "1..64"),
    ("[runtime]\npool_threads = 99999999999999999999999999  # <-", "runtime.pool_threads", "is not in", "1..64"),
    ("[log]\nlevel = 'loud'  # <-", "log.level", "'loud'", "debug, info, warning, error"),
    ("[log]\nlevel = 'Info'  # <-", "log.level", "'Info'", '"info"'),
    ("[history.retain]\nevents = '0s'  # <-", "history.retain.events", "longer than nothing", '"30s"'),
    ("[secrets]\n'a b' = { env = 'HOME' }  # <-", 'secrets."a b"', "no name", "letters"),
    ("[secrets]\na = {}  # <-", "secrets.a", "a secret has one place", "{ env"),
    ("[secrets]\na = { env = 'A', file = 'b' }  # <-", "secrets.a", "a secret has one place", "{ env"),
    ("[secrets]\na = { env = 'A B' }  # <-", "secrets.a.env", "no name of an environment variable", "GMAIL"),
    ("[defaults.child]\nrestart = 'permanant'  # <-", "defaults.child.restart", "'permanant'", '"permanent"'),
    ("[defaults.child]\nruns_in = 'fiber'  # <-", "defaults.child.runs_in", "'fiber'", "pool, thread, process"),
    ("[defaults.child]\nshutdown = 'infinty'  # <-", "defaults.child.shutdown", "'infinty'", '"infinity"'),
    ("[defaults.child]\nshutdown = 5  # <-", "defaults.child.shutdown", "needs a unit", '"5s"'),
    ("[defaults.child]\nmemory_max = 5  # <-", "defaults.child.memory_max", "needs a unit", '"512MiB"'),
    ("[defaults.child]\nmemory_max = '2G'  # <-", "defaults.child.memory_max", "G is no unit", '"2GiB"'),
    ("[defaults.child]\nmemory_max = '0B'  # <-", "defaults.child.memory_max", "more than nothing", '"512MiB"'),
    ("[defaults.child.backoff]\nfactor = 0.5  # <-", "defaults.child.backoff.factor", "0.5 is not in", "1..1000"),
    ("[defaults.child.backoff]\nfactor = nan  # <-", "defaults.child.backoff.factor", "nan is not in", "1..1000"),
    ("[defaults.child.backoff]\njitter = 2  # <-", "defaults.child.backoff.jitter", "2 is not in", "0..1"),
    ("[defaults.child.backoff]\njitter = '1'  # <-", "defaults.child.backoff.jitter", "got text", "0..1"),
    ("[defaults.child]\nbudget = { restarts = 1 }  # <-", "defaults.child.budget.within", "missing", "add it"),
    ("[defaults.child.mailbox]\nfull = 'drop'  # <-", "defaults.child.mailbox.full", "'drop'", "dead-letter"),
    ("[supervisors.'/io']\nstrategy = 'one-for-one'  # <-", 'supervisors."/io".strategy', "one-for-one", "one_for_all"),
    ("[supervisors.'/io'.limit]\nrestarts = -1  # <-", 'supervisors."/io".limit.restarts', "-1 is not in", "0.."),
    ("[supervisors.'/io']\nneeds = '/x'  # <-", 'supervisors."/io".needs', "expected a list", "square"),
    ("[supervisors.'/io']\nneeds = ['x y']  # <-", 'supervisors."/io".needs[0]', "no actor path", '"/x-y"'),
    ("[supervisors.'/io']\nsignificant = 1  # <-", 'supervisors."/io".significant', "expected true or false", "true"),
    ("[actors.'/a']\nuse = 'a.b.C'  # <-", 'actors."/a".use', "names no class", '"a.b:C"'),
    ("[actors.'/a']\nuse = 'a:B:C'  # <-", 'actors."/a".use', "names no class", '"package.module:Class"'),
    ("[actors.'/a']\nuse = 'os.system(\"x\")'  # <-", 'actors."/a".use', "names no class", '"package.module:Class"'),
    ("[actors.'/a']\nuse = 'a:B'\nargs = 5  # <-", 'actors."/a".args', "expected a table", "{ key"),
    ("[actors.'/a']\nuse = 'a:B'\nargs = { d = 1979-05-27 }  # <-", 'actors."/a".args', "date or time", "quotes"),
    ("[actors.'/a']\nuse = 'a:B'\nargs = { n = 18446744073709551616 }  # <-", 'actors."/a".args', "64 bits", ""),
    ("[actors.'/a']\nuse = 'a:B'\nsecrets = 'x'  # <-", 'actors."/a".secrets', "expected a list or a table", "["),
    ("[actors.'/a']\nuse = 'a:B'\nsecrets = { 'a b' = 'x' }  # <-", 'actors."/a".secrets', "no argument", "argument"),
    ("[actors.'/a']\nuse = 'a:B'\ncount = 'max(2, cpu/2)'  # <-", 'actors."/a".count', "'cpu' is not expected", "cpus"),
    ("[actors.'/a']\nuse = 'a:B'\ncount = 1.5  # <-", 'actors."/a".count', "expected a number or text", "max"),
    ("[actors.'/a']\nuse = 'a:B'\ncount = -1  # <-", 'actors."/a".count', "is not in 0..10000", "max"),
    ("[loops]\nunder = 'agents'  # <-", "loops.under", "no actor path", '"/agents"'),
    ("[loops.list.a]\ncron = '61 * * * *'  # <-", "loops.list.a.cron", "out of range 0-59", "seconds"),
    ("[loops.list.a]\ncron = '0 0 30 2 *'  # <-", "loops.list.a.cron", "never fires", "seconds"),
    ("[loops.list.a]\ncron = 'hourly'  # <-", "loops.list.a.cron", "cron expression", ""),
    ("[loops.list.a]\nevery = '0s'  # <-", "loops.list.a.every", "longer than nothing", '"30s"'),
    ("[loops.list.a]\nevery = '1m'\npriority = 'urgent'  # <-", "loops.list.a.priority", "'urgent'", "high, normal"),
    ("[loops.list.a]\nevery = '1m'\ncaps = [1]  # <-", "loops.list.a.caps[0]", "expected text", "quotes"),
    ("[loops.list.a]\nevery = '1m'\nenabled = 'yes'  # <-", "loops.list.a.enabled", "expected true or false", "true"),
    ("[io.gmail]\nport = 70000  # <-", "io.gmail.port", "70000 is not in 1..65535", "1..65535"),
    ("[work]\nchunk = 1024  # <-", "work.chunk", "needs a unit", '"512MiB"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "message", "hint"), WRONG, ids=[f"{key}-{n}" for n, (_, key, _, _) in enumerate(WRONG)]
)
def test_value_of_the_wrong_kind_is_named_with_its_line_and_the_remedy(tmp_path, text, key, message, hint):
    faults = faults_of(tmp_path, text)

    (fault,) = (fault for fault in faults if fault.key == key)
    assert message in fault.message
    assert hint in fault.hint
    assert [fault.line] == marked_lines(text)


def test_every_fault_of_a_file_is_reported_at_once(tmp_path):
    text = """\
        [runtime]
        drain = 5  # <-
        nmae = "x"  # <-

        [supervisors."/io"]
        strategy = "none"  # <-
        needs = ["/nowhere"]  # <-

        [actors."/io/a"]
        restart = "never"  # <-
        use = "a.B"  # <-

        [actors."/lost/b"]  # <-
        use = "a:B"

        [loops]
        under = "/io"
        [loops.list.x]  # <-
        """

    faults = faults_of(tmp_path, text)

    assert [fault.line for fault in faults] == marked_lines(text)


def test_a_key_at_fault_is_not_reported_as_missing_too(tmp_path):
    text = '[supervisors."/a"]\n[loops]\nunder = "/a"\n[loops.list.x]\nevery = "500"\n[actors."/a/y"]\nuse = "a.B"\n'

    faults = faults_of(tmp_path, text)

    assert [(fault.line, fault.key) for fault in faults] == [(5, "loops.list.x.every"), (7, 'actors."/a/y".use')]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[supervisors."/a"]\nstrategy = "x"\n[actors."/a/y"]\nuse = "a:B"\n', 'supervisors."/a".strategy'),
        ('[supervisors]\n"/a" = 5\n[actors."/a/y"]\nuse = "a:B"\n', 'supervisors."/a"'),
    ],
)
def test_a_faulty_supervisor_is_still_a_parent(tmp_path, text, key):
    (fault,) = faults_of(tmp_path, text)

    assert fault.key == key


def test_what_is_cut_out_is_not_missed_in_the_next_round(tmp_path):
    text = '[actors."/a"]\nuse = "a:B"\nbudget = { restarts = "x", within = "1s" }\n'

    (fault,) = faults_of(tmp_path, text)

    assert fault.key == 'actors."/a".budget.restarts'


@pytest.mark.parametrize(
    "text",
    [
        '[secrets]\ntoken = "hunter2"',
        '[secrets]\ntoken = ["hunter2"]',
        '[secrets]\ntoken = { env = "hunter2 with blanks" }',
        '[secrets]\ntoken = { value = "hunter2" }',
        '[io.gmail]\npassword = "hunter2"',
        '[io.twilio]\ntoken = "hunter2"',
        'secrets = "hunter2"',
    ],
)
def test_a_secret_written_into_the_file_is_refused_without_repeating_it(tmp_path, text):
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.faults)
    assert caught.value.__cause__ is None or "hunter2" not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "text",
    [
        f'"{"k" * 10_000}" = 1',
        f'[actors."/{"a" * 10_000}"]\nuse = "a:B"',
        f'[runtime]\n"{"x" * 10_000}" = 1',
        f'[secrets]\n"{"s" * 10_000}" = {{ env = "HOME" }}',
        f'[loops.list."{"l" * 10_000}"]\nevery = "1m"',
        f'[actors."/a"]\nuse = "{"m" * 10_000}:B"',
        f'[runtime]\nname = "{"n" * 10_000}"\ndrain = "{"1" * 10_000}"\ntimezone = "{"z" * 10_000}"',
        f'[log]\nlevel = "{"l" * 10_000}"',
        f'[supervisors."/a"]\nneeds = ["/{"n" * 10_000}"]',
        f'[actors."/a"]\nuse = "a:B"\ncount = "{"(" * 10_000}"',
        f'[loops.list.a]\ncron = "{"* " * 5_000}"',
    ],
)
def test_enormous_keys_and_values_are_refused_in_a_few_words(tmp_path, text):
    faults = faults_of(tmp_path, text)

    assert faults
    assert all(len(str(fault)) < 1200 for fault in faults)
    assert all(fault.line > 0 for fault in faults)


def test_control_characters_of_a_key_do_not_reach_the_terminal(tmp_path):
    (fault,) = faults_of(tmp_path, '"\\u001b[31mred\\u0007" = 1\n')

    assert fault.key.isprintable()
    assert str(fault).isprintable()
