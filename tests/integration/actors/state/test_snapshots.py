"""What actors keep of their state: the last of it is there again, damage and later programs are said."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from support.working import LIMIT, Stage

from actors import Actor
from actors.state.file import StateError, open_state
from actors.state.snapshots import GENERATIONS, SNAPSHOT_MAX, Keeps, SnapshotError, latest


class Basket(Struct):
    items: list[str] = []


class Keeper(Keeps, Actor):
    """Does in its turn what a test wants done."""

    def on_receive(self, message: Any) -> Any:
        return message(self)


class NewerKeeper(Keeper):
    kept_version = 2


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    with Stage() as stage:
        stage.system.home = tmp_path
        yield stage


def spawn(stage: Any, kind: type[Keeper] = Keeper, path: str = "/shop/basket", generation: int = 1) -> Any:
    return stage.start(path, kind, generation=generation)


def do(ref: Any, work: Any) -> Any:
    return ref.ask(work, timeout=LIMIT)


def crash(stage: Any, ref: Any, error: type[Exception], said: str, work: Any) -> Any:
    """See that `work` fails and ends the actor; return the next instance."""
    with pytest.raises(error, match=said):
        do(ref, work)
    stage.exit_of(ref.path)
    return spawn(stage, generation=2)


@pytest.mark.parametrize("is_open", [False, True], ids=["alone", "beside-queues"])
def test_what_was_kept_last_is_there_for_the_next_instance(stage: Any, tmp_path: Path, is_open: bool) -> None:
    file = open_state(tmp_path / "state.db") if is_open else None
    first = spawn(stage)
    assert do(first, lambda actor: actor.kept(Basket)) is None
    for count in range(5):
        do(first, lambda actor, count=count: actor.keep(Basket(["pear"] * count)))
    stage.stop("/shop/basket")

    assert do(spawn(stage, path="/shop/other"), lambda actor: actor.kept(Basket)) is None
    again = spawn(stage, generation=2)
    assert do(again, lambda actor: actor.kept(Basket)) == Basket(["pear"] * 4)
    found = latest(tmp_path / "state.db", "/shop/basket")
    assert found is not None
    assert (found.number, found.version) == (5, 1)
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as reader:
        assert reader.execute("SELECT count(*) FROM snapshots").fetchone() == (GENERATIONS,)
    if file is not None:
        file.close()


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(stage: Any, tmp_path: Path, caplog: Any) -> None:
    ref = spawn(stage)
    do(ref, lambda actor: actor.keep("one"))
    do(ref, lambda actor: actor.keep("two"))
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as writer:
        writer.execute("UPDATE snapshots SET state = zeroblob(4) WHERE number = 2")
        writer.commit()

    assert do(ref, lambda actor: actor.kept(str)) == "one"
    assert "snapshot 2 of /shop/basket is damaged" in caplog.text

    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as writer:
        writer.execute("UPDATE snapshots SET state = zeroblob(4)")
        writer.commit()
    ref = crash(stage, ref, SnapshotError, "so is the one before", lambda actor: actor.kept(str))
    do(ref, lambda actor: actor.forget())
    assert do(ref, lambda actor: actor.kept(str)) is None


def test_a_snapshot_of_an_older_version_is_upgraded_and_one_of_a_later_refused(stage: Any) -> None:
    old = spawn(stage)
    do(old, lambda actor: actor.keep(["pear"]))
    stage.stop("/shop/basket")

    renamed = spawn(stage, NewerKeeper, generation=2)
    with pytest.raises(SnapshotError, match="is of version 1, and there is no upgrade to 2"):
        do(renamed, lambda actor: actor.kept(Basket))
    stage.exit_of("/shop/basket")
    renamed = spawn(stage, NewerKeeper, generation=3)
    upgraded = do(renamed, lambda actor: actor.kept(Basket, upgrade=lambda state, version: {"items": state}))
    assert upgraded == Basket(["pear"])
    do(renamed, lambda actor: actor.keep(upgraded))
    assert do(renamed, lambda actor: actor.kept(Basket)) == upgraded
    stage.stop("/shop/basket")
    with pytest.raises(SnapshotError, match="is of version 2, this is 1"):
        do(spawn(stage, generation=4), lambda actor: actor.kept(Basket))


@pytest.mark.parametrize(
    ("state", "said"),
    [(b"x" * (SNAPSHOT_MAX + 1), "bytes are no"), (object(), "no snapshot of"), (1 << 80, "no snapshot of")],
    ids=["large", "object", "number"],
)
def test_what_cannot_be_kept_is_refused_and_the_last_stays(stage: Any, state: Any, said: str) -> None:
    said = said.replace("bytes are no", f"{SNAPSHOT_MAX} are allowed")
    ref = spawn(stage)
    do(ref, lambda actor: actor.keep("before"))

    ref = crash(stage, ref, SnapshotError, said, lambda actor: actor.keep(state))

    assert do(ref, lambda actor: actor.kept(str)) == "before"


def test_one_that_is_not_what_it_is_read_as_is_said(stage: Any) -> None:
    ref = spawn(stage)
    do(ref, lambda actor: actor.keep({"items": 3}))

    with pytest.raises(SnapshotError, match=r"Expected `array`, got `int` - at `\$.items`"):
        do(ref, lambda actor: actor.kept(Basket))


def test_a_file_that_cannot_be_written_is_an_error_and_no_silence(stage: Any, tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()

    with pytest.raises(StateError, match="not written"):
        do(spawn(stage), lambda actor: actor.keep("x"))


def test_a_system_without_a_home_says_so(stage: Any) -> None:
    stage.system.home = None

    with pytest.raises(SnapshotError, match="has no home"):
        do(spawn(stage), lambda actor: actor.keep("x"))
