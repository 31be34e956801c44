"""What README and docs say is so: their commands are run, their code compiles, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.command_line import parse
from support.docs import ROOT, Page, PageError, blocks_of, make_names, pages, steps_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pages are read at a pseudo-terminal and by bash")

PAGES = pages()
RUN = [page for page in PAGES if any(block.language == "console" for block in blocks_of(page))]
BY_HAND = re.compile(r"git clone |cd |python3 -m venv |\. .venv/bin/activate|pip install |npm install |make ")
COMMAND = re.compile(r"^    (?:\$ )?(actorctl [^\n]+)$|`(actorctl [^`\n]+)`", re.M)
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_a_reader_who_does_what_the_page_says_sees_what_the_page_shows(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "you"
    folder.mkdir()

    with Page(folder) as page:
        page.read(path)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_code_on_a_page_is_code(path: Path) -> None:
    for block in blocks_of(path):
        if block.language == "python":
            compile(block.text, block.place, "exec")
        elif block.language == "toml":
            tomllib.loads(block.text)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_named_in_the_text_are_commands(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.M | re.S)
    for found in COMMAND.finditer(text):
        line = re.split(r" [|>&#] ?|; | && ", found[1] or found[2])[0].rstrip()
        words = shlex.split(line, comments=True)[1:]
        if words and not any(re.search(r"^[A-Z]+(:NAME)?$|…", word) for word in words):
            parse(words)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for found in LINK.finditer(path.read_text("utf-8")):
        target = (path.parent / found[1]).resolve()

        assert target.exists(), found[0]
        if found[2]:
            assert found[2][1:] in anchors(target), found[0]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_only_what_needs_the_network_is_left_to_readers() -> None:
    blocks = [block for page in RUN for block in blocks_of(page) if "by-hand" in block.options]

    assert blocks
    for block in blocks:
        for step in steps_of(block):
            assert BY_HAND.match(step.command), (block.place, step.command)
        for target in make_names(block):
            tried = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
            assert tried.returncode == 0, (block.place, tried.stderr)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```console\n$ false\n```\n", "ended with 1 (the page says 0)"),
        ("```console\n$ true   # exit 3\n```\n", "ended with 0 (the page says 3)"),
        ("```console\n$ echo one; echo two\none\n```\n", "two"),
        ("```console\n$ echo one\none\ntwo\n```\n", "The page says"),
        ("```console\n$ echo restarts 2\nrestarts 1\n```\n", "restarts 2"),
        ("```console\n$ kill -9 4242\n```\n", "nothing shown before it has a process 4242"),
        ("```console\n$ echo pid 700\npid 800\n$ echo pid 900\npid 800\n```\n", "pid 900"),
        ("```console\n$ echo pid 700\npid 800\n$ echo pid 700\npid 801\n```\n", "is still the one shown before"),
        ("```console terminal=a\n$ echo one\ntwo\n```\n", "has not shown"),
        ("```console terminal=a\n$ bash -c 'exit 5'\n```\n", "ended with 5 instead of 0"),
        (
            "```console terminal=a\n$ bash -c 'trap \"exit 4\" INT; echo up; while :; do sleep 1; done'\nup\n^C\n```\n",
            "ended with 4",
        ),
    ],
)
def test_a_page_that_says_what_is_not_so_is_found_out(text: str, fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "you"
    folder.mkdir()
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")

    with Page(folder) as page, pytest.raises(PageError, match=re.escape(fault)):
        page.read(path)


def test_times_sizes_and_process_ids_may_differ_and_folders_and_variables_last(tmp_path: Path) -> None:
    folder = tmp_path / "you"
    folder.mkdir()
    path = tmp_path / "page.md"
    path.write_text(
        "```python file=answer.py\nprint('at 11:22:33.444 process 1234 took 0.25 s, 12.5 KiB in 4 parts', 1024)\n```\n"
        "```console\n$ python answer.py   # written above\n"
        "at 04:05:06.070 process 77777 took 3ms, 1 MiB in 4 parts 2048\n…\n"
        "$ echo 77777; pwd; mkdir inner && cd inner && export KEPT=yes\n1234\n/home/you\n"
        "$ pwd; echo $KEPT\n/home/you/inner\nyes\n```\n"
        "```console terminal=cat\n$ cat\n```\n```console terminal=cat\n^C   # exit 130\n```\n",
        encoding="utf-8",
    )

    with Page(folder) as page:
        page.read(path)
