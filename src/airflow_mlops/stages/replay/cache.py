"""The cache of a replay: facts on disk by key, each computed by one process."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_mlops.stores import damage


def key_of(*parts: Any) -> str:
    """Return a digest of plain JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def cached(folder: Path, kind: str, key: str, compute: Callable[[], Any]) -> Any:
    """Return facts, as plain JSON values, from disk, or compute and keep them.

    Other processes that need the same facts wait for them. A computation that is interrupted leaves no file.
    """
    path = folder / kind / f"{key}.json"
    facts = load(path)
    if facts is None:
        with locked(folder, f"{kind}-{key}"):
            facts = load(path)
            if facts is None:
                facts = compute()
                save(path, facts)
    return facts


def load(path: Path) -> Any:
    """Return the JSON values in a file; None if there is no file.

    :raises TableUnreadable: if it is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    with damage.errors(f"{path}, which may be deleted,"):
        return json.loads(text)


def save(path: Path, facts: Any) -> None:
    """Write plain JSON values to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    draft.replace(path)


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock that other processes wait for; it is released when the process ends, however that happens."""
    place = folder / "locks"
    place.mkdir(parents=True, exist_ok=True)
    with (place / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
