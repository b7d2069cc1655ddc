"""Run the benchmarks: comparisons go to stdout as JSON lines, progress goes to stderr."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module

from rich.console import Console

WORKS = (
    "loop",
    "parse",
    "check",
    "ingest",
    "validation",
    "tuning",
    "gates",
    "evidence",
    "training",
    "scoring",
    "drift",
    "drift_alarms",
    "streams",
    "estimate",
    "replay",
    "journal",
    "wide",
)
"""Each is a module of this package with a function ``compare``, whose comparisons have a method ``line``."""

_TELEMETRY_OFF = {"DO_NOT_TRACK": "true", "GX_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one work, or all of them, and return an exit code."""
    options = _parser().parse_args(arguments)
    os.environ.update(_TELEMETRY_OFF)
    if options.work is None:
        # Each in a process of its own, so that what one imports and warms up does not help the next.
        return max(subprocess.run([sys.executable, "-m", "benchmarks", work]).returncode for work in WORKS)
    with Console(stderr=True).status(options.work) as status:
        for comparison in import_module(f"benchmarks.{options.work}").compare(
            lambda what: status.update(f"{options.work}: {what}")
        ):
            print(comparison.line(), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("work", nargs="?", choices=WORKS, help="the work to run (default: all of them)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
