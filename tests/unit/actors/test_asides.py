"""What is moved out of the way gets a name that nothing has."""

from __future__ import annotations

from pathlib import Path

from actors.asides import aside_of


def test_names_of_one_second_differ_and_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    kept = set()
    for n in range(30):
        path.write_text(str(n))
        kept.add(path.rename(aside_of(path, "before")))

    assert sorted(int(file.read_text()) for file in kept) == list(range(30))


def test_a_name_that_only_a_companion_has_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    for _ in range(30):
        end = aside_of(path, "before").name.removeprefix(path.name)
        assert not list(tmp_path.glob(f"*{end}"))
        (tmp_path / f"history-files{end}").mkdir()


def test_a_folder_that_is_not_there_has_room(tmp_path: Path) -> None:
    assert aside_of(tmp_path / "no" / "a", "corrupt").name.startswith("a.corrupt-")
