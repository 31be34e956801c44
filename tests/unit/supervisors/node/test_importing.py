"""Importing what a configuration names: what went wrong is said in one line, with the place."""

import sys

import pytest
from support.configurations import faults_of, load

from supervisors.node.importing import ImportTargetError, add_import_root, check_arguments, import_target

MODULES = {
    "imports_fine": "from actors import Actor\nclass Box(Actor):\n    class Inner: pass\n"
    "    def __init__(self, size, *, name='x'): pass\nnumber = 5\n",
    "imports_nothing_there": "import there_is_no_such_module_at_all\n",
    "imports_raising": "\n\nraise ValueError('first line\\nsecond line')\n",
    "imports_exit": "raise SystemExit(3)\n",
    "imports_broken": "def x(:\n",
    "imports_rude": "class E(Exception):\n    def __str__(self): raise KeyError\nraise E\n",
}


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("target", ["imports_fine:Box", "imports_fine:Box.Inner", "os.path:join"])
def test_name_is_imported_from_the_folder_and_from_packages(tmp_path, target):
    add_import_root(tmp_path)

    assert import_target(target).__name__ == target.replace(".", ":").rpartition(":")[2]


@pytest.mark.parametrize(
    ("target", "why", "hint"),
    [
        ("imports_nowhere:Box", "there is no module imports_nowhere", "imports_nowhere.py beside"),
        ("imports_nowhere.sub:Box", "there is no module imports_nowhere", "imports_nowhere.py beside"),
        ("os.nowhere:Box", "there is no module os.nowhere", "os/nowhere.py"),
        ("imports_fine:Bx", "imports_fine has no Bx", '"Box"'),
        ("imports_fine:Box.Iner", "imports_fine has no Box.Iner", '"Inner"'),
        ("imports_nothing_there:X", "needs the module there_is_no_such_module_at_all", "install there_is"),
        ("imports_raising:X", "ValueError: first line (imports_raising.py:3)", "mend"),
        ("imports_exit:X", "SystemExit: 3", "mend"),
        ("imports_broken:X", "SyntaxError", "mend"),
        ("imports_rude:X", "str() of the error failed", "mend"),
        ("imports_fine", "names no class", "package.module:Class"),
    ],
)
def test_what_cannot_be_imported_is_explained(tmp_path, target, why, hint):
    add_import_root(tmp_path)

    with pytest.raises(ImportTargetError) as caught:
        import_target(target)

    assert why in str(caught.value)
    assert hint in caught.value.hint


def test_folder_goes_to_the_front_of_the_path_once(tmp_path):
    add_import_root(tmp_path)
    add_import_root(tmp_path)

    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [({}, "missing a required argument: 'size'"), ({"size": 1, "nme": 2}, "unexpected keyword argument 'nme'")],
)
def test_arguments_that_do_not_fit_are_told_which_ones_do(tmp_path, kwargs, why):
    add_import_root(tmp_path)

    with pytest.raises(ImportTargetError, match=why) as caught:
        check_arguments("imports_fine:Box", import_target("imports_fine:Box"), kwargs)

    assert caught.value.hint == "it takes size, name"


def test_what_is_no_class_is_refused(tmp_path):
    add_import_root(tmp_path)

    with pytest.raises(ImportTargetError, match="is no class: it is a int"):
        check_arguments("imports_fine:number", import_target("imports_fine:number"), {})


def test_check_imports_every_class_and_reports_all_that_fail_with_their_lines(tmp_path):
    sys_off = "".join(f'[actors."/sys/{n}"]\nenabled = false\n' for n in ("recorder", "scheduler", "resource-monitor"))
    text = f"""\
[actors."/good"]
use = "imports_fine:Box"
args = {{ size = 1 }}
[actors."/gone"]
use = "imports_nowhere:Box"
[actors."/typo"]
use = "imports_fine:Bx"
[actors."/less"]
use = "imports_fine:Box"
{sys_off}
[actors."/sys/watchdog"]
enabled = false
"""

    faults = faults_of(tmp_path, text, imports=True)

    assert [(fault.line, fault.key) for fault in faults] == [
        (5, 'actors."/gone".use'),
        (7, 'actors."/typo".use'),
        (8, 'actors."/less".args'),
    ]


def test_modules_of_processes_are_looked_for_but_not_run_when_they_are_spared(tmp_path):
    text = """\
[defaults.child]
runs_in = "process"
[actors."/raising"]
use = "imports_raising:X"
[actors."/gone"]
use = "imports_nowhere:Box"
[actors."/here"]
use = "imports_nothing_there:Box"
runs_in = "thread"
"""

    faults = faults_of(tmp_path, text, imports=True, spare_processes=True)

    assert [(fault.line, fault.key) for fault in faults] == [(6, 'actors."/gone".use'), (8, 'actors."/here".use')]
    assert "imports_raising" not in sys.modules


@pytest.mark.parametrize(
    ("loop", "line", "key", "why"),
    [
        ('task = "nothing"', 4, "loops.list.a.task", "there is no task 'nothing'; there are: backup-check"),
        ("", 2, "loops.list.a", "missing a required argument: 'task'"),
        ('task = "resources"\noptions = { x = 1 }', 5, "loops.list.a.options", "has no option 'x'"),
    ],
)
def test_loop_is_checked_for_its_task_and_options(tmp_path, loop, line, key, why):
    text = f'[supervisors."/agents"]\n[loops.list.a]\nevery = "1m"\n{loop}\n'

    (fault,) = faults_of(tmp_path, text, imports=True)

    assert (fault.line, fault.key) == (line, key)
    assert why in fault.message


def test_secret_counts_as_an_argument_when_arguments_are_checked(tmp_path):
    sys_off = "".join(
        f'[actors."/sys/{n}"]\nenabled = false\n' for n in ("recorder", "scheduler", "resource-monitor", "watchdog")
    )
    text = '[secrets]\nsize = { env = "HOME" }\n[actors."/good"]\nuse = "imports_fine:Box"\nsecrets = ["size"]\n'

    load(tmp_path, text + sys_off, {"HOME": "x"}, imports=True)
