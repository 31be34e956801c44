"""The configuration as values: one frozen model for each table of `actors.toml`.

The models say which keys exist, their types, defaults and meanings; `docs/reference/configuration.md` is checked
against them. Durations are seconds and sizes bytes once read. What concerns several tables at once (paths, needs,
secrets) is `checking`'s; where a value came from is `loading`'s. Only the node imports this module: it brings pydantic.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator

from actors.history.publication import SHORTEST_INTERVAL
from supervisors.node.childoptions import ChildOptions as ChildOptions
from supervisors.node.childoptions import FlightConfig as FlightConfig
from supervisors.node.childoptions import MailboxConfig as MailboxConfig
from supervisors.node.childoptions import Placement, WhenDownWord
from supervisors.node.dependencies import Dependencies
from supervisors.node.fields import (
    A_REFERENCE,
    ActorPath,
    Choice,
    Count,
    Cron,
    Duration,
    Endpoint,
    EnvironmentName,
    ImportPath,
    Number,
    Paths,
    PositiveDuration,
    SecretNames,
    Segment,
    Size,
    StopTime,
    Table,
    Text,
    Texts,
    Truth,
    Version,
    Whole,
    Zone,
    refuse,
)
from supervisors.node.programs import ProgramConfig
from supervisors.node.queueing import QueueConfig
from supervisors.node.schedules import CatchUpConfig, ScheduleConfig
from supervisors.node.sections import (
    BudgetConfig,
    HeartbeatConfig,
    Order,
    Restarts,
    RestartWord,
    Section,
    key,
)

BranchPlacement = Annotated[str, Choice("pool", "process")]
StrategyWord = Annotated[str, Choice("one_for_one", "one_for_all", "rest_for_one")]
OnLimitWord = Annotated[str, Choice("escalate", "park")]
AutoShutdownWord = Annotated[str, Choice("never", "any_significant", "all_significant")]
PriorityWord = Annotated[str, Choice("high", "normal", "low")]
LoopOverlapWord = Annotated[str, Choice("skip", "queue", "delay", "timeout", "cancel-other")]
MissedWord = Annotated[str, Choice("skip", "once", "all")]
TransportWord = Annotated[str, Choice("auto", "ipc", "tcp")]
LevelWord = Annotated[str, Choice("debug", "info", "warning", "error")]
FormatWord = Annotated[str, Choice("auto", "human", "json")]
Requests = Annotated[int, Whole(1, 1000)]


class RuntimeConfig(Section):
    """`[runtime]`: the node as a whole."""

    name: Segment = key("Name of the node; the first part of every address.", "local")
    home: Text = key("Folder for everything the runtime keeps; relative to the file's folder.", ".actors")
    timezone: Zone = key("Zone in which cron schedules are read, unless a loop names its own.", "UTC")
    drain: Duration = key("Longest time for the whole tree to stop before what is left is killed.", "30s")
    wait_for: Dependencies = key(
        "What must be there before it starts: tcp://host:port, unix:///socket, file:///path.", []
    )
    wait_for_timeout: PositiveDuration = key("Longest wait for all of that; then the start has failed.", "2m")
    directory: Text = key("Folder that the built-in loops inventory and hash; relative to the file's folder.", ".")
    transport: TransportWord = key("How local sockets are made; `auto` is ipc where there is ipc, else tcp.", "auto")
    control: Endpoint = key('Address for commands with `transport = "tcp"`; `auto` takes a free port.', "auto")
    taps: Endpoint = key('Address for event taps with `transport = "tcp"`; `auto` takes a free port.', "auto")
    request_rate: Annotated[float, Number(1, 100_000)] = key(
        "Requests a second that one visitor may send for long, twice as many at once; more are dropped unread.", 500.0
    )
    pool_threads: Annotated[int, Whole(1, 64)] = key('Threads on which actors with `runs_in = "pool"` run.', 1)
    spares_max: Annotated[int, Whole(0, 1000)] = key("Most spares of all process children together.", 16)
    spares_memory: Size = key("Most memory of all spares together, counted without what they share.", "256MiB")


class LogConfig(Section):
    """`[log]`: what the node writes to standard error, and to `logs/node.log` and `logs/error.log` in its home."""

    level: LevelWord = key("Least severe lines written.", "info")
    format: FormatWord = key("On standard error: `auto` is human on a terminal, else json.", "auto")
    files: Truth = key("Whether to write files too.", True)
    max_size: Size = key("Size at which a file is rotated; it is at midnight UTC too.", "50MiB")
    keep: PositiveDuration = key("Age at which a rotated file goes.", "14d")
    total: Size = key("Most room for the files of one kind; the oldest go.", "500MiB")
    min_free: Size = key("Room on the disk below which no line is written.", "16MiB")


class HealthConfig(Section):
    """`[health]`: what the node shows of itself over HTTP and in files, and its own watchdog."""

    enabled: Truth = key("Whether `/health`, `/live`, `/ready` and `/metrics` are served over HTTP.", True)
    listen: Endpoint = key("Address they are served at; `auto` takes a free port of loopback.", "auto")
    heartbeat: PositiveDuration = key("Time between two writings of `run/heartbeat` and `run/state.json`.", "30s")
    probe: PositiveDuration = key("Time between two questions whether supervisors and sockets still answer.", "5s")
    wedged_after: Duration = key("Time without an answer after which the node ends itself with 70; 0 never.", "90s")


class RetainConfig(Section):
    """`[history] retain`: how long rows are kept."""

    events: PositiveDuration = key("Life-cycle events, exits, restarts, commands.", "90d")
    metrics: PositiveDuration = key("Metrics.", "14d")


class HistoryConfig(Section):
    """`[history]`: what is kept in DuckDB."""

    path: Text = key("The database file; relative to `runtime.home`.", "history.duckdb")
    retain: RetainConfig = key("How long rows are kept.", {})
    max_size: Size | None = key("Size of the file above which the oldest rows go, whatever their age.", None)
    memory_max: Size = key("Most memory of the database.", "512MiB")
    query_timeout: PositiveDuration = key("Longest run of a query, whatever it asks for.", "1h")
    query_rows: Annotated[int, Whole(1, 1_000_000_000)] = key("Most rows of an answer, likewise.", 1_000_000)
    query_size: Size = key("Most bytes of an answer, likewise; 12MiB is the most there is.", "12MiB")
    publish_every: PositiveDuration = key("Time between two publications of the files for other tools.", "1s")

    @model_validator(mode="after")
    def _publishes_no_faster_than_readers_read(self) -> HistoryConfig:
        if self.publish_every < SHORTEST_INTERVAL:
            refuse(f"publish_every is {self.publish_every:g} s", f"{SHORTEST_INTERVAL:g}s or more")
        return self


class SecretConfig(Section):
    """`[secrets]`: where a secret is found; the value itself is never written here."""

    env: EnvironmentName | None = key("Environment variable that holds it.", None)
    file: Text | None = key("File that holds it, its last line break cut; relative to the file's folder.", None)
    keyring: Text | None = key("`service/user` in the system's keyring; needs `actorctl[keyring]`.", None)

    @model_validator(mode="after")
    def _one_place(self) -> SecretConfig:
        if sum(place is not None for place in (self.env, self.file, self.keyring)) != 1:
            refuse("a secret has one place", '{ env = "NAME" }, { file = "path" } or { keyring = "service/user" }')
        if self.keyring is not None and not all(self.keyring.partition("/")):
            refuse("a place in the keyring has a service and a user", '{ keyring = "openclaw/twilio" }')
        return self


SecretReference = Annotated[SecretConfig, A_REFERENCE]


class LimitConfig(Section):
    """`limit`: more than `restarts` within `within` and the supervisor does what `on_limit` says."""

    restarts: Restarts = key("Restarts that are carried out within the window.", 10)
    within: PositiveDuration = key("Length of the sliding window.", "60s")


class BackoffDefaults(Section):
    """`[defaults.child] backoff`."""

    first: Duration = key("Delay before the first restart.", "500ms")
    factor: Annotated[float, Number(1, 1000)] = key("Growth from one attempt to the next.", 2)
    max: Duration = key("Longest delay, before jitter.", "5m")
    jitter: Annotated[float, Number(0, 1)] = key("Share of the delay that chance takes away or adds.", 0.2)
    reset_after: Duration = key("Quiet running after which attempts count from 1 again.", "10m")


class HeartbeatDefaults(Section):
    """`[defaults.child] heartbeat`."""

    every: PositiveDuration = key("Time between two beats.", "30s")
    miss: Annotated[int, Whole(1, 1000)] = key("Beats that may be missing in a row.", 2)


class ChildDefaults(Section):
    """`[defaults.child]`: what actors, loops and workers take where they say nothing themselves."""

    runs_in: Placement = key("Shared pool, a thread of its own, or a process of its own.", "thread")
    restart: RestartWord = key("Restart always, only after an abnormal end, or never.", "permanent")
    shutdown: StopTime = key("Time to stop when asked; then it is killed.", "10s")
    start_timeout: PositiveDuration = key("Time to become ready.", "30s")
    backoff: BackoffDefaults = key("Delay before restarts.", {})
    budget: BudgetConfig | None = key("A child's own restart limit, beyond which it is quarantined.", None)
    heartbeat: HeartbeatDefaults = key("Liveness of processes.", {})
    memory_max: Size | None = key("Resident memory at which a process is restarted.", None)
    spares: Annotated[int, Whole(0, 100)] = key("Processes that wait, imported, to replace one that ended.", 0)
    when_down: WhenDownWord = key("What becomes of messages while it is being restarted.", "refuse")
    held_max: Annotated[int, Whole(1, 10_000_000)] = key('Most messages held with `when_down = "hold"`.', 1000)
    mailbox: MailboxConfig | None = key("Bound of mailboxes; each class's own when there is no such table.", None)
    flight: FlightConfig | None = key("What is kept of a crash.", None)


class DefaultsConfig(Section):
    """`[defaults]`."""

    child: ChildDefaults = key("Defaults of every actor, loop and worker.", {})


class SupervisorConfig(Section):
    """`[supervisors."/path"]`: one supervisor."""

    strategy: StrategyWord = key("Which siblings are restarted with the child that ended.", "one_for_one")
    limit: LimitConfig = key("Restart intensity.", {})
    on_limit: OnLimitWord = key(
        "Beyond the limit: end and let the parent decide, or stay and retry slowly.", "escalate"
    )
    auto_shutdown: AutoShutdownWord = key("End when any, or all, significant children have ended.", "never")
    restart: RestartWord = key("Restart of this supervisor by its parent.", "permanent")
    significant: Truth = key("Counts for the parent's `auto_shutdown`.", False)
    needs: Paths = key("Paths that must be ready before it starts, siblings or elsewhere in the tree.", [])
    start_order: Order = key("Lower starts earlier among siblings; equal ones as written.", 0)
    runs_in: BranchPlacement = key("With all below it in the process of its parent, or in one of its own.", "pool")
    when_down: WhenDownWord = key("With a process of its own: messages for all below while it is restarted.", "refuse")
    held_max: Annotated[int, Whole(1, 10_000_000)] = key('Most messages held with `when_down = "hold"`.', 1000)
    heartbeat: HeartbeatConfig | None = key("Liveness of its process; unset parts come from `[defaults.child]`.", None)
    memory_max: Size | None = key("Resident memory at which its process is restarted.", None)
    spares: Annotated[int, Whole(0, 100)] = key(
        "With a process of its own: processes that wait, its actors' classes imported, to replace it.", 0
    )


class ActorConfig(ChildOptions):
    """`[actors."/path"]`: one actor, or `count` instances of it named `path#1` and on."""

    use: ImportPath | None = key("The actor's class. Required.", None)
    args: Table = key("Keyword arguments of the class.", {})
    secrets: SecretNames = key("Secrets handed to the class, as arguments of their names or of the names given.", {})
    count: Count | None = key("Instances: a number, or arithmetic over `cpus` and `mem_gib`.", None)
    significant: Truth = key("Counts for its supervisor's `auto_shutdown`.", False)
    needs: Paths = key("Paths that must be ready before it starts, siblings or elsewhere in the tree.", [])
    start_order: Order = key("Lower starts earlier among siblings; equal ones as written.", 0)
    enabled: Truth = key("Whether it is part of the tree at all.", True)


class LoopConfig(ChildOptions):
    """`[loops.list.ID]`: one agent loop, the actor `/agents/ID`."""

    name: Segment | None = key("Name shown and recorded; `loop-ID` when unset.", None)
    title: Text | None = key("A line for people.", None)
    use: ImportPath | None = key("The loop's class, when it is not that of `[loops]`.", None)
    task: Text | None = key("What the built-in loop class does each cycle.", None)
    caps: Texts = key("Capabilities, as labels.", [])
    priority: PriorityWord = key("Priority, as a label.", "normal")
    cron: Cron | None = key("When it runs: 5 fields, or 6 with seconds first.", None)
    every: PositiveDuration | None = key("When it runs: the time from one start to the next.", None)
    timezone: Zone | None = key("Zone of `cron`; `runtime.timezone` when unset.", None)
    timeout: PositiveDuration | None = key("Longest time of one cycle; that of `[loops]` when unset.", None)
    tags: Texts = key("Labels to select by.", [])
    requires: Paths = key("Services that it cannot work without; until they are configured it says so.", [])
    run_at_start: Truth = key("Whether the first cycle runs at once.", False)
    overlap: LoopOverlapWord = key("What becomes of a slot while the cycle before it is under way.", "skip")
    missed: MissedWord = key("Which of the slots from a time when nothing ran are run.", "once")
    options: Table = key("Settings of the task.", {})
    enabled: Truth = key("Whether it is part of the tree at all.", True)


class LoopsConfig(ChildOptions):
    """`[loops]`: the agent loops, and what all of them share."""

    under: ActorPath = key("Supervisor of the loops.", "/agents")
    use: ImportPath = key("Class of the loops that name none.", "actors.agents.loop:AgentLoop")
    timeout: PositiveDuration = key("Longest time of one cycle.", "5m")
    list: dict[str, LoopConfig] = key("The loops by id.", {})


class MailConfig(Section):
    """`[io.gmail]`: the mail service."""

    host: Text | None = key("IMAP server.", None)
    port: Annotated[int, Whole(1, 65_535)] = key("Its port.", 993)
    user: Text | None = key("Account.", None)
    password: SecretReference | None = key("Its password, by reference.", None)
    tls: Truth = key("Whether the connection is encrypted from the start.", True)
    mailbox: Text = key("Mailbox that is read.", "INBOX")
    timeout: PositiveDuration = key("Longest time of one request.", "20s")
    concurrency: Requests = key("Requests at a time.", 2)


class BrowserConfig(Section):
    """`[io.browser]`: a browser driven over its debugging port."""

    endpoint: Text | None = key("Its debugging address, `http://127.0.0.1:9222`.", None)
    timeout: PositiveDuration = key("Longest time of one request.", "10s")
    concurrency: Requests = key("Requests at a time.", 4)


class TelephonyConfig(Section):
    """`[io.twilio]`: the telephony service."""

    account: Text | None = key("Account id.", None)
    token: SecretReference | None = key("Its token, by reference.", None)
    base_url: Text = key("Address of the service.", "https://api.twilio.com")
    timeout: PositiveDuration = key("Longest time of one request.", "10s")
    concurrency: Requests = key("Requests at a time.", 4)


class SpeechOutConfig(Section):
    """`[io.tts]`: text to speech by a program."""

    command: Texts | None = key("Program and arguments.", None)
    directory: Text = key("Folder for the sound files; relative to `runtime.home`.", "speech")
    timeout: PositiveDuration = key("Longest time of one request.", "60s")
    concurrency: Requests = key("Requests at a time.", 1)


class SpeechInConfig(Section):
    """`[io.stt]`: speech to text by a program."""

    command: Texts | None = key("Program and arguments.", None)
    timeout: PositiveDuration = key("Longest time of one request.", "120s")
    concurrency: Requests = key("Requests at a time.", 1)


class IoConfig(Section):
    """`[io]`: settings of the five services, handed to the actors `/io/gmail` and so on."""

    gmail: MailConfig | None = key("Mail.", None)
    browser: BrowserConfig | None = key("Browser.", None)
    twilio: TelephonyConfig | None = key("Telephony.", None)
    tts: SpeechOutConfig | None = key("Speech out.", None)
    stt: SpeechInConfig | None = key("Speech in.", None)


class WorkConfig(ChildOptions):
    """`[work]`: the queue `task`, which indexes files, its workers `/work/task#1` and on, and `/work/index`."""

    under: ActorPath = key("Supervisor of the workers and the keeper of the index.", "/work")
    runs_in: Placement = key("Where workers run, whatever `[defaults.child]` says.", "process")
    count: Count = key("Workers: a number, or arithmetic over `cpus` and `mem_gib`.", "max(2, cpus/2)")
    capacity: Annotated[int, Whole(1, 10_000_000)] = key("Unfinished jobs; more are refused.", 1000)
    attempts: Annotated[int, Whole(1, 1000)] = key("Tries a job gets.", 3)
    job_timeout: PositiveDuration = key("Longest time of one try.", "5m")
    chunk: Size = key("Bytes read at a time.", "1MiB")
    max_file: Size = key("Files above this size are skipped.", "1GiB")


class Config(Section):
    """The whole file."""

    version: Version = key("Version of this format.", 1)
    include: Texts = key("Further files, by glob, laid over this one in the order of their names.", ["conf.d/*.toml"])
    runtime: RuntimeConfig = key("The node.", {})
    log: LogConfig = key("Logs.", {})
    health: HealthConfig = key("Health, metrics, and the node's own watchdog.", {})
    history: HistoryConfig = key("History.", {})
    secrets: dict[Segment, SecretReference] = key("Secrets by name.", {})
    defaults: DefaultsConfig = key("Defaults.", {})
    supervisors: dict[str, SupervisorConfig] = key("Supervisors by path.", {})
    actors: dict[str, ActorConfig] = key("Actors by path.", {})
    programs: dict[str, ProgramConfig] = key("Programs by path.", {})
    loops: LoopsConfig | None = key("Agent loops.", None)
    io: IoConfig = key("Settings of the I/O services.", {})
    work: WorkConfig | None = key("The queue that indexes files, and its workers.", None)
    queues: dict[Segment, QueueConfig] = key("Queues of jobs by name.", {})
    schedules: dict[str, ScheduleConfig] = key("Schedules by id.", {})
    catch_up: CatchUpConfig = key("Missed slots of all schedules.", {})
