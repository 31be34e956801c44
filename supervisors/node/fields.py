"""The kinds of value a configuration key may have: each reads what TOML holds or refuses it with a remedy.

A refusal is a `PydanticCustomError` whose context holds `hint`, so that every fault comes out of the models with its
message and remedy already made. Nothing here repeats a value that could be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Final, NoReturn
from zoneinfo import ZoneInfo

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from actors.addresses import check_path, check_segment
from actors.errors import AddressError
from supervisors.node.counting import CountError, evaluate_count, this_machine
from supervisors.node.durations import DurationError, SizeError, parse_duration, parse_size, read_rate
from supervisors.node.faults import MESSAGE_LIMIT, cut, hints

_IMPORT_PATH: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z", re.ASCII)
_HOST_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})\Z")
_ENVIRONMENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Kind:
    """What a key takes: the words the reference uses for it, and the function that reads it.

    Attributes:
        words: "duration", "size", "true or false", …
        is_text: Whether TOML writes it as text, so that an environment variable is taken literally.
    """

    def __init__(self, words: str, read: Callable[[object], object], *, is_text: bool = True) -> None:
        self.words = words
        self.is_text = is_text
        self.read = read

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)


class Choice(Kind):
    """One of a closed set of words."""

    def __init__(self, *words: str) -> None:
        super().__init__(" | ".join(f'"{word}"' for word in words), self._read)
        self.choices = words

    def _read(self, value: object) -> str:
        text = read_text(value)
        if text not in self.choices:
            every = f"one of {', '.join(self.choices)}"
            refuse(f"{cut(text)!r} is none of the words it can be", hints(suggestion(text, self.choices), every))
        return text


class Whole(Kind):
    """A whole number from `low` to `high`."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(f"whole number {low}..{high}", self._read, is_text=False)
        self._low = low
        self._high = high

    def _read(self, value: object) -> int:
        right = f"a number in {self._low}..{self._high}, without quotes"
        if isinstance(value, bool) or not isinstance(value, int):
            refuse(f"expected a whole number, got {toml_type(value)}", right)
        if not self._low <= value <= self._high:
            refuse(f"{_number(value)} is not in {self._low}..{self._high}", right)
        return value


class Number(Kind):
    """A number from `low` to `high`."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(f"number {low:g}..{high:g}", self._read, is_text=False)
        self._low = low
        self._high = high

    def _read(self, value: object) -> float:
        right = f"a number in {self._low:g}..{self._high:g}, without quotes"
        if isinstance(value, bool) or not isinstance(value, int | float):
            refuse(f"expected a number, got {toml_type(value)}", right)
        if not self._low <= value <= self._high:
            refuse(f"{_number(value)} is not in {self._low:g}..{self._high:g}", right)
        return float(value)


class ListOf(Kind):
    """A list whose items are of one kind; a fault names the item."""

    def __init__(self, words: str, read: Callable[[object], object]) -> None:
        super().__init__(words, self._read, is_text=False)
        self._item = core_schema.no_info_plain_validator_function(read)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        items = core_schema.tuple_variable_schema(self._item)
        return core_schema.no_info_before_validator_function(self._read, items)

    @staticmethod
    def _read(value: object) -> object:
        if not isinstance(value, list | tuple):
            refuse(f"expected a list, got {toml_type(value)}", 'in square brackets, as in ["…"]')
        return tuple(value)


class Before(Kind):
    """A look at what TOML holds before the annotated type reads it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))


def refuse(message: str, hint: str = "") -> NoReturn:
    """Refuse a value: what is wrong, and what would be right."""
    raise PydanticCustomError("refused", "{reason}", {"reason": message, "hint": hint})


def toml_type(value: object) -> str:
    """Return the word for the TOML type of `value`."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"?` for the known word nearest to `word`, or ""."""
    near = get_close_matches(word[:200], list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?".replace("'", '"') if near else ""


def read_text(value: object) -> str:
    """Return `value` if it is text."""
    if not isinstance(value, str):
        refuse(f"expected text, got {toml_type(value)}", "write it in quotes")
    return value


def _line_of_text(value: object) -> str:
    text = read_text(value)
    if not text or len(text) > 4096 or not text.isprintable():
        refuse("expected 1 to 4096 printable characters on one line")
    return text


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        refuse(f"expected true or false, got {toml_type(value)}", "true or false, without quotes")
    return value


def _number(value: int | float) -> str:
    return f"{value:g}" if isinstance(value, float) or abs(value) > 10**18 else str(value)


def _duration(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        refuse("a duration needs a unit", f'"{value:g}s" or "{value:g}ms", in quotes' if _is_short(value) else '"30s"')
    text = read_text(value)
    try:
        return parse_duration(text)
    except DurationError as error:
        refuse(cut(str(error), MESSAGE_LIMIT), error.hint)


def _is_short(value: float) -> bool:
    return 0 <= value < 1e12  # neither infinite nor a number nobody would write


def _positive_duration(value: object) -> float:
    seconds = _duration(value)
    if seconds <= 0:
        refuse("it must be longer than nothing", 'for example "30s"')
    return seconds


def _stop_time(value: object) -> float | str:
    if isinstance(value, str) and not value[:1].isdigit():
        if value in {"infinity", "brutal_kill"}:
            return value
        words = ["infinity", "brutal_kill"]
        every = 'a duration such as "10s", "infinity" or "brutal_kill"'
        refuse(f"{cut(value)!r} is no way to shut down", hints(suggestion(value, words), every))
    return _duration(value)


def read_size(value: object) -> int:
    """Return the bytes that a size written as text means."""
    if isinstance(value, int) and not isinstance(value, bool):
        refuse("a size needs a unit", '"512MiB", in quotes')
    text = read_text(value)
    try:
        size_bytes = parse_size(text)
    except SizeError as error:
        refuse(cut(str(error), MESSAGE_LIMIT), error.hint)
    if size_bytes == 0:
        refuse("it must be more than nothing", 'for example "512MiB"')
    return size_bytes


def _rate(value: object) -> str:
    text = read_text(value)
    try:
        _, per = read_rate(text)
    except ValueError:
        per = 0.0
    if per <= 0:
        refuse(f"{cut(text)!r} is no rate", 'a number in a time: "100/s", "250/min", "10/5s"')
    return text


def _segment(value: object) -> str:
    try:
        return check_segment(read_text(value))
    except AddressError:
        refuse(f"{cut(str(value))!r} is no name", "1 to 64 letters, digits, _ - . #")


def _path(value: object) -> str:
    text = read_text(value)
    try:
        return check_path(text)
    except AddressError:
        refuse(f"{cut(text)!r} is no actor path", path_hint(text))


def path_hint(text: str) -> str:
    """Return how the path somebody wrote should look."""
    fixed = "/" + "/".join(re.sub(r"[^A-Za-z0-9_.#-]+", "-", part) for part in text.split("/") if part.strip())
    rule = "a path is / and names of letters, digits, _ - . # between slashes"
    try:
        check_path(fixed)
    except AddressError:
        return rule
    return f'"{fixed}"; {rule}' if fixed != "/" and len(fixed) < 200 else rule


def _import_path(value: object) -> str:
    text = read_text(value)
    if _IMPORT_PATH.match(text) is None or len(text) > 1024:
        head, colon, name = text.rpartition(".")
        dotted = f'"{head}:{name}"; ' if colon and _IMPORT_PATH.match(f"{head}:{name}") else ""
        refuse(f"{cut(text)!r} names no class", f'{dotted}"package.module:Class"')
    return text


def _zone(value: object) -> str:
    text = read_text(value)
    try:
        ZoneInfo(text)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder's or file's name is an OSError
        refuse(f"{cut(text)!r} is no time zone", 'an IANA name such as "UTC" or "Europe/Berlin"')
    except KeyError:
        from zoneinfo import available_timezones  # reads the whole database: only for the hint

        near = suggestion(text, sorted(available_timezones()))
        refuse(f"{cut(text)!r} is no time zone", hints(near, 'an IANA name such as "UTC" or "Europe/Berlin"'))
    return text


def _endpoint(value: object) -> str:
    text = read_text(value)
    if text == "auto":
        return text
    found = _HOST_PORT.match(text)
    if found is None or int(found.group(3)) > 65_535:
        refuse(f"{cut(text)!r} is no address to listen on", '"auto" or "127.0.0.1:18789"')
    return text


def _cron(value: object) -> str:
    from actors.scheduling.cron import check  # brings croniter: only where a schedule is written
    from actors.scheduling.expression import CronError

    text = read_text(value)
    try:
        check(text)
    except CronError as error:
        refuse(
            cut(str(error).removesuffix(f"; {error.hint}"), MESSAGE_LIMIT),
            error.hint or '"second minute hour day month weekday", the seconds optional',
        )
    return text


def read_environment_name(value: object) -> str:
    """Return `value` if it names an environment variable."""
    text = read_text(value)
    if _ENVIRONMENT_NAME.match(text) is None or len(text) > 255:
        refuse("it is no name of an environment variable", 'letters, digits and _, for example "GMAIL_TOKEN"')
    return text


def _count(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        refuse(f"expected a number or text, got {toml_type(value)}", '4, or "max(2, cpus/2)"')
    text = str(value) if isinstance(value, str) or abs(value) < 10**12 else "1000000000000"
    try:
        evaluate_count(text, this_machine())
    except CountError as error:
        refuse(cut(str(error), MESSAGE_LIMIT), error.hint)
    return text


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(f"expected a table, got {toml_type(value)}", "{ key = value }")
    _check_plain(value)
    return value


def _check_plain(value: object) -> None:
    """Refuse what cannot cross into a process unchanged: dates, and numbers beyond 64 bits."""
    match value:
        case bool() | str() | float():
            return
        case int():
            if not -(2**63) <= value < 2**64:
                refuse("a number does not fit in 64 bits")
        case list():
            for item in value:
                _check_plain(item)
        case dict():
            for item in value.values():
                _check_plain(item)
        case _:
            refuse("a date or time cannot be an argument", "write it as text, in quotes")


def _secret_table(value: object) -> object:
    """Refuse anything but a reference, without repeating it: somebody may have written the secret itself there."""
    if not isinstance(value, dict):
        refuse(f"expected a reference to a secret, got {toml_type(value)}", '{ env = "NAME" } or { file = "path" }')
    return value


def _secret_names(value: object) -> object:
    """Read `["token"]` as `{"token": "token"}`, and a table argument = name as it is."""
    if isinstance(value, list):
        value = {_segment(item): _segment(item) for item in value}
    if not isinstance(value, dict):
        refuse(f"expected a list or a table, got {toml_type(value)}", '["name"], or { argument = "name" }')
    for argument, name in value.items():
        if not argument.isidentifier():
            refuse(f"{cut(argument)!r} is no argument of a class", '{ argument = "name" }')
        _segment(name)
    return value


def _version(value: object) -> int:
    if isinstance(value, bool) or value != 1:
        refuse("this release reads version 1 of the format", "version = 1")
    return 1


Version = Annotated[int, Kind("1", _version, is_text=False)]
Text = Annotated[str, Kind("text", _line_of_text)]
Truth = Annotated[bool, Kind("true or false", _truth, is_text=False)]
Duration = Annotated[float, Kind("duration", _duration)]
PositiveDuration = Annotated[float, Kind("duration", _positive_duration)]
StopTime = Annotated[float | str, Kind('duration | "infinity" | "brutal_kill"', _stop_time)]
Size = Annotated[int, Kind("size", read_size)]
Rate = Annotated[str, Kind("rate", _rate)]
Segment = Annotated[str, Kind("name", _segment)]
ActorPath = Annotated[str, Kind("path", _path)]
ImportPath = Annotated[str, Kind('"module:Class"', _import_path)]
Zone = Annotated[str, Kind("time zone", _zone)]
Endpoint = Annotated[str, Kind('"auto" | "host:port"', _endpoint)]
EnvironmentName = Annotated[str, Kind("variable name", read_environment_name)]
Cron = Annotated[str, Kind("cron expression", _cron)]
Count = Annotated[str, Kind("number or arithmetic", _count)]
Table = Annotated[dict[str, Any], Kind("table", _table, is_text=False)]
Texts = Annotated[tuple[str, ...], ListOf("list of text", _line_of_text)]
Paths = Annotated[tuple[str, ...], ListOf("list of paths", _path)]
SecretNames = Annotated[dict[str, str], Before("list of names, or table", _secret_names, is_text=False)]
A_REFERENCE: Final = Before("secret reference", _secret_table, is_text=False)
"""Marks a key that takes a reference to a secret."""
