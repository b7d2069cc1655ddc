"""Disks that take no more data, as tests need them: real ones, on a machine that lets us mount them."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

Refusal = Callable[[Path], AbstractContextManager[None]]
_PAGE = 4096


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, of 4 MB."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "size=4m", "none", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave no byte on the disk of a folder."""
    rest = os.open(folder / "rest", os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(rest, b"0" * _PAGE):
            pass
    except OSError:
        os.close(rest)
    yield
    (folder / "rest").unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount the disk of a folder so that nobody can write to it."""
    _mount("-o", "remount,ro", folder)
    yield
    _mount("-o", "remount,rw", folder)


@contextmanager
def limited(folder: Path) -> Iterator[None]:
    """Let no file of this process grow, as a quota does; the folder may lie on any disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Take the right to write away, in every folder below."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folders = [Path(at) for at, _, _ in os.walk(folder)]
    for at in folders:
        at.chmod(0o500)
    yield
    for at in folders:
        at.chmod(0o700)


def _mount(*arguments: str | Path) -> None:
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
