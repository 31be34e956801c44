"""Disks of a few megabytes, to be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def mounted_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of `size` at `folder`; the test is skipped where this user may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def breakable_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk at `folder` that `break_disk` makes read-only; the test is skipped where this user may not."""
    folder.mkdir()
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    made = ("mkfs.ext4", "-q", str(image)), ("mount", "-o", "loop,errors=remount-ro", str(image), str(folder))
    for words in made:
        try:
            done = subprocess.run(words, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip(f"{words[0]} is not installed")
        if done.returncode:
            pytest.skip("this user may not mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def break_disk(folder: Path) -> None:
    """Have the disk at `folder` meet an error: from here on it is read-only, whatever is open on it."""
    source = subprocess.run(["findmnt", "-no", "SOURCE", str(folder)], capture_output=True, text=True, check=True)
    name = Path(source.stdout.strip()).name
    Path("/sys/fs/ext4", name, "trigger_fs_error").write_text("1")


def fill(folder: Path) -> list[Path]:
    """Take every byte of the disk at `folder`; return the files that do, to be removed."""
    files: list[Path] = []
    for number, size in enumerate((1 << 20, 1 << 12, 1)):  # ever smaller, so that no gap is left
        files.append(folder / f"filler{number}")
        with files[-1].open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(size)):
                    pass
            except OSError:
                continue
    return files
