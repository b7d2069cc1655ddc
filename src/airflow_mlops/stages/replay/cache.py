"""What a replay has computed already: facts on disk by key, each computed by one process."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def key_of(*parts: Any) -> str:
    """Return a digest of plain JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def cached(folder: Path, kind: str, key: str, compute: Callable[[], Any]) -> Any:
    """Return plain JSON values that are on disk, or compute and keep them.

    Other processes that ask for the same wait for it. What was interrupted leaves nothing.
    """
    path = folder / kind / f"{key}.json"
    found = load(path)
    if found is None:
        with locked(folder, f"{kind}-{key}"):
            found = load(path)
            if found is None:
                found = compute()
                save(path, found)
    return found


def load(path: Path) -> Any:
    """Return what a file holds; None if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def save(path: Path, values: Any) -> None:
    """Write plain JSON values, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(values, indent=1), encoding="utf-8")
    draft.replace(path)


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Keep other processes out; a process that ends, however it does, lets them in."""
    place = folder / "locks"
    place.mkdir(parents=True, exist_ok=True)
    with (place / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
