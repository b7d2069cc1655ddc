"""What is waited for, and how long that took the last time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Durations:
    """Seconds that steps took, kept in a file from one start to the next.

    :param file: where they are kept.
    :param tell: prints a sentence; None says nothing.
    """

    def __init__(self, file: Path | None = None, tell: Callable[[str], None] | None = None) -> None:
        self.file = file
        self.tell = tell
        self.seconds: dict[str, float] = {}
        if file is not None:
            with suppress(OSError, ValueError):
                self.seconds = dict(json.loads(file.read_text()))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what is waited for and how long that took the last time, and note how long it takes."""
        if self.tell is not None:
            before = self.seconds.get(name)
            self.tell(f"{name} …" + (f" ({before:.0f} s the last time)" if before is not None else ""))
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        if self.file is not None:
            self.file.write_text(json.dumps(self.seconds))
