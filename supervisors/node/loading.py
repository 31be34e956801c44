"""From files, environment and flags to one configuration: everything found wrong at once, every origin kept.

Later lays over earlier: the built-in `/sys`, the main file, the files it includes in the order of their names,
environment variables `ACTORS_…`, flags. Without a file the built-in system is the main file. Loading changes nothing
and starts nothing; with `imports` it imports the classes that are named, which runs their modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from supervisors.errors import Fault
from supervisors.node.building import build_tree
from supervisors.node.checking import Subject, check
from supervisors.node.classes import check_imports, check_programs
from supervisors.node.config import Config
from supervisors.node.counting import Machine, this_machine
from supervisors.node.faults import ConfigurationError, cut
from supervisors.node.layers import Layer, Layered, Origin
from supervisors.node.positions import KeyPath
from supervisors.node.showing import ConfigRow, rows_of
from supervisors.node.sources import Flag, read_environment, read_file, read_flags, read_text
from supervisors.node.validating import validate
from supervisors.specs import SupervisorSpec

FILE_NAME: Final = "actors.toml"
"""The main file looked for when none is named."""
BUILTIN: Final = "built-in"
"""The name of the built-in system in origins."""
PACKAGES: Final = ("actors", "supervisors")
"""The packages of the runtime that an actor's module imports."""
INCLUDES: Final = ("conf.d/*.toml",)


class Loaded:
    """A sound configuration and where it came from. Immutable.

    Attributes:
        config: The configuration.
        file: The main file; None for the built-in system.
        directory: Folder that relative paths start from, absolute: that of the main file, else the current one.
        sources: The files that were read, as the user would write them.
        machine: What counts depend on.
        is_blank: Whether there are files and they say nothing.
    """

    def __init__(
        self,
        config: Config,
        layered: Layered,
        *,
        file: Path | None,
        directory: Path,
        sources: tuple[str, ...],
        machine: Machine,
        is_blank: bool = False,
    ) -> None:
        self.config = config
        self.file = file
        self.directory = directory
        self.sources = sources
        self.machine = machine
        self.is_blank = is_blank
        self._layered = layered

    def tree(self) -> SupervisorSpec:
        """Return the root of the tree it describes."""
        return build_tree(self.config, self.machine, self.directory)

    @property
    def home(self) -> Path:
        """Folder for everything the runtime keeps, absolute."""
        return self.directory / Path(self.config.runtime.home).expanduser()

    @property
    def inventory(self) -> Path:
        """Folder that the built-in loops look through, absolute."""
        return self.directory / Path(self.config.runtime.directory).expanduser()

    def origin(self, path: KeyPath) -> Origin:
        """Return where the value at `path` came from."""
        return self._layered.origin(path)

    def rows(self) -> tuple[ConfigRow, ...]:
        """Return every value with its key, as TOML would write it, and its origin; secrets as references."""
        return tuple(rows_of(self.config, self._layered))


def load_config(
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Iterable[Flag] = (),
    directory: Path | None = None,
    machine: Machine | None = None,
    imports: bool = False,
    spare_processes: bool = False,
    is_app: bool = False,
) -> Loaded:
    """Return the configuration.

    Args:
        file: The main file. None: `actors.toml` in `directory` if it is there, else the built-in system.
        environ: The environment; None: this process's.
        flags: Values from the command line.
        directory: The current folder; None: this process's.
        machine: What counts depend on; None: this one.
        imports: Whether to import every class named, from the file's folder too, and to check its arguments.
        spare_processes: With `imports`, whether classes that run in processes of their own are only looked for.
        is_app: Whether the tree is written in Python: without a `file` there is then `/sys` alone.

    Raises:
        ConfigurationError: Something is wrong; it holds every fault found.
    """
    environ = os.environ if environ is None else environ
    current = (directory or Path.cwd()).absolute()
    machine = machine or this_machine()
    if file is None and not is_app and os.path.lexists(current / FILE_NAME):  # a broken link too
        file = current / FILE_NAME
    elif file is not None:
        file = current / file.expanduser()
    base = file.parent if file is not None else current

    faults: list[Fault] = []
    if file is not None:
        layers = list(_files(file, base, current, faults))
    else:
        layers = [_builtin_sys() if is_app else _builtin()]
    layered = Layered(layers)
    variables, wrong = read_environment(environ, layered)
    faults.extend(wrong)
    for layer in (*variables, *read_flags(flags)):
        layered.lay(layer)
    validated = validate(layered)
    faults.extend(validated.faults)
    subject = Subject(validated.config, layered, validated.damaged, machine, base, environ)
    if not _is_unreadable(faults):
        faults.extend(check(subject))
        if imports:
            faults.extend(check_imports(subject, spare_processes=spare_processes))
            faults.extend(check_programs(subject))
    faults.extend(_shadows(file, current))
    faults.extend(_unwritable_name(base))
    if faults:
        raise ConfigurationError(faults)
    sources = tuple(layer.source for layer in layers)
    is_blank = file is not None and not any(layer.data for layer in layers[1:])
    return Loaded(
        validated.config, layered, file=file, directory=base, sources=sources, machine=machine, is_blank=is_blank
    )


def home_flag(home: Path | None) -> tuple[Flag, ...]:
    """Return the flag `--home` as a layer of the configuration; empty where it was not given."""
    return (Flag("--home", ("runtime", "home"), str(home.absolute())),) if home is not None else ()


@cache
def builtin_text() -> str:
    """Return the built-in system as the TOML text that ships with the package."""
    return resources.files("supervisors.node").joinpath("builtin.toml").read_text("utf-8")


def _builtin() -> Layer:
    layer, faults = read_text(builtin_text(), BUILTIN)
    assert layer is not None, faults
    return layer


def _builtin_sys() -> Layer:
    """Return the part of the built-in system that lies under every configuration: `/sys`."""
    whole = _builtin()
    data: dict[str, Any] = {}
    for table in ("supervisors", "actors"):
        data[table] = {path: value for path, value in whole.data[table].items() if (path + "/").startswith("/sys/")}
    return Layer(whole.source, data, whole.positions)


def _files(file: Path, base: Path, current: Path, faults: list[Fault]) -> Iterator[Layer]:
    """Yield the layers of all files, lowest first; adds what cannot be read to `faults`."""
    yield _builtin_sys()
    main, wrong = read_file(file, _shown(file, current))
    faults.extend(wrong)
    if main is None:
        return
    yield main
    for path in _included(main, base, faults):
        by = main.origin(("include",))
        missing = f"{by.source}:{by.line} includes it" if by.line else f"{by.source} includes it"
        layer, wrong = read_file(path, _shown(path, current), missing)
        faults.extend(wrong)
        if layer is None:
            continue
        if "include" in layer.data:
            origin = layer.origin(("include",))
            fault = Fault(
                "include", "an included file includes no others", "leave it out", file=origin.source, line=origin.line
            )
            faults.append(fault)
            layer.data.pop("include")
        yield layer


def _shadows(file: Path | None, current: Path) -> Iterator[Fault]:
    """Yield what beside the file would be imported in place of the runtime's own packages."""
    if file is None:
        return
    for package in PACKAGES:
        own = Path(sys.modules[package].__file__ or "").resolve()
        for beside in (file.parent / package / "__init__.py", file.parent / f"{package}.py"):
            if beside.exists() and beside.resolve() != own:
                message = f"it hides the runtime's own package {package} from the actors beside it"
                yield Fault("", message, "give it another name", file=_shown(beside, current))


def _unwritable_name(folder: Path) -> Iterator[Fault]:
    """Yield the fault of a folder whose path the files of the home could not name: bytes that are no text here."""
    if any("\ud800" <= character <= "\udfff" for character in str(folder)):
        hint = "another folder, or a locale in which it reads: LC_ALL=C.UTF-8"
        yield Fault("", "its path is no text here", hint, file=ascii(str(folder)))


def _included(main: Layer, base: Path, faults: list[Fault]) -> list[Path]:
    patterns = main.data.get("include", list(INCLUDES))
    found: dict[Path, None] = {}
    for number, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        if not isinstance(pattern, str) or not pattern:
            continue  # validation says so
        is_glob = any(c in pattern for c in "*?[")
        try:
            paths = sorted(path for path in base.glob(pattern) if path.is_file()) if is_glob else [base / pattern]
        except (ValueError, NotImplementedError, OSError) as error:
            origin = main.origin(("include", number))
            hint = 'a pattern relative to this file, such as "conf.d/*.toml"'
            faults.append(Fault(f"include[{number}]", cut(str(error)), hint, file=origin.source, line=origin.line))
            continue
        found.update(dict.fromkeys(paths))
    return list(found)


def _shown(path: Path, current: Path) -> str:
    """Return a file's name as the user would write it from the current folder."""
    try:
        return str(path.relative_to(current))
    except ValueError:
        return str(path)


def _is_unreadable(faults: Iterable[Fault]) -> bool:
    """Whether a whole file is missing from the picture; checks across tables would then complain of its absence."""
    return any(not fault.key and not fault.file.startswith("environment ") for fault in faults)
