"""A configuration of supervisord, pm2 or AIWG's daemon as one of ours: what can be said is said, the rest is named.

Values of variables whose names sound like secrets are not copied: they become secrets by the name of the variable.
Files are read and nothing is changed; a pm2 file in JavaScript is evaluated by Node.js, as pm2 does.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from actors.errors import ActorRuntimeError
from supervisors.node.showing import SECRET_NAME, toml_of

NODE_TIMEOUT: Final = 20.0


class ImportFileError(ActorRuntimeError, ValueError):
    """The file of a neighbour cannot be read as one."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file}: {why}")


class Imported(Struct):
    """What was found, on its way to TOML.

    Attributes:
        tables: Tables by their heading, in order.
        secrets: Variables that become secrets.
        notes: What was not taken over, and why.
    """

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def text(self, source: str) -> str:
        """Return the configuration."""
        lines = [f"# From {source} by actorctl init. Check it: actorctl check", "version = 1", ""]
        lines += [f"# not taken over: {note}" for note in self.notes]
        lines += [""] if self.notes else []
        if self.secrets:
            lines += ["[secrets]", *(f"{name} = {{ env = {toml_of(name)} }}" for name in sorted(self.secrets)), ""]
        for heading, values in self.tables.items():
            lines.append(f"[{heading}]")
            lines += [f"{name} = {toml_of(value)}" for name, value in values.items() if value not in (None, {}, [])]
            lines.append("")
        return "\n".join(lines)


def import_neighbour(kind: str, file: Path) -> Imported:
    """Return what `file` of the program `kind` says.

    Args:
        kind: `supervisord`, `pm2` or `aiwg`.
        file: Its configuration.

    Raises:
        ImportFileError: It is none, or says nothing that can be taken over.
        OSError: It cannot be read.
    """
    found = _READERS[kind](file)
    if not found.tables:
        raise ImportFileError(file, f"nothing in it can be taken over from {kind}")
    return found


# --- supervisord ------------------------------------------------------------------------------------------------------

_AUTORESTART: Final = {"true": "permanent", "unexpected": "transient", "false": "temporary"}
_TAKEN: Final = frozenset(
    [
        "command",
        "directory",
        "environment",
        "user",
        "umask",
        "autostart",
        "autorestart",
        "startsecs",
        "stopsignal",
        "stopwaitsecs",
        "exitcodes",
        "numprocs",
        "numprocs_start",
        "process_name",
        "priority",
    ]
)
_ALWAYS: Final = frozenset({"stopasgroup", "killasgroup"})
"""What is so without being said: all processes of a program are ended with it."""
_WORD: Final = re.compile(r"%\((\w+)\)(0?\d*)([sd])|%%")
_LOGS: Final = re.compile(r"(stdout|stderr)_|redirect_stderr|serverurl|loglevel")


def _supervisord(file: Path) -> Imported:
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";",))
    try:
        parser.read_string(file.read_text("utf-8"), str(file))
        found = Imported()
        for pattern in parser.get("include", "files", fallback="").split():
            wanted = file.absolute().parent / _expanded(found, "[include] files", pattern, file, {})
            included = sorted(Path(name) for name in glob(str(wanted)))
            if not included:
                found.notes.append(f"[include] files = {pattern}: there is none")
            for more in included:
                parser.read_string(more.read_text("utf-8").replace("%(here)s", str(more.parent)), str(more))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ImportFileError(file, f"it is no configuration of supervisord: {error}") from error
    shared = parser.get("supervisord", "environment", fallback="")
    for section in parser.sections():
        kind, _, name = section.partition(":")
        if kind in {"program", "fcgi-program"} and name:
            given = dict(parser.items(section))
            if shared:
                given["environment"] = f"{shared},{given.get('environment', '')}"
            _program(found, name, given, file)
        elif kind == "eventlistener":
            found.notes.append(f"[{section}]: event listeners; see actorctl tap")
        elif kind == "group":
            found.notes.append(f"[{section}]: groups; put its programs below one supervisor path")
    return found


def _program(found: Imported, name: str, given: dict[str, str], file: Path) -> None:
    count = int(given.get("numprocs", "1") or 1) if given.get("numprocs", "1").isdecimal() else 1
    first = int(given.get("numprocs_start", "0")) if given.get("numprocs_start", "0").isdecimal() else 0
    for key in given:
        if key not in _TAKEN and key not in _ALWAYS and not _LOGS.match(key):
            found.notes.append(f"[program:{name}] {key} = {given[key]}")
    startsecs = given.get("startsecs", "")
    for number in range(first, first + count):
        words = {"program_name": name, "process_num": number, "group_name": name, "numprocs": count}
        expand = partial(_expanded, found, f"[program:{name}]", file=file, words=words)
        path = f"/{_segment(name)}" if count == 1 else f"/{_segment(name)}-{number}"
        environment = {key: expand(value) for key, value in _pairs(given.get("environment", ""))}
        table: dict[str, Any] = {
            "command": [expand(word) for word in shlex.split(given.get("command", ""))],
            "directory": expand(given["directory"]) if "directory" in given else None,
            **_variables(found, environment),
            "user": given.get("user"),
            "umask": given.get("umask"),
            "restart": _AUTORESTART.get(given.get("autorestart", "unexpected").lower(), "transient"),
            "stop_signal": given.get("stopsignal", "TERM").upper(),
            "shutdown": f"{given.get('stopwaitsecs', '10')}s",
            "success_exit": [int(code) for code in given.get("exitcodes", "0").split(",") if code.strip().isdecimal()],
            "ready": {"delay": f"{startsecs}s"} if startsecs.isdecimal() and int(startsecs) else None,
            "start_order": int(given["priority"]) if given.get("priority", "").isdecimal() else None,
            "enabled": None if given.get("autostart", "true").lower() == "true" else False,
        }
        found.tables[f'programs."{path}"'] = table


def _expanded(found: Imported, place: str, text: str, file: Path, words: Mapping[str, Any]) -> str:
    """Return `text` with supervisord's `%(…)s` filled in; what cannot be, or sounds secret, stays and is noted."""
    known: dict[str, Any] = {"here": str(file.absolute().parent), "host_node_name": socket.gethostname(), **words}

    def fill(match: re.Match[str]) -> str:
        word = match[1]
        if word is None:
            return "%"
        variable = word.removeprefix("ENV_")
        if variable != word and variable in os.environ and not SECRET_NAME.search(variable):
            return os.environ[variable]
        if word in known and (match[3] == "s" or isinstance(known[word], int)):
            return str(f"%{match[2]}{match[3]}" % known[word])
        note = f"{place}: {match[0]} stands there as it is"
        if note not in found.notes:
            found.notes.append(note)
        return match[0]

    return _WORD.sub(fill, text)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"""(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,]*)\s*,?""", text):
        value = match[2].strip()
        yield match[1], value[1:-1] if value[:1] in {'"', "'"} else value


# --- pm2 --------------------------------------------------------------------------------------------------------------

_PM2_TAKEN: Final = frozenset(
    [
        "name",
        "script",
        "args",
        "interpreter",
        "interpreter_args",
        "node_args",
        "cwd",
        "env",
        "instances",
        "autorestart",
        "kill_timeout",
        "exec_mode",
        "max_memory_restart",
        "restart_delay",
        "wait_ready",
        "listen_timeout",
    ]
)


_PM2_LOGS: Final = re.compile(
    r"(out|error|log)_file$|(output|error|time|log_date_format|log_type)$|(merge|combine)_logs$"
)


def _pm2(file: Path) -> Imported:
    text = file.read_text("utf-8")
    try:
        document = json.loads(text) if file.suffix == ".json" else _evaluated(file)
    except ValueError as error:
        raise ImportFileError(file, f"it is no JSON: {error}") from error
    apps = document.get("apps", []) if isinstance(document, dict) else document
    found = Imported()
    for number, app in enumerate(apps if isinstance(apps, list) else [apps]):
        if isinstance(app, dict) and app.get("script"):
            _app(found, str(app.get("name") or f"app-{number}"), app)
    return found


def _app(found: Imported, name: str, app: dict[str, Any]) -> None:
    script, cwd = str(app["script"]), str(app.get("cwd") or "")
    usual = {".py": "python3", ".sh": "bash", ".js": "node", ".mjs": "node", ".cjs": "node"}.get(
        Path(script).suffix, ""
    )
    if not usual and app.get("exec_mode") == "cluster":
        usual = "node"
    interpreter = str(app.get("interpreter") or usual)
    before = _words(app.get("interpreter_args") or app.get("node_args"))
    command = [
        *([interpreter, *before] if interpreter and interpreter != "none" else []),
        script,
        *_words(app.get("args")),
    ]
    wanted = app.get("instances", 1)
    count = wanted if isinstance(wanted, int) and wanted > 0 else 1
    if wanted not in {1, count}:
        found.notes.append(f"{name}: instances = {wanted}; one is started")
    for key, value in app.items():
        if key not in _PM2_TAKEN and value not in (False, None) and not _PM2_LOGS.match(key):
            found.notes.append(f"{name}: {key}" + (f" = {json.dumps(value)}" if key.startswith("env") is False else ""))
    limit, delay = app.get("max_memory_restart"), _milliseconds(found, name, app, "restart_delay")
    table: dict[str, Any] = {
        "command": command,
        "directory": cwd or None,
        **_variables(found, {str(k): str(v) for k, v in (app.get("env") or {}).items()}),
        "restart": "permanent" if app.get("autorestart", True) else "temporary",
        "shutdown": _milliseconds(found, name, app, "kill_timeout") or "1600ms",
        "memory_max": _size(limit) if limit is not None else None,
        "start_timeout": _milliseconds(found, name, app, "listen_timeout"),
        "backoff": {"first": delay, "max": delay} if delay else None,
    }
    if app.get("exec_mode") == "cluster":
        found.notes.append(f"{name}: exec_mode = cluster; nothing shares a port among the instances")
    if app.get("wait_ready"):
        found.notes.append(f"{name}: wait_ready; say when it is ready with a table `ready`")
    for number in range(count):
        path = f"/{_segment(name)}" if count == 1 else f"/{_segment(name)}-{number}"
        found.tables[f'programs."{path}"'] = table


def _milliseconds(found: Imported, name: str, app: Mapping[str, Any], key: str) -> str | None:
    """Return a time of pm2's as a duration; None where there is none, or where it is no number, which is noted."""
    value = app.get(key)
    if isinstance(value, int | float) and value > 0:
        return f"{round(value)}ms"
    if value:
        found.notes.append(f"{name}: {key} = {json.dumps(value)}: no number of milliseconds")
    return None


def _evaluated(file: Path) -> Any:
    """Return what a JavaScript file exports, as pm2 takes it."""
    code = "process.stdout.write(JSON.stringify(require(process.argv[1])))"
    try:
        done = subprocess.run(
            ["node", "-e", code, str(file.absolute())],
            capture_output=True,
            text=True,
            timeout=NODE_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise ImportFileError(file, "it is JavaScript, and there is no node to read it; write it as JSON") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImportFileError(file, f"node could not read it: {error}") from error
    if done.returncode:
        raise ImportFileError(file, f"node could not read it: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def _words(value: Any) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else shlex.split(str(value)) if value else []


def _size(value: Any) -> str:
    found = re.fullmatch(r"(\d+)\s*([KMG]?)B?", str(value).upper())
    return f"{found[1]}{ {'K': 'KiB', 'M': 'MiB', 'G': 'GiB', '': 'B'}[found[2]] }" if found else str(value)


# --- AIWG -------------------------------------------------------------------------------------------------------------


def _aiwg(file: Path) -> Imported:
    try:
        document = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ImportFileError(file, f"AIWG keeps JSON in its daemon.yaml, and this is none: {error}") from error
    if not isinstance(document, dict):
        raise ImportFileError(file, "it is no configuration of AIWG's daemon")
    daemon, found = document.get("daemon", {}), Imported()
    log = daemon.get("log", {})
    if "heartbeat_interval_seconds" in daemon:
        found.tables["health"] = {"heartbeat": f"{daemon['heartbeat_interval_seconds']}s"}
    if log:
        size, files = log.get("max_size_mb"), log.get("max_files")
        total = f"{size * (files + 1)}MiB" if size and files else None
        level = {"warn": "warning"}.get(str(log.get("level")), log.get("level"))
        found.tables["log"] = {"level": level, "max_size": f"{size}MiB" if size else None, "total": total}
    for key in ("max_parallel_actions", "action_timeout_minutes"):
        if key in daemon:
            found.notes.append(f"daemon.{key} = {daemon[key]}: there is no event router")
    for path in document.get("watch", {}).get("paths", []):
        found.notes.append(f"watch of {path.get('path')}: there is no file watcher")
    for job in document.get("schedule", {}).get("jobs", []):
        found.notes.append(
            f"schedule {job.get('id')}, {job.get('cron')}, action {job.get('action')}: write it as a loop"
        )
    return found


def _variables(found: Imported, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the tables `environment` and `secrets` for `given`; values that sound secret are left where they are."""
    secret = sorted(name for name in given if SECRET_NAME.search(name))
    for name in secret:
        found.secrets[name] = name
    plain = {name: value for name, value in given.items() if name not in secret}
    return {"environment": plain, "secrets": secret}


def _segment(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-") or "program"


_READERS: Final[dict[str, Callable[[Path], Imported]]] = {"supervisord": _supervisord, "pm2": _pm2, "aiwg": _aiwg}
NEIGHBOURS: Final = tuple(_READERS)
"""Programs whose configuration can be taken over."""
