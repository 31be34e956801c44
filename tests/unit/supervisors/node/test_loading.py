"""Loading: which source wins, where each value came from, and files that cannot be read."""

import os
import sys
from pathlib import Path

import pytest
from support.configurations import MACHINE, faults_of, load, write

from supervisors.node.faults import ConfigurationError
from supervisors.node.layers import Origin
from supervisors.node.loading import load_config
from supervisors.node.sources import FILE_LIMIT, Flag

DRAIN = ("runtime", "drain")


def test_each_source_lays_over_the_one_below_and_is_named_as_the_origin(tmp_path):
    main = '[runtime]\nname = "main"\n\ndrain = "1s"\n'
    flag = Flag("--drain", DRAIN, "5s")
    seen = []

    seen.append(load(tmp_path, ""))
    seen.append(load(tmp_path, main))
    write(tmp_path, '[runtime]\ndrain = "2s"\n', "conf.d/a.toml")
    seen.append(load(tmp_path, main))
    write(tmp_path, 'version = 1\n[runtime]\n# later by name\ndrain = "3s"\n', "conf.d/b.toml")
    seen.append(load(tmp_path, main))
    seen.append(load(tmp_path, main, {"ACTORS_RUNTIME__DRAIN": "4s"}))
    seen.append(load(tmp_path, main, {"ACTORS_RUNTIME__DRAIN": "4s"}, flags=[flag]))

    assert [(loaded.config.runtime.drain, str(loaded.origin(DRAIN))) for loaded in seen] == [
        (30.0, "default"),
        (1.0, "actors.toml:4"),
        (2.0, f"conf.d{os.sep}a.toml:2"),
        (3.0, f"conf.d{os.sep}b.toml:4"),
        (4.0, "environment ACTORS_RUNTIME__DRAIN"),
        (5.0, "flag --drain"),
    ]
    assert seen[-1].config.runtime.name == "main"
    assert seen[3].sources == ("built-in", "actors.toml", f"conf.d{os.sep}a.toml", f"conf.d{os.sep}b.toml")


def test_tables_are_merged_key_by_key_and_lists_replaced_as_a_whole(tmp_path):
    main = """\
        [supervisors."/a"]
        [actors."/a/x"]
        use = "a:B"
        args = { one = 1, two = 2 }
        needs = ["/a/y", "/a/z"]
        [actors."/a/y"]
        use = "a:B"
        [actors."/a/z"]
        use = "a:B"
        """
    write(tmp_path, '[actors."/a/x"]\nargs = { two = 3 }\nneeds = ["/a/z"]\n', "conf.d/over.toml")

    loaded = load(tmp_path, main)

    actor = loaded.config.actors["/a/x"]
    assert actor.args == {"one": 1, "two": 3}
    assert actor.needs == ("/a/z",)
    assert loaded.origin(("actors", "/a/x", "use")) == Origin("actors.toml", 3)
    assert loaded.origin(("actors", "/a/x", "args", "one")) == Origin("actors.toml", 4)
    assert loaded.origin(("actors", "/a/x", "args", "two")) == Origin(f"conf.d{os.sep}over.toml", 2)
    assert loaded.origin(("actors", "/a/x", "needs", 0)) == Origin(f"conf.d{os.sep}over.toml", 3)


def test_fault_in_a_later_file_is_placed_there(tmp_path):
    write(tmp_path, '\n[runtime]\ndrain = "2"\n', "conf.d/a.toml")

    (fault,) = faults_of(tmp_path, '[runtime]\ndrain = "1s"\n')

    assert fault.place == f"conf.d{os.sep}a.toml:3"


def test_include_names_the_files_laid_over(tmp_path):
    write(tmp_path, '[runtime]\nname = "one"\n', "more/one.toml")
    write(tmp_path, '[runtime]\nname = "ignored"\n', "conf.d/a.toml")

    loaded = load(tmp_path, 'include = ["more/*.toml"]\n')

    assert loaded.config.runtime.name == "one"


def test_folder_that_a_pattern_finds_is_passed_over(tmp_path):
    (tmp_path / "conf.d" / "folder.toml").mkdir(parents=True)

    assert load(tmp_path, "").sources == ("built-in", "actors.toml")


def test_table_of_several_files_belongs_to_the_first(tmp_path):
    write(tmp_path, '[loops.list.a]\ntitle = "t"\n', "conf.d/a.toml")

    (fault,) = faults_of(tmp_path, '[supervisors."/agents"]\n\n[loops.list.a]\ntask = "resources"\n')

    assert fault.place == "actors.toml:3"
    assert "no schedule" in fault.message


def test_included_file_that_is_not_there_is_a_fault_unless_it_was_a_pattern(tmp_path):
    (fault,) = faults_of(tmp_path, 'include = ["none/*.toml", "gone.toml"]\n')

    assert (fault.file, fault.message) == ("gone.toml", "there is no such file")


def test_included_file_includes_no_others(tmp_path):
    write(tmp_path, 'version = 1\ninclude = ["x.toml"]\n', "conf.d/a.toml")

    (fault,) = faults_of(tmp_path, "")

    assert (fault.line, fault.key) == (2, "include")
    assert "includes no others" in fault.message


@pytest.mark.parametrize("pattern", ["/etc/*.toml", "**a/*.toml"])
def test_include_pattern_that_cannot_be_followed_is_a_fault(tmp_path, pattern):
    (fault,) = faults_of(tmp_path, f'\ninclude = ["{pattern}"]\n')

    assert (fault.line, fault.key) == (2, "include[0]")


def test_without_a_file_the_one_of_the_folder_is_taken(tmp_path):
    write(tmp_path, '[runtime]\nname = "here"\n')

    loaded = load_config(environ={}, directory=tmp_path, machine=MACHINE)

    assert loaded.config.runtime.name == "here"
    assert loaded.file == tmp_path / "actors.toml"


def test_without_any_file_the_built_in_system_is_loaded(tmp_path):
    loaded = load_config(environ={}, directory=tmp_path, machine=MACHINE)

    assert loaded.file is None
    assert loaded.config.loops is not None
    assert len(loaded.config.loops.list) == 15
    assert loaded.origin(("runtime", "name")).source == "built-in"
    assert loaded.home == tmp_path / ".actors"


def test_tree_in_python_has_the_built_in_sys_alone_beside_it(tmp_path):
    write(tmp_path, '[runtime]\nname = "not read"\n')

    loaded = load_config(environ={"ACTORS_RUNTIME__NAME": "n"}, directory=tmp_path, machine=MACHINE, is_app=True)

    assert loaded.config.runtime.name == "n"
    assert loaded.config.loops is None
    assert {path.split("/")[1] for path in loaded.config.actors} == {"sys"}


def test_sys_lies_under_every_file_and_can_be_changed(tmp_path):
    loaded = load(tmp_path, '[actors."/sys/watchdog"]\nenabled = false\n')

    assert loaded.config.actors["/sys/watchdog"].use == "actors.telemetry.watchdog:Watchdog"
    assert not loaded.config.actors["/sys/watchdog"].enabled
    assert "watchdog" not in [child.id for child in loaded.tree().children[0].start.children]


def test_relative_paths_start_from_the_folder_of_the_file(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "data").mkdir()
    path = write(tmp_path / "project", '[runtime]\nhome = "kept"\ndirectory = "data"\n')

    loaded = load_config(path, environ={}, directory=tmp_path, machine=MACHINE)

    assert loaded.home == tmp_path / "project" / "kept"
    assert loaded.inventory == tmp_path / "project" / "data"
    assert loaded.sources[1] == f"project{os.sep}actors.toml"


def test_home_of_the_user_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    loaded = load(tmp_path, '[runtime]\nhome = "~/kept"\n')

    assert loaded.home == tmp_path / "kept"


def test_byte_order_mark_and_windows_line_ends_are_taken(tmp_path):
    path = tmp_path / "actors.toml"
    path.write_bytes(b'\xef\xbb\xbf[runtime]\r\nname = "x"\r\ndrain = "5"\r\n')

    with pytest.raises(ConfigurationError) as caught:
        load_config(path, environ={}, directory=tmp_path)

    (fault,) = caught.value.faults
    assert (fault.line, fault.key) == (3, "runtime.drain")


SYNTAX = [
    ("a = 1\nb = \n", 2, 5, "invalid value", ""),
    ("a = 1\n\nname = openclaw\n", 3, 8, "invalid value", "quotes"),
    ("[actors./io/gmail]\n", 1, 9, "", "quotes"),
    ("[runtime\n", 1, 9, "expected ']'", "quotes"),
    ("a = 1\na = 2\n", 2, 6, "cannot overwrite", "once"),
    ("[x]\n[y]\n[x]\n", 3, 3, "cannot declare", "once"),
    ("a 1\n", 1, 3, "expected '='", "key = value"),
    ('a = "open\n', 1, 10, "illegal character", ""),
    ('a = """open\n', 2, 1, "unterminated", ""),
    ("a = 1 b = 2\n", 1, 7, "expected newline", ""),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), SYNTAX, ids=[text for text, *_ in SYNTAX])
def test_text_that_is_not_toml_is_placed_by_line_and_column(tmp_path, text, line, column, message, hint):
    (fault,) = faults_of(tmp_path, text)

    assert (fault.line, fault.column) == (line, column)
    assert message in fault.message
    assert hint in fault.hint
    assert fault.place == f"actors.toml:{line}:{column}"


def test_deep_nesting_is_refused_at_its_line(tmp_path):
    (fault,) = faults_of(tmp_path, "a = 1\nb = " + "[" * 5_000 + "]" * 5_000)

    assert fault.line == 2
    assert "nested deeper" in fault.message


def test_number_too_long_to_convert_is_refused(tmp_path):
    (fault,) = faults_of(tmp_path, "a = " + "1" * 10_000)

    assert "cannot be read" in fault.message
    assert len(fault.message) < 300


def test_file_that_is_not_utf8_is_placed_by_line_and_column(tmp_path):
    path = tmp_path / "actors.toml"
    path.write_bytes(b'[runtime]\nname = "caf\xe9"\n')

    with pytest.raises(ConfigurationError) as caught:
        load_config(path, environ={}, directory=tmp_path)

    (fault,) = caught.value.faults
    assert (fault.line, fault.column) == (2, 12)
    assert "not UTF-8" in fault.message


def test_file_that_is_not_there_is_a_fault(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load_config(Path("gone.toml"), environ={}, directory=tmp_path)

    (fault,) = caught.value.faults
    assert (fault.file, fault.message) == ("gone.toml", "there is no such file")
    assert "actorctl init" in fault.hint


def test_folder_in_place_of_a_file_is_a_fault(tmp_path):
    with pytest.raises(ConfigurationError, match="folder, not a file"):
        load_config(tmp_path, environ={}, directory=tmp_path)


def test_file_that_cannot_be_opened_is_a_fault_with_the_system_s_reason(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*name.* too long"):
        load_config(Path("x" * 300), environ={}, directory=tmp_path)


def test_file_beyond_the_size_limit_is_not_read(tmp_path):
    (fault,) = faults_of(tmp_path, "#" * (FILE_LIMIT + 1))

    assert "larger than" in fault.message


def test_binary_file_is_a_fault(tmp_path):
    path = tmp_path / "actors.toml"
    path.write_bytes(bytes(range(256)) * 40)

    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_config(path, environ={}, directory=tmp_path)


def test_syntax_fault_hides_no_faults_of_the_other_files(tmp_path):
    write(tmp_path, "a = \n", "conf.d/broken.toml")

    faults = faults_of(tmp_path, '[runtime]\ndrain = "1"\n')

    assert [fault.place for fault in faults] == ["actors.toml:2", f"conf.d{os.sep}broken.toml:1:5"]


def test_module_that_hides_the_runtime_is_named(tmp_path):
    (tmp_path / "actors.py").write_text("")

    (fault,) = faults_of(tmp_path, "")

    assert fault.file == "actors.py"
    assert "hides the runtime's own package" in fault.message


def test_faults_are_ordered_by_file_and_line_and_the_text_names_each(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, '[runtime]\nname = 5\ndrain = "x"\n', {"ACTORS_RUNTIME__HOMME": "x"})

    assert [fault.line for fault in caught.value.faults] == [2, 3, 0]
    assert str(caught.value).splitlines()[0] == "3 faults in the configuration:"
    assert "actors.toml:2: runtime.name: expected text" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_loading_imports_no_actor_unless_it_is_asked_to(tmp_path):
    (tmp_path / "not_imported_by_load.py").write_text("raise RuntimeError")

    load(tmp_path, '[actors."/a"]\nuse = "not_imported_by_load:A"\n')

    assert "not_imported_by_load" not in sys.modules


@pytest.mark.skipif(sys.platform == "win32", reason="names there are text")
def test_a_folder_whose_path_is_no_text_is_one_fault_that_says_what_would_be_right(tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff")
    odd.mkdir()

    with pytest.raises(ConfigurationError) as raised:
        load_config(directory=odd, environ={}, machine=MACHINE)

    (fault,) = raised.value.faults
    assert fault.message == "its path is no text here"
    assert "LC_ALL=C.UTF-8" in fault.hint
    assert fault.file.isascii()
