"""Checks of `doctor` on what a node needs to go on for long: secrets, ports, supervision, its service, its last end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from supervisors.cli.patient import Patient
from supervisors.cli.texts import duration, plural, size
from supervisors.views import CheckOutcome, CheckView

if TYPE_CHECKING:
    from supervisors.node.loading import Loaded

LEAST_WATCHES: Final = 8192
LATE_BEATS: Final = 2
BEAT_SLACK: Final = 15.0
RECENT: Final = 7 * 86_400.0

OK, WARNING, FAILED, SKIPPED = CheckOutcome.OK, CheckOutcome.WARNING, CheckOutcome.FAILED, CheckOutcome.SKIPPED


def _loaded(patient: Patient) -> Loaded | None:
    """Return the configuration, None where it has faults: another check says so."""
    from supervisors.node.faults import ConfigurationError
    from supervisors.node.loading import load_config

    try:
        return load_config(patient.config)
    except ConfigurationError:
        return None


def check_secrets(patient: Patient) -> CheckView:
    """Every secret is where the configuration says, for this user, here and now."""
    from supervisors.node.credentials import SecretError, find_secret, secret_source
    from supervisors.node.faults import ConfigurationError
    from supervisors.node.loading import load_config

    try:
        loaded = load_config(patient.config)
    except ConfigurationError as error:
        missing = [fault for fault in error.faults if fault.key.startswith("secrets.")]
        if missing:
            return CheckView(name="secrets", outcome=FAILED, detail=missing[0].message, fix=missing[0].hint)
        return CheckView(name="secrets", outcome=SKIPPED, detail="the configuration has faults")
    for name, secret in loaded.config.secrets.items():
        try:
            find_secret(secret_source(secret.env, secret.file, loaded.directory, secret.keyring), os.environ)
        except SecretError as error:
            return CheckView(name="secrets", outcome=FAILED, detail=f"{name}: {error}", fix=error.hint)
        if secret.file is not None and os.name == "posix":
            file = loaded.directory / Path(secret.file).expanduser()
            if file.stat().st_mode & 0o077:
                fix = f"chmod go= {file}"
                return CheckView(name="secrets", outcome=WARNING, detail=f"others may read {file}", fix=fix)
    return CheckView(name="secrets", outcome=OK, detail=plural(len(loaded.config.secrets), "secret"))


def check_ports(patient: Patient) -> CheckView:
    """The ports that the configuration names are free, or the node's."""
    from supervisors.node.ports import PortTakenError, check_port

    loaded = _loaded(patient)
    if loaded is None:
        return CheckView(name="ports", outcome=SKIPPED, detail="the configuration has faults")
    runtime, health = loaded.config.runtime, loaded.config.health
    named = {"runtime.control": runtime.control, "runtime.taps": runtime.taps} if runtime.transport == "tcp" else {}
    if health.enabled:
        named["health.listen"] = health.listen
    fixed = {key: address for key, address in named.items() if address != "auto"}
    if patient.is_running:
        return CheckView(name="ports", outcome=OK, detail=f"{plural(len(fixed), 'fixed port')}, held by the node")
    for key, address in fixed.items():
        host, _, port = address.rpartition(":")
        try:
            check_port(key, host, int(port))
        except PortTakenError as error:
            return CheckView(
                name="ports", outcome=FAILED, detail=str(error), fix=f'set {key} = "auto", or another port'
            )
    return CheckView(name="ports", outcome=OK, detail=f"{plural(len(fixed), 'fixed port')}, free")


def check_supervised(patient: Patient) -> CheckView:
    """A running node beats, so that a crash in it would be restarted."""
    from supervisors.node.pulse import read_heartbeat

    loaded = _loaded(patient)
    if not patient.is_running or loaded is None:
        return CheckView(name="supervised", outcome=SKIPPED, detail="no node to look at")
    beat = read_heartbeat(patient.home)
    if beat is None:
        return CheckView(name="supervised", outcome=WARNING, detail="the node has written no heartbeat yet")
    age = max(0.0, time.time() - beat)
    if age > LATE_BEATS * float(loaded.config.health.heartbeat) + BEAT_SLACK:
        detail = f"the last heartbeat was {duration(age)} ago: nothing would be restarted"
        return CheckView(name="supervised", outcome=FAILED, detail=detail, fix="actorctl daemon restart")
    return CheckView(name="supervised", outcome=OK, detail=f"the last heartbeat was {duration(age)} ago")


def check_inotify(_patient: Patient) -> CheckView:
    """Enough files may be watched."""
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    try:
        watches = int(limit.read_text("ascii"))
    except (OSError, ValueError):
        return CheckView(name="inotify", outcome=SKIPPED, detail="no such limit on this system")
    if watches < LEAST_WATCHES:
        detail = f"{watches} watches; {LEAST_WATCHES} are wanted where files are watched"
        return CheckView(
            name="inotify", outcome=WARNING, detail=detail, fix="sysctl fs.inotify.max_user_watches=524288"
        )
    return CheckView(name="inotify", outcome=OK, detail=f"{watches} watches")


def check_service(patient: Patient) -> CheckView:
    """The service that was installed for this home, where one was, is there and starts this Python."""
    from supervisors.node.install.choosing import manager_of, read_installed
    from supervisors.node.install.spec import ServiceError
    from supervisors.node.install.systemd import Systemd

    installed = read_installed(patient.home)
    if installed is None:
        return CheckView(name="service", outcome=OK, detail="none was installed for this home")
    try:
        manager = manager_of(installed, patient.home)
    except ServiceError as error:
        return CheckView(name="service", outcome=FAILED, detail=str(error), fix="actorctl service install")
    what = f"{installed.name} ({installed.kind})"
    if isinstance(manager, Systemd):
        unit = Path(manager.path(installed.name))
        if not unit.exists():
            return CheckView(name="service", outcome=FAILED, detail=f"{unit} is gone", fix="actorctl service install")
        if sys.executable not in unit.read_text("utf-8", "replace"):
            detail = f"{unit} starts another Python than {sys.executable}"
            return CheckView(name="service", outcome=WARNING, detail=detail, fix="actorctl service install")
    return CheckView(name="service", outcome=OK, detail=what)


def check_state(patient: Patient) -> CheckView:
    """No start has found the file of state damaged: its jobs and schedules would be in the file moved aside."""
    file = patient.home / "state.db"
    aside = sorted(path for path in patient.home.glob("state.db.damaged-*") if path.suffix[-1:].isdecimal())
    if aside:
        detail = (
            f"{file} was damaged and begun anew: what jobs and schedules it had is in {', '.join(map(str, aside[-3:]))}"
        )
        fix = "actorctl restore BACKUP, then move that file away"
        return CheckView(name="state", outcome=WARNING, detail=detail, fix=fix)
    return CheckView(
        name="state", outcome=OK, detail=f"{file}, {size(file.stat().st_size)}" if file.exists() else "none yet"
    )


def check_last_end(patient: Patient) -> CheckView:
    """The node has not been ended by its own watchdog lately, and nothing had to be cut off at its last end."""
    from supervisors.node.statefile import read_state

    log = patient.home / "logs" / "wedged.log"
    if log.exists() and (age := time.time() - log.stat().st_mtime) < RECENT:
        detail = f"a node ended itself as wedged {duration(max(0.0, age))} ago: {log} has the stacks"
        return CheckView(name="last-end", outcome=WARNING, detail=detail)
    record = read_state(patient.home)
    if record is not None and not patient.is_running:
        if not record.is_over:
            detail = f"process {record.process.pid} was killed or lost its machine while {record.state}"
            return CheckView(name="last-end", outcome=WARNING, detail=detail)
        if record.cut:
            return CheckView(name="last-end", outcome=WARNING, detail=f"cut off: {', '.join(record.cut[:5])}")
    return CheckView(name="last-end", outcome=OK, detail=record.state if record is not None else "no node has run here")
