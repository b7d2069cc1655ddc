"""Note when each process imports: loaded by Python itself where this folder is on PYTHONPATH.

A line for each import that is not part of another one: process id, begin and end in seconds since the epoch, module.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

_SHORTEST = 0.001
_bootstrap: Any = sys.modules["_frozen_importlib"]
_find_and_load = _bootstrap._find_and_load
_running = threading.local()


def _clocked(name: str, import_: Any) -> Any:
    # Python calls this for modules that are not loaded yet, so an import that is served from memory costs nothing.
    if getattr(_running, "name", None) is not None:
        return _find_and_load(name, import_)
    _running.name, began = name, time.time()
    try:
        return _find_and_load(name, import_)
    finally:
        _running.name, ended = None, time.time()
        if ended - began >= _SHORTEST:
            # Appended at once: task processes end without running exit handlers.
            with open(os.environ["BENCHMARK_IMPORTS"], "a", encoding="utf-8") as log:
                log.write(f"{os.getpid()} {began} {ended} {name}\n")


_bootstrap._find_and_load = _clocked
