"""New projects: what `init` writes is sound, overwrites nothing, and is cleared away when it cannot be finished."""

import sys

import pytest

from supervisors.node.loading import load_config
from supervisors.node.projects import TEMPLATES, ProjectExistsError, write_project


@pytest.fixture(autouse=True)
def path_restored(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("my_actors", None)


@pytest.mark.parametrize("template", TEMPLATES)
def test_new_project_is_a_sound_configuration(tmp_path, template):
    folder = tmp_path / "new" / "project"

    written = write_project(folder, template)

    loaded = load_config(environ={}, directory=folder, imports=template == "minimal")
    assert loaded.file == folder / "actors.toml"
    assert all(path.is_file() for path in written)
    assert {path.name for path in written} >= {"actors.toml", ".gitignore"}


def test_minimal_project_has_an_actor_of_its_own(tmp_path):
    folder = tmp_path / "My Project!"

    written = write_project(folder)

    loaded = load_config(environ={}, directory=folder, imports=True)
    assert [path.name for path in written] == ["actors.toml", "my_actors.py", ".gitignore"]
    assert loaded.config.runtime.name == "my-project"
    assert [child.id for child in loaded.tree().children] == ["sys", "app"]
    assert [child.id for child in loaded.tree().children[1].start.children] == ["counter", "reader"]


@pytest.mark.parametrize("standing", ["actors.toml", "my_actors.py"])
def test_nothing_is_overwritten_and_nothing_else_written(tmp_path, standing):
    (tmp_path / standing).write_text("mine")

    with pytest.raises(ProjectExistsError, match="nothing was written") as caught:
        write_project(tmp_path)

    assert caught.value.files == (tmp_path / standing,)
    assert [path.name for path in tmp_path.iterdir()] == [standing]
    assert (tmp_path / standing).read_text() == "mine"


def test_link_that_leads_nowhere_counts_as_there(tmp_path):
    (tmp_path / "actors.toml").symlink_to(tmp_path / "nowhere")

    with pytest.raises(ProjectExistsError):
        write_project(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, ".actors/\n"),
        ("*.pyc", "*.pyc\n.actors/\n"),
        ("*.pyc\n", "*.pyc\n.actors/\n"),
        (".actors/\n", ".actors/\n"),
        (".actors\n", ".actors\n"),
    ],
)
def test_gitignore_is_kept_and_gets_a_line(tmp_path, before, after):
    if before is not None:
        (tmp_path / ".gitignore").write_text(before)

    written = write_project(tmp_path)

    assert (tmp_path / ".gitignore").read_text() == after
    assert (tmp_path / ".gitignore" in written) is (before != after)


def test_unfinished_project_is_cleared_away(tmp_path):
    (tmp_path / ".gitignore").mkdir()

    with pytest.raises(OSError, match="directory"):
        write_project(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


def test_unknown_template_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="the templates are minimal, builtin"):
        write_project(tmp_path, "maximal")
