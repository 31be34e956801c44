"""A tree in Python is the same values as a tree in TOML."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest
from support.configurations import load

from actors.policies.backoff import Backoff
from supervisors.api import Limit, backoff, child, heartbeat, load_app, restart, secret, supervisor
from supervisors.node.faults import ConfigurationError
from supervisors.specs import Budget, ChildSpec, Heartbeat, ImportStart, LocalStart, Restart, Strategy, SupervisorSpec


class FolderReader:
    dispatcher = "pool"


class HTTPServer:
    pass


def test_tree_in_python_is_the_tree_in_toml(tmp_path):
    text = """\
        [supervisors."/"]
        limit = { restarts = 3, within = "1m" }
        [supervisors."/io"]
        strategy = "rest_for_one"
        on_limit = "park"
        [actors."/io/mail"]
        use = "my:Mail"
        args = { host = "h" }
        runs_in = "process"
        restart = "transient"
        shutdown = "3s"
        backoff = { first = "1s", max = "1m" }
        heartbeat = { every = "5s", miss = 3 }
        budget = { restarts = 2, within = "1h" }
        memory_max = "1GiB"
        spares = 1
        [actors."/reader"]
        use = "my:Reader"
        needs = ["/io"]
        """
    (system, *written) = load(tmp_path, text).tree().children

    app = supervisor(
        "/",
        limit=restart(3, within="1m"),
        children=[
            supervisor(
                "io",
                strategy="rest_for_one",
                on_limit="park",
                children=[
                    child(
                        "my:Mail",
                        args={"host": "h"},
                        runs_in="process",
                        restart="transient",
                        shutdown="3s",
                        backoff=backoff("1s", max="1m"),
                        heartbeat=heartbeat("5s", miss=3),
                        budget=restart(2, within="1h"),
                        memory_max="1GiB",
                        spares=1,
                    )
                ],
            ),
            child("my:Reader", backoff=backoff("500ms"), needs=["/io"]),
        ],
    )

    assert system.id == "sys"
    assert app.start.children == tuple(written)
    assert (app.start.intensity, app.start.period) == (3, 60.0)


def test_class_runs_where_it_says_and_is_called_by_its_name():
    assert child(FolderReader) == ChildSpec("folder-reader", LocalStart(FolderReader), runs_in="pool", shutdown=10.0)
    assert child(HTTPServer).id == "http-server"
    assert child(HTTPServer).runs_in == "thread"
    assert child("package.module:FolderReader").id == "folder-reader"
    assert child(HTTPServer, id="web").id == "web"


def test_class_for_a_process_is_named_by_its_import_path():
    assert child(FolderReader, runs_in="process", args={"a": 1}).start == ImportStart(
        f"{__name__}:FolderReader", {"a": 1}
    )


def test_class_that_no_other_process_can_import_is_refused():
    class Inner:
        pass

    with pytest.raises(ValueError, match="cannot run in a process of its own"):
        child(Inner, runs_in="process")


def test_words_and_values_are_both_taken():
    assert child("a:B", restart="temporary").restart is Restart.TEMPORARY
    assert child("a:B", restart=Restart.TEMPORARY, shutdown="brutal_kill").shutdown == "brutal_kill"
    assert child("a:B", shutdown=2).shutdown == 2.0
    assert child("a:B", memory_max=5).memory_max_bytes == 5
    assert child("a:B", budget=restart(1, within=2)).budget == Budget(1, 2.0)
    assert backoff(1) == Backoff(1.0, 2.0, 300.0, 0.2, 600.0)
    assert heartbeat("1s") == Heartbeat(1.0, 2)
    assert restart(1, within="1m") == Limit(1, 60.0)
    assert supervisor("x", strategy="simple_one_for_one", max_children=3).start.strategy is Strategy.SIMPLE_ONE_FOR_ONE


def test_secrets_stand_in_a_spec_by_their_places():
    spec = child(FolderReader, args={"a": 1}, secrets={"token": secret(env="T"), "key": secret(file="k")})

    assert spec.runs_in == "pool"
    assert spec.start == ImportStart(
        f"supervisors.node.secretive:of.{__name__}.FolderReader",
        {"args": {"a": 1}, "secrets": {"token": {"env": "T"}, "key": {"file": str(Path("k").absolute())}}},
    )


@pytest.mark.parametrize("places", [{}, {"env": "a", "file": "b"}])
def test_secret_without_one_place_is_refused(places):
    with pytest.raises(ValueError, match="one place"):
        secret(**places)


@pytest.mark.parametrize("make", [lambda: child("a:B", restart="never"), lambda: restart(1, within="5")])
def test_words_that_are_none_are_refused(make):
    with pytest.raises(ValueError, match=r"never|no unit"):
        make()


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "an_app.py").write_text(
        dedent(
            """
            from supervisors.api import child, supervisor
            app = supervisor("/", children=[child("a:B", id="x")])
            tree = app.start
            number = 5
            faulty = supervisor("/", children=[child("a:B", id="x y", needs=["z"])])
            def make():
                return app
            def fail():
                raise RuntimeError("no tree today")
            """
        )
    )
    yield tmp_path
    sys.modules.pop("an_app", None)


@pytest.mark.parametrize("name", ["app", "tree", "make"])
def test_tree_is_found_by_its_import_path(module, name):
    tree = load_app(f"an_app:{name}", directory=module)

    assert isinstance(tree, SupervisorSpec)
    assert [spec.id for spec in tree.children] == ["x"]


def test_tree_with_faults_is_refused_with_all_of_them(module):
    with pytest.raises(ConfigurationError) as caught:
        load_app("an_app:faulty", directory=module)

    assert [fault.key.rpartition(" ")[2] for fault in caught.value.faults] == ["id", "needs"]
    assert all(fault.file == "an_app:faulty" for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("an_app:number", "it is no tree but a int"),
        ("an_app:fail", "it raised RuntimeError: no tree today"),
        ("an_app:ap", "an_app has no ap .*did you mean"),
        ("no_such_app:app", "there is no module no_such_app"),
        ("an_app", "names no class"),
    ],
)
def test_what_is_no_tree_is_a_fault_of_the_configuration(module, target, why):
    with pytest.raises(ConfigurationError, match=why):
        load_app(target, directory=module)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: child(3), "actor is a class"),
        (lambda: child("a:B", needs="io"), "needs is a list of ids or paths, got 'io'"),
        (lambda: child("a:B", budget=3), "a limit is what restart"),
        (lambda: supervisor("/", needs=3), "needs is a list"),
        (lambda: supervisor("/", children="ab"), "children is a list of child specs"),
        (lambda: supervisor("/", children=child("a:B")), "children is a list of child specs"),
        (lambda: supervisor("/", limit=3), "a limit is what restart"),
    ],
    ids=["actor", "needs-text", "budget", "needs-number", "children-text", "one-child", "limit"],
)
def test_an_argument_of_another_kind_is_refused_where_it_is_written(make, why):
    with pytest.raises(TypeError, match=why):
        make()
