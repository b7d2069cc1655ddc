"""Run the benchmarks: comparisons go to stdout as JSON lines, progress goes to stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from rich.console import Console
from rich.status import Status

WORKS = ("loop", "parse", "ingest", "validation", "tuning", "gates", "training")
"""Each is a module of this package with a function ``compare``, which yields what it found, with a method ``line``."""

_TELEMETRY_OFF = {"DO_NOT_TRACK": "true", "GX_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one work, or all of them, and return an exit code."""
    options = _parser().parse_args(arguments)
    os.environ.update(_TELEMETRY_OFF)
    console = Console(stderr=True)
    for work in WORKS if options.work is None else (options.work,):
        compare = import_module(f"benchmarks.{work}").compare
        with console.status(work) as status:

            def say(what: str, work: str = work, status: Status = status) -> None:
                status.update(f"{work}: {what}")

            for comparison in compare(say):
                print(comparison.line(), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("work", nargs="?", choices=WORKS, help="the work to run (default: all of them)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
