"""Rules of a configuration over random ones: lines, layers, needs, counts, and texts that make no sense at all."""

import tomllib
from itertools import pairwise
from pathlib import Path

from hypothesis import event, given, settings
from hypothesis import strategies as st

from supervisors.core.validation import arrange, validate_tree
from supervisors.node.building import build_tree
from supervisors.node.checking import Subject, check
from supervisors.node.config import ActorConfig
from supervisors.node.counting import CountError, Machine, evaluate_count
from supervisors.node.entries import Entry, Role
from supervisors.node.faults import ConfigurationError
from supervisors.node.layers import Layer, Layered
from supervisors.node.loading import load_config
from supervisors.node.ordering import check_needs, in_start_order
from supervisors.node.positions import index_positions
from supervisors.node.sources import read_text
from supervisors.node.validating import validate

MACHINE = Machine(cpus=4, mem_gib=8.0)
NAMES = st.text("abz_-/. \"'#=[]{}é\t", min_size=1, max_size=6)
SCALARS = st.one_of(
    st.integers(-5, 5), st.booleans(), st.text("a#]}\"',=\n\\", max_size=8), st.floats(0, 1, allow_nan=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(NAMES, st.one_of(VALUES, st.dictionaries(NAMES, VALUES, max_size=3)), max_size=4)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def inline(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case list():
            return "[" + ", ".join(map(inline, value)) + "]"
        case dict():
            return "{ " + ", ".join(f"{quoted(key)} = {inline(item)}" for key, item in value.items()) + " }"
        case _:
            return repr(value)


def spread(value: object) -> str:
    """Write a value over several lines where TOML allows it."""
    if isinstance(value, list):
        return "[ # [a = 1]\n" + "".join(f"  {inline(item)}, # ]\n" for item in value) + "]"
    if isinstance(value, str) and "\n" in value and '"""' not in value and "\\" not in value and value[-1] != '"':
        return f'"""\n{value}"""'
    return inline(value)


@settings(deadline=None)
@given(DOCUMENTS, st.lists(st.sampled_from(["", "# x = [\n", "\n"]), min_size=30, max_size=30))
def test_every_key_of_a_document_is_found_on_the_line_it_was_written(document, gaps):
    text, written, filler = "", {}, iter(gaps)
    for key, value in sorted(document.items(), key=lambda item: isinstance(item[1], dict)):
        text += next(filler)
        written[(key,)] = text.count("\n") + 1
        if not isinstance(value, dict):
            text += f"{quoted(key)} = {spread(value)}\n"
            continue
        text += f"[ {quoted(key)} ] # header\n"
        for inner, item in value.items():
            text += next(filler)
            written[(key, inner)] = text.count("\n") + 1
            text += f"{quoted(inner)}={spread(item)} # after\n"

    positions = index_positions(text)

    assert tomllib.loads(text) == document
    assert {path: positions.nearest(path).line for path in written} == written
    assert all(path in positions for path in written)


@settings(deadline=None)
@given(st.text(st.sampled_from("ab.=[]{}\"'#,\n \\1-")))
def test_any_text_is_read_or_refused_with_one_placed_fault(text):
    layer, faults = read_text(text, "x.toml")

    assert (layer is None) == (len(faults) == 1)
    if layer is not None:
        assert all(path == () or layer.positions.nearest(path).line >= 1 for path in [(), *((k,) for k in layer.data)])
    for fault in faults:
        assert 0 <= fault.line <= text.count("\n") + 1
        assert fault.message.isprintable()


TREES = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


def leaves(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def value_at(tree, path):
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


@settings(deadline=None)
@given(st.lists(TREES, min_size=1, max_size=4))
def test_every_value_is_that_of_the_highest_layer_that_sets_it_and_says_so(trees):
    layers = [Layer(str(number), tree) for number, tree in enumerate(trees)]

    layered = Layered(layers)

    for path, value in leaves(layered.data):
        setting = [layer for layer in layers if dict(leaves(layer.data)).get(path) is not None]
        assert dict(leaves(setting[-1].data))[path] == value
        assert layered.origin(path).source == setting[-1].source
        assert layered.is_set(path)
    for path in {path for tree in trees for path, _ in leaves(tree)} - set(dict(leaves(layered.data))):
        assert not layered.is_set(path) or isinstance(value_at(layered.data, path), dict)
    for path, value in leaves(trees[-1]):
        assert dict(leaves(layered.data))[path] == value


def entries(needs: dict[str, set[str]], orders: dict[str, int]) -> list[Entry]:
    def entry(name: str) -> Entry:
        wanted = tuple(f"/{need}" for need in sorted(needs[name]))
        return Entry(f"/{name}", ("actors", f"/{name}"), Role.ACTOR, ActorConfig(), None, wanted, orders[name])

    return [entry(name) for name in needs]


NODES = "abcdefg"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.sets(st.sampled_from(NODES), max_size=3), max_size=7)
ORDERS = st.fixed_dictionaries({name: st.integers(-2, 2) for name in NODES})


def reachable(needs: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    stack = [start]
    while stack:
        for step in needs[stack.pop()]:
            if step not in found:
                found.add(step)
                stack.append(step)
    return found


@settings(deadline=None)
@given(GRAPHS, ORDERS)
def test_a_circle_is_reported_exactly_when_there_is_one_and_is_one(graph, orders):
    needs = {name: {n for n in found if n in graph and n != name} for name, found in graph.items()}
    circular = {name for name in needs if name in reachable(needs, name)}

    circles = [text.partition(": ")[2].split(" -> ") for _, text, _ in check_needs(entries(needs, orders), ())]

    assert bool(circles) == bool(circular)
    for circle in circles:
        names = [path.strip("/") for path in circle]
        assert names[0] == names[-1]
        assert all(right in needs[left] for left, right in pairwise(names))


@settings(deadline=None)
@given(GRAPHS, ORDERS)
def test_siblings_start_after_what_they_need_and_by_order_where_they_may(graph, orders):
    names = list(graph)
    needs = {name: {n for n in found if n in names[: names.index(name)]} for name, found in graph.items()}
    family = entries(needs, orders)

    ordered = [entry.path.strip("/") for entry in in_start_order(family, family)]

    assert sorted(ordered) == sorted(names)
    for name in names:
        assert all(ordered.index(n) < ordered.index(name) for n in needs[name])
    free = [name for name in ordered if not reachable(needs, name) and not any(name in n for n in needs.values())]
    assert free == sorted(free, key=lambda name: (orders[name], names.index(name)))


EXPRESSIONS = st.recursive(
    st.one_of(st.integers(0, 20).map(str), st.sampled_from(["cpus", "mem_gib", "2.5"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"{parts[0]} {parts[1]} {parts[2]}"),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(EXPRESSIONS)
def test_arithmetic_gives_what_python_s_gives(text):
    names = {"__builtins__": {}, "min": min, "max": max, "cpus": 6.0, "mem_gib": 7.5}
    try:
        expected = eval(text, names)  # the test's own text
    except ZeroDivisionError:
        expected = -1

    try:
        count = evaluate_count(text, Machine(cpus=6, mem_gib=7.5))
    except CountError:
        count = None

    assert count == (int(expected // 1) if 0 <= expected <= 10_000 and len(text) <= 200 else None)


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789 cpusmaxin()+-*/.,_'\"[]"), max_size=40))
def test_any_text_is_a_count_or_refused(text):
    refused = None
    try:
        count = evaluate_count(text, Machine(cpus=2, mem_gib=1.0))
    except CountError as error:
        refused = error

    assert refused.hint if refused is not None else 0 <= count <= 10_000


JUNK = st.one_of(VALUES, st.sampled_from(["5s", "/x", "a:B", "* * * * *", 1, True, [], {}]))
SECTIONS = [
    "runtime",
    "log",
    "history",
    "secrets",
    "defaults",
    "supervisors",
    "actors",
    "loops",
    "io",
    "work",
    "include",
]
KEYS = st.sampled_from(
    ["name", "home", "drain", "child", "list", "gmail", "password", "env", "use", "needs", "count", "backoff", "first",
     "/", "/a", "/a/b", "restart", "cron", "every", "under", "secrets", "args", "enabled", "significant", "retain"]
)  # fmt: skip
NEARLY = st.dictionaries(
    st.sampled_from(SECTIONS),
    st.recursive(JUNK, lambda inner: st.dictionaries(KEYS, inner, max_size=4), max_leaves=12),
    max_size=5,
)


@settings(max_examples=80, deadline=None)
@given(NEARLY)
def test_whatever_stands_in_a_file_is_loaded_or_refused_with_placed_faults(tmp_path_factory, document):
    folder: Path = tmp_path_factory.mktemp("junk", numbered=True)
    path = folder / "actors.toml"
    text = "".join(f"{quoted(key)} = {inline(value)}\n" for key, value in document.items())
    path.write_text(text, encoding="utf-8", newline="\n")

    faults, loaded = (), None
    try:
        loaded = load_config(path, environ={}, directory=folder)
    except ConfigurationError as error:
        faults = error.faults

    assert (loaded is None) == bool(faults)
    for fault in faults:
        assert fault.message
        assert fault.line > 0 or not fault.file.endswith("actors.toml")
    if loaded is not None:
        assert loaded.tree().children
        assert validate_tree(loaded.tree()) == []
        assert arrange(loaded.tree()) == loaded.tree()
        assert loaded.rows()


LEAVES = ["/a/x", "/a/y", "/b/y", "/b/x/z", "/c"]
NEEDED = st.lists(st.sampled_from([*LEAVES, "/a", "/b", "/b/x"]), max_size=1)
BACKOFFS = st.fixed_dictionaries(
    {}, optional={"first": st.sampled_from(["0s", "1s", "1h"]), "max": st.sampled_from(["10ms", "1m"])}
)
DEFAULTS = st.fixed_dictionaries(
    {},
    optional={
        "backoff": BACKOFFS,
        "budget": st.just({"restarts": 1, "within": "1s"}),
        "memory_max": st.just("1GiB"),
        "spares": st.sampled_from([0, 2]),
        "mailbox": st.just({"capacity": 1}),
        "restart": st.sampled_from(["permanent", "transient", "temporary"]),
        "runs_in": st.sampled_from(["pool", "process"]),
    },
)
KINDS = st.sampled_from(
    [
        {},
        {"runs_in": "pool"},
        {"runs_in": "process", "heartbeat": {"miss": 1}, "memory_max": "1GiB", "spares": 1},
        {"memory_max": "1GiB"},
        {"spares": 1},
        {"significant": True},
        {"significant": True, "restart": "transient"},
        {"budget": {"restarts": 1, "within": "1s"}},
        {"restart": "temporary", "needs": ["/c"]},
    ]
)
ACTORS = st.dictionaries(
    st.sampled_from(LEAVES),
    st.builds(
        lambda more, kind: {"use": "a:B", **more, **kind},
        st.fixed_dictionaries(
            {},
            optional={
                "restart": st.sampled_from(["permanent", "transient", "temporary"]),
                "count": st.integers(0, 3),
                "start_order": st.integers(-2, 2),
                "enabled": st.just(True) | st.booleans(),
                "needs": NEEDED,
                "backoff": BACKOFFS,
            },
        ),
        KINDS,
    ),
    min_size=1,
    max_size=4,
)
SUPERVISOR = st.fixed_dictionaries(
    {},
    optional={
        "needs": NEEDED,
        "auto_shutdown": st.sampled_from(["never", "any_significant", "all_significant"]),
        "restart": st.sampled_from(["permanent", "transient", "temporary"]),
        "significant": st.just(False) | st.booleans(),
        "limit": st.just({"restarts": 0}),
    },
)
SUPERVISORS = st.fixed_dictionaries(
    {"/a": SUPERVISOR, "/b": SUPERVISOR, "/b/x": SUPERVISOR}, optional={"/": SUPERVISOR}
)


@settings(max_examples=300, deadline=None)
@given(ACTORS, SUPERVISORS, DEFAULTS)
def test_a_tree_without_faults_here_has_none_for_the_supervisors_either(actors, supervisors, defaults):
    document = {"actors": actors, "supervisors": supervisors, "defaults": {"child": defaults}}
    layered = Layered([Layer("x", document)])
    validated = validate(layered)
    subject = Subject(validated.config, layered, validated.damaged, MACHINE, Path(), {})

    faults = [*validated.faults, *check(subject)]
    event("faulty" if faults else "sound")

    if not faults:
        tree = build_tree(validated.config, MACHINE, Path())
        assert validate_tree(tree) == []
        assert arrange(tree) == tree
