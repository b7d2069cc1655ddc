"""Time and memory to parse one DAG file of many models, in a process forked from one that has imported Airflow."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path

from benchmarks.comparison import RUNS, Comparison
from benchmarks.processes import apart, warm

TUTORIAL = "TaskFlow, imports at top level"
LEAN = "TaskFlow, imports inside tasks"
AIRFLOW = "an empty file"

_FILES = {TUTORIAL: "tutorial.py", LEAN: "lean.py", AIRFLOW: "empty.py"}
_FOLDER = Path(__file__).parent / "dags" / "parse"
_HEAVY = {
    "deltalake", "evidently", "great_expectations", "matplotlib", "mlflow", "numpy", "pandas", "pyarrow", "scipy",
    "skops", "sklearn",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A way to parse files.

    :param models: how many a file has.
    :param task: whether it is parsed for a task of one DAG, and not for all.
    :param peers: what ours is compared with.
    """

    models: int
    task: bool = False
    peers: tuple[str, ...] = (TUTORIAL,)

    @property
    def name(self) -> str:
        """Name of the case."""
        return f"{self.models}/task" if self.task else str(self.models)


CASES = (Case(1), Case(50), Case(200, peers=(TUTORIAL, LEAN, AIRFLOW)), Case(200, task=True, peers=(LEAN,)))


@dataclass(frozen=True)
class Parsed:
    """Time and memory of one parse, and what it loaded.

    :param seconds: of the parse and of what the file imports; Airflow itself had been imported before.
    :param megabytes: the most that was resident in the process, Airflow included.
    :param dags: how many were found.
    :param heavy: the heavy libraries that were loaded.
    """

    seconds: float
    megabytes: float
    dags: int
    heavy: tuple[str, ...]


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Parse files with 1, 50 and 200 models, and one of 200 as a task does.

    :raises RuntimeError: if our file loads a heavy library or does not give its DAGs.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-parse-") as home:
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__LOGGING__LOGGING_LEVEL="CRITICAL")
        server = warm(["airflow.dag_processing.dagbag"])
        for case in CASES:
            yield from _compare(case, server, say)


def _compare(case: Case, server: BaseContext, say: Callable[[str], None]) -> Iterator[Comparison]:
    ours: list[Parsed] = []
    theirs: dict[str, list[Parsed]] = {peer: [] for peer in case.peers}
    for run in range(RUNS):
        say(f"{case.name}, run {run + 1} of {RUNS}")
        ours.append(_ours(case, server))
        for peer, runs in theirs.items():
            runs.append(
                apart(
                    server,
                    _measure,
                    _FILES[peer],
                    case.models,
                    f"model_{case.models - 1}" if case.task else None,
                )
            )
    for peer, runs in theirs.items():
        if peer != AIRFLOW:
            seconds = [parsed.seconds for parsed in ours], [parsed.seconds for parsed in runs]
            yield Comparison("parse", case.name, *seconds, peer, "s")
        megabytes = [parsed.megabytes for parsed in ours], [parsed.megabytes for parsed in runs]
        yield Comparison("parse", f"{case.name}/memory", *megabytes, peer, "MB")


def _ours(case: Case, server: BaseContext) -> Parsed:
    parsed: Parsed = apart(
        server, _measure, "ours.py", case.models, f"model_{case.models - 1}.train" if case.task else None
    )
    expected = 1 if case.task else case.models * 5
    if parsed.heavy or parsed.dags != expected:
        raise RuntimeError(
            f"{case.name}: {parsed.dags} DAGs instead of {expected}; loaded: {parsed.heavy or 'nothing heavy'}"
        )
    return parsed


def _measure(file: str, models: int, dag_id: str | None) -> Parsed:
    """Parse a file as Airflow's task runner does, and return its time and memory."""
    from airflow.dag_processing.dagbag import BundleDagBag

    os.environ["BENCHMARK_MODELS"] = str(models)
    if dag_id is not None:
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
    began = time.perf_counter()
    bag = BundleDagBag(
        dag_folder=str(_FOLDER / file),
        safe_mode=False,
        load_op_links=False,
        bundle_path=_FOLDER,
        bundle_name="benchmark",
    )
    seconds = time.perf_counter() - began
    # Peak, in kB. getrusage would return that of the process that this one was forked from.
    [peak] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return Parsed(seconds, int(peak) * 1024 / 1e6, len(bag.dags), tuple(sorted(_HEAVY & sys.modules.keys())))
