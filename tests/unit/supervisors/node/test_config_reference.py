"""The reference names every key with its type, default and meaning as the models have them."""

import re
import sys
from pathlib import Path

import pytest
from support.config_reference import HEAD, TABLES, table_of

from supervisors.node import config
from supervisors.node.apps import load_app
from supervisors.node.loading import load_config
from supervisors.node.shapes import keys_of
from supervisors.node.sources import FILE_LIMIT

DOCS = Path(__file__).parents[4] / "docs"
REFERENCE = DOCS / "reference" / "configuration.md"


def sections() -> dict[str, list[str]]:
    parts = re.split(r"^## ", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition("\n")[0]: part.splitlines() for part in parts[1:]}


@pytest.mark.parametrize("heading", TABLES)
def test_reference_says_of_each_key_what_the_model_says(heading):
    rows = [line for line in sections()[heading] if line.startswith("|")]

    assert rows == table_of(TABLES[heading])


def test_reference_has_no_table_of_keys_beside_those_of_the_models():
    tables = {heading for heading, lines in sections().items() if HEAD[0] in lines}

    assert tables == set(TABLES)


def test_every_model_is_in_the_reference():
    def below(section):
        yield section
        for shape in keys_of(section).values():
            inner = shape.section or (shape.entries.section if shape.entries is not None else None)
            if inner is not None:
                yield from below(inner)

    grouping = {config.DefaultsConfig}  # holds [defaults.child] and nothing else

    assert set(below(config.Config)) - grouping <= set(TABLES.values())


def test_limits_in_the_prose_are_those_of_the_code():
    assert FILE_LIMIT == 1024 * 1024
    assert "at most 1 MiB" in REFERENCE.read_text(encoding="utf-8").replace("\n", " ")


@pytest.mark.parametrize("document", ["reference/configuration.md", "howto/configure.md"])
def test_configurations_in_the_documents_are_sound(document, tmp_path, monkeypatch):
    text = (DOCS / document).read_text(encoding="utf-8")
    for name in ("GMAIL_PASSWORD", "MAIL_PASSWORD"):
        monkeypatch.setenv(name, "x")
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "inbox").mkdir()
        (folder / "actors.toml").write_text(block, encoding="utf-8")

        load_config(directory=folder)


def test_tree_in_python_of_the_document_is_sound(tmp_path, monkeypatch):
    (block,) = re.findall(r"^```python\n(.*?)^```", (DOCS / "howto/configure.md").read_text("utf-8"), re.M | re.S)
    (tmp_path / "app_of_the_document.py").write_text(block.replace("my_actors", "actors_of_the_document"), "utf-8")
    (tmp_path / "actors_of_the_document.py").write_text("class Parser: ...\nclass Reader: ...\n")
    monkeypatch.setattr(sys, "path", list(sys.path))

    tree = load_app("app_of_the_document:app", directory=tmp_path)

    assert [child.id for child in tree.children[0].start.children] == ["parser", "reader"]
