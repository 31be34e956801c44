"""Runs a page of the documentation as a reader would, top to bottom in an empty folder, and compares what it shows.

A fenced block says what it is by the words after its language:

    ```console                 each line that begins with `$ ` is run; what follows is what it must show
    ```console terminal=NAME   its last command goes on in a terminal of its own; its lines are waited for. A later
                               block of that terminal goes on there: more lines, or `^C`, which is typed
    ```console until=NAME      its commands are repeated until terminal NAME shows what its next block says
    ```console env=NAME=VALUE  with a variable: what is shown is of a machine with four cores, say
    ```console by-hand         not run: needs the network (`make` targets are tried with `make -n`)
    ```console counts=any      numbers of one and two digits are not compared either
    ```python file=NAME        is written to that file (also toml, text); `append=NAME` adds to it
    ```python, ```toml         has to compile, has to parse

A command ends with 0, or with N where it says `# exit N`. All of its output is shown; a line `…` stands for any
lines, `…` within a line for any text. Not compared: times, durations, sizes, numbers of three and more digits,
decimals, uids, and the width of spaces. `/home/you` is the folder the page runs in. A process id is remembered: shown
twice, it has to be the same process; in a command it stands for the process that the page showed it with.

A reading command of `actorctl` is repeated until it shows what it should, as a person looks again: a page cannot know
how long a restart takes. Everything a page starts must have ended at its end.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from support.nodes import environment
from support.terminals import TIMEOUT, Terminal

ROOT = Path(__file__).resolve().parents[2]
HOME = "/home/you"
READING = re.compile(
    r"actorctl (tree|ps|status|why|describe|events|sql|ask|logs|key list|daemon status"
    r"|jobs (list|show|why|logs)|queue (list|show)|cron (list|show|why|history))\b"
)

_FENCE = re.compile(r"^(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.M | re.S)
_ANY_LINES = r"(?:.*\n)*?"
_EXIT = re.compile(r"\s+# exit (\d+)$")


class Block(Struct, frozen=True):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    options: dict[str, str]
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


class Step(Struct, frozen=True):
    """A command, or `^C`, or more lines to wait for (no command), and what is shown then."""

    line: int
    command: str
    code: int
    shown: tuple[str, ...]


class PageError(AssertionError):
    """A page says what is not so."""


def pages() -> list[Path]:
    """Return README and all pages below docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
    for found in _FENCE.finditer(text):
        language, *words = found["info"].split() or [""]
        options = {key: value for key, _, value in (word.partition("=") for word in words)}
        yield Block(name, text.count("\n", 0, found.start()) + 1, language, options, found["text"])


def steps_of(block: Block) -> Iterator[Step]:
    """Yield the steps of a console block."""
    steps: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith(("$ ", "^C")):
            steps.append((number, line.removeprefix("$ "), []))
        elif steps and steps[-1][1].endswith("\\"):
            steps[-1] = (steps[-1][0], f"{steps[-1][1]}\n{line}", [])
        elif steps:
            steps[-1][2].append(line)
        else:
            steps.append((number, "", [line]))
    for number, command, shown in steps:
        code = _EXIT.search(command)
        yield Step(number, _EXIT.sub("", command), int(code[1]) if code else 0, tuple(shown))


def make_names(block: Block) -> list[str]:
    """Return the `make` targets that a block names."""
    return [step.command.split()[1] for step in steps_of(block) if step.command.startswith("make ")]


class Page:
    """One reading of a page: its folder, its terminals, and the processes it has named.

    Args:
        folder: An empty folder; `/home/you` of the page.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.terminals: dict[str, tuple[Terminal, int, int]] = {}  # with how far it was read, and the exit code to come
        self.pids: dict[str, str] = {}
        self.captured: list[tuple[str, str]] = []
        self._state = self.folder.parent / f"{self.folder.name}.state"
        self._state.mkdir()
        self._environment = environment(
            HOME=str(self.folder),
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            VIRTUAL_ENV="",
            LC_ALL="C.UTF-8",
            TERM="xterm",
            TZ="UTC",
            MAKEFLAGS=f"STAMP={self._state / 'stamp'} PYTHON=false",  # what `make` would install is there
        )
        self._environment.pop("PYTHONUNBUFFERED")

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        for terminal, _at, _code in self.terminals.values():
            terminal.close()

    def read(self, page: Path) -> None:
        """Do everything the page says, and see that it leaves nothing running."""
        if page == ROOT / "README.md":  # it is read in a checkout
            for name in ("Makefile", "pyproject.toml", "constraints.txt"):
                shutil.copy(ROOT / name, self.folder)
            (self.folder / ".venv").symlink_to(sys.prefix)
            (self._state / "stamp").touch()
        blocks = list(blocks_of(page))
        for number, block in enumerate(blocks):
            self.do(block)
            if awaited := block.options.get("until"):
                expected = next(later for later in blocks[number:] if later.options.get("terminal") == awaited)
                self._repeat(block, expected)
        for name, (terminal, _at, code) in self.terminals.items():
            ended = terminal.wait_end()
            if ended != code:
                raise PageError(f"{page.name}: terminal {name} ended with {ended} instead of {code}:\n{terminal.text}")

    def do(self, block: Block) -> None:
        """Do what one block says.

        Raises:
            PageError: It shows something else.
        """
        for option, mode in (("file", "w"), ("append", "a")):
            if option in block.options:
                with (self._here() / block.options[option]).open(mode, encoding="utf-8") as file:
                    file.write(block.text)
        if block.language != "console" or "by-hand" in block.options:
            return
        steps = list(steps_of(block))
        name = block.options.get("terminal")
        lasting = [step for step in steps if step.command not in {"", "^C"}][-1:] if name is not None else []
        for step in steps:
            if name is not None and (step in lasting or step.command in {"", "^C"}):
                if step in lasting:
                    terminal = self._open(f"{_exported(block)}exec {self._named(step.command)}")
                    self.terminals[name] = (terminal, 0, step.code)
                self._watch(block, step, name)
            else:
                self._run(block, step)

    def _repeat(self, block: Block, expected: Block) -> None:
        terminal, at, _code = self.terminals[expected.options["terminal"]]
        shown = next(steps_of(expected)).shown
        for _ in range(10):
            if self._find(terminal, expected, shown, at, TIMEOUT / 10)[1] is None:
                return
            self.do(block)

    def _run(self, block: Block, step: Step) -> None:
        deadline = time.monotonic() + TIMEOUT
        while True:
            terminal = self._open(f"{{ {self._named(step.command)}\n}}; {self._keep_state()}")
            try:
                code = terminal.wait_end(
                    3 * TIMEOUT
                )  # longer than what it waits for itself: it says then what did not come
                text = self._localized(terminal.text)
            finally:
                terminal.close()
            found = self._pattern(block, step).fullmatch(_trimmed(text))
            if code == step.code and found:
                self._remember(block, found)
                self.captured.append((step.command, text))
                return
            if not READING.match(step.command) or time.monotonic() > deadline:
                shown = "\n".join(step.shown)
                raise PageError(
                    f"{block.page}:{step.line}: $ {step.command}\nended with {code} (the page says {step.code}) "
                    f"and showed\n\n{text}\nThe page says:\n\n{shown}"
                )
            time.sleep(0.2)  # a person who looks again

    def _watch(self, block: Block, step: Step, name: str) -> None:
        terminal, at, code = self.terminals[name]
        if step.command == "^C":
            terminal.press_ctrl_c()
        at, missing = self._find(terminal, block, step.shown, at, TIMEOUT, is_remembered=True)
        if missing is not None:
            raise PageError(
                f"{block.page}:{step.line}: terminal {name} has not shown\n\n{missing}\n\nbut\n\n{terminal.text}"
            )
        if step.command == "^C":
            code = step.code
            terminal.wait_end()
        self.captured.append((f"{name}: {step.command}", self._localized(terminal.text)))
        self.terminals[name] = (terminal, at, code)

    def _find(
        self,
        terminal: Terminal,
        block: Block,
        shown: Sequence[str],
        at: int,
        timeout: float,
        is_remembered: bool = False,
    ) -> tuple[int, str | None]:
        """Wait for lines in their order; return where the last one ends, and the line that did not come."""
        for line in shown:
            if line.strip() == "…":
                continue
            pattern = re.compile(rf"^{self._line(block, line)}[ ]*$", re.M)

            def found(text: str, pattern: re.Pattern[str] = pattern, start: int = at) -> re.Match[str] | None:
                return pattern.search(self._localized(text), start)

            match = terminal.wait_for(found, timeout)
            if match is None:
                return at, line
            at = match.end()
            if is_remembered:
                self._remember(block, match)
        return at, None

    def _open(self, script: str) -> Terminal:
        restore = f". {self._state}/exports; " if (self._state / "exports").exists() else ""
        return Terminal(restore + script, self._here(), self._environment)

    def _keep_state(self) -> str:
        return f"code=$?; export -p >{self._state}/exports; pwd >{self._state}/folder; exit $code"

    def _here(self) -> Path:
        kept = self._state / "folder"
        return Path(kept.read_text(encoding="utf-8").strip()) if kept.exists() else self.folder

    def _named(self, command: str) -> str:
        """The command with the page's process ids and folder replaced by the real ones."""

        def real(found: re.Match[str]) -> str:
            if found[0] not in self.pids and command.startswith("kill "):
                raise PageError(f"$ {command}\nnothing shown before it has a process {found[0]}")
            return self.pids.get(found[0], found[0])

        return re.sub(r"\b\d{3,}\b", real, command).replace(HOME, str(self.folder))

    def _localized(self, text: str) -> str:
        return text.replace(str(self.folder), HOME)

    def _pattern(self, block: Block, step: Step) -> re.Pattern[str]:
        lines = list(step.shown)
        while lines and not lines[-1].strip():
            lines.pop()
        return re.compile(
            "".join(r"(?:.*\n)*?" if line.strip() == "…" else self._line(block, line) + r"\n" for line in lines)
        )

    def _line(self, block: Block, line: str) -> str:
        """The pattern of one shown line."""
        any_count = block.options.get("counts") == "any"
        pattern, at = "", 0
        for found in _VOLATILE.finditer(line):
            pattern += _literal(line[at : found.start()])
            at = found.end()
            kind = found.lastgroup or ""
            if kind == "pid":
                known = self.pids.get(found["number"])
                pattern += rf"{found['word']}\s+" + (known or rf"(?P<pid_{found['number']}>\d+)")
            elif kind == "count":
                pattern += r"\d+" if any_count or len(found[0]) > 2 else found[0]
            else:
                pattern += _SHAPES[kind]
        return pattern + _literal(line[at:].rstrip())

    def _remember(self, block: Block, found: re.Match[str]) -> None:
        for name, actual in found.groupdict().items():
            shown = name.removeprefix("pid_")
            if actual in self.pids.values():
                raise PageError(f"{block.place}: process {actual} is still the one shown before, not {shown}")
            self.pids[shown] = actual


def _exported(block: Block) -> str:
    return f"export {block.options['env']}; " if "env" in block.options else ""


def _trimmed(text: str) -> str:
    """Without spaces at the ends of lines and empty lines at the end; every line has its end."""
    lines = [line.rstrip() for line in text.rstrip().split("\n")]
    return "\n".join(lines) + "\n" if text.strip() else ""


def _literal(text: str) -> str:
    parts = re.split(r"(\s+|…)", text)
    return "".join(r"\s+" if part.isspace() else ".*" if part == "…" else re.escape(part) for part in parts if part)


_DURATION = r"(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?\ ?(?:us|ms|min|s|m|h|d)\b\ ?)+"
_VOLATILE = re.compile(
    rf"""
    (?P<instant>\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?)
    | (?P<time>\b\d\d:\d\d:\d\d(?:\.\d+)?\b)
    | (?P<pid>(?P<word>process|program|pid)\s+(?P<number>\d{{3,}})\b)
    | (?P<uid>\buid\ \d+)
    | (?P<size>\b\d+(?:\.\d+)?\ (?:B|bytes|KiB|MiB|GiB)\b)
    | (?P<percent>\b\d+(?:\.\d+)?%)
    | (?P<duration>(?<![\w/#.]){_DURATION})
    | (?P<key>\b[0-9a-f]{{16,}}\b)
    | (?P<decimal>(?<![\w/#.])\d+\.\d+(?:e[+-]?\d+)?\b(?!\.))
    | (?P<count>(?<![\w/#.-])\d+\b(?![\w.]))
    """,
    re.X,
)
_SHAPES = {
    "instant": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?",
    "time": r"\d\d:\d\d:\d\d(?:\.\d+)?",
    "uid": r"uid \d+",
    "size": r"\d+(?:\.\d+)? (?:B|bytes|KiB|MiB|GiB)",
    "percent": r"\d+(?:\.\d+)?%",
    "duration": _DURATION.replace(r"\ ", " "),
    "key": r"[0-9a-f]{16,}",
    "decimal": r"\d+(?:\.\d+)?(?:e[+-]?\d+)?",
}


def main(arguments: Sequence[str]) -> None:
    """Read a page and print what every command showed: PYTHONPATH=tests python -m support.docs README.md"""
    import tempfile

    folder = Path(tempfile.mkdtemp()) / "you"
    folder.mkdir()
    with Page(folder) as page:
        try:
            page.read(Path(arguments[0]).resolve())
        finally:
            for command, text in page.captured:
                sys.stdout.write(f"$ {command}\n{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
