"""A machine of its own with a live systemd, made of this one: its files, and nothing else of it.

systemd runs as process 1 of namespaces for processes, mounts, control groups, network, host name and System V objects.
Its root is an overlay over `/` whose upper layer is memory, so what a trial writes is gone with it. Its control group
is one of its own below this machine's. Of systemd's own units it has the targets and the journal alone: nothing that
would touch devices, kernel settings or the network. It needs root, systemd, `unshare` and control groups of version 2;
`lacking` says which of them is not there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from support.nodes import TIMEOUT, Result, wait_until

SYSTEMD = "/lib/systemd/systemd"
TARGET = "trial.target"

_PREPARE = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run var/log etc/systemd/system etc/systemd/user dev; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mkdir "$1/units"
for unit in sysinit.target basic.target shutdown.target umount.target final.target \
    network.target network-online.target local-fs.target slices.target sockets.target \
    timers.target paths.target multi-user.target \
    systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
  cp "lib/systemd/system/$unit" "$1/units/"
done
mount -o size=4m -t tmpfs tmpfs lib/systemd/system
cp "$1/units/"* lib/systemd/system/
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
cat > etc/systemd/system/trial.target <<END
[Unit]
Description=A machine for trials
Requires=sysinit.target systemd-journald.service
After=systemd-journald.service
END
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec env -i container=trial PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
  /lib/systemd/systemd --system --unit=trial.target --log-target=journal --log-level=debug --show-status=0
"""


def lacking() -> str:
    """Return why no such machine can be had here, "" where one can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("unshare", "nsenter", "mount", "pivot_root") if shutil.which(name) is None]
    missing += [] if Path(SYSTEMD).exists() else ["systemd"]
    if missing:
        return f"there is no {', no '.join(missing)}"
    if _groups() is None:
        return "control groups of version 2 are not mounted"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--cgroup", "--net", "--uts", "--ipc", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"unshare: {tried.stderr.strip()}" if tried.returncode else ""


class Machine:
    """The running machine. Processes are named by their ids on it; `root` is its file system, seen from here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.root = Path(f"/proc/{pid}/root")

    def run(self, *words: str, cwd: str = "/", timeout: float = TIMEOUT, **env: str) -> Result:
        """Run a command on it to its end."""
        done = subprocess.run(
            [
                "nsenter",
                f"--target={self.pid}",
                "-m",
                "-p",
                "-C",
                "-n",
                "-u",
                "-i",
                f"--wd={self.root}{cwd}",
                "--",
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "NO_COLOR": "1", **env},
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ctl(self, *words: str) -> str:
        """Run `systemctl`, and return what it said; it has to succeed."""
        done = self.run("systemctl", *words)
        assert done.code == 0, (words, done, self.said()[-20:])
        return done.out

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit."""
        lines = self.ctl("show", f"--property={','.join(names)}", unit).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def said(self) -> list[str]:
        """What systemd itself has said, line by line, at its level `debug`."""
        return self.run("journalctl", "--no-pager", "--output=cat", "_PID=1").out.splitlines()

    def notified(self, unit: str, after: int = 0) -> list[dict[str, str]]:
        """What the processes of `unit` told systemd after its first `after` lines, one datagram each."""
        sign = f"{unit}: Got notification message from PID "
        found = []
        for line in self.said()[after:]:
            if sign in line:
                words = line.split("(", 1)[1].rsplit(")", 1)[0]
                found.append(dict(word.partition("=")[::2] for word in words.split(", ") if "=" in word))
        return found


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Run a machine until the block ends; nothing of it is left.

    Args:
        folder: An empty folder for its log and its files' upper layer.
    """
    groups = _groups()
    assert groups is not None
    group = groups / f"actorctl-trial-{os.getpid()}"
    group.mkdir()
    layers, log = folder / "layers", folder / "systemd.log"
    layers.mkdir()
    script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--net", "--uts", "--ipc"]
    with log.open("wb") as out:
        outer = subprocess.Popen(
            ["sh", "-c", script, str(group), *unshare, "sh", "-c", _PREPARE, "prepare", str(layers)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:

        def first() -> int | None:
            assert outer.poll() is None, log.read_text(errors="replace")
            found = [p for p in psutil.Process(outer.pid).children() if p.name() == "systemd"]
            return found[0].pid if found else None

        made = Machine(wait_until(first, "systemd runs as process 1"))
        wait_until(lambda: made.run("systemctl", "is-active", TARGET).code == 0, "systemd has started its target")
        yield made
    finally:
        outer.kill()
        outer.wait(TIMEOUT)
        _remove(group)


def _groups() -> Path | None:
    """Return where control groups of version 2 are mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, where, kind, *_rest = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


def _remove(group: Path) -> None:
    """Remove a control group with those below it; their processes end just now."""
    deadline = time.monotonic() + TIMEOUT
    while group.exists() and time.monotonic() < deadline:
        for folder, _below, _files in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        time.sleep(0.05)
    assert not group.exists(), f"{group} is still in use"
