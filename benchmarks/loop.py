"""Time of one turn of the loop on a real scheduler, compared with the same six steps as tutorials write them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from pathlib import Path

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.airflow import LocalAirflow, LocalAirflowError
from airflow_mlops.local.catch_up import STAGES, CatchUp
from benchmarks.comparison import RUNS, Comparison

MODEL = "breast_cancer"
TUTORIAL = "tutorial TaskFlow DAG"

_HERE = Path(__file__).parent
_FIRST = Partition.parse("2024-01-01", "day")
_ENDED = {"success", "failed"}
_DEADLINE = 300.0

Span = tuple[float, float]


@dataclass(frozen=True)
class Taken:
    """Seconds that one turn took.

    :param total: from the queueing of the first DAG run to the end of the last.
    :param scheduling: of these, while no task was running.
    :param imports: while tasks were running and one of them imported in its own process.
    :param work: the rest of the time in which tasks were running.
    """

    total: float
    scheduling: float
    imports: float
    work: float


class Installation:
    """An Airflow of one side, which notes what its processes import.

    :param folder: where it keeps everything.
    :param dags: folder of DAG files beside this module.
    :param settings: environment variables.
    """

    def __init__(self, folder: Path, dags: str, settings: dict[str, str]) -> None:
        folder.mkdir()
        self.imports = folder / "imports"
        self.imports.touch()
        clock = {"PYTHONPATH": str(_HERE / "importclock"), "BENCHMARK_IMPORTS": str(self.imports)}
        self.airflow = LocalAirflow(folder / "airflow", _HERE / "dags" / dags, settings=settings | clock)

    def await_dags(self, number: int) -> None:
        """Wait until a number of DAGs has been parsed."""
        self.airflow.wait(
            lambda: self.airflow.call("GET", "dags")["total_entries"] == number, "the DAGs", seconds=120
        )

    def trigger(self, dag_id: str, partition: str | None) -> str:
        """Start a DAG run by hand and return its id."""
        body = {"logical_date": None, "partition_key": partition}
        run_id: str = self.airflow.call("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return run_id

    def taken(self, runs: Iterable[tuple[str, str]]) -> Taken:
        """Return the seconds of some DAG runs together.

        :param runs: DAG id and run id of each.
        """
        queued, ended, tasks = [], [], []
        for dag_id, run_id in runs:
            path = f"dags/{dag_id}/dagRuns/{run_id}"
            run = self.airflow.call("GET", path)
            queued.append(_seconds(run["queued_at"]))
            ended.append(_seconds(run["end_date"]))
            tasks += self.airflow.call("GET", f"{path}/taskInstances")["task_instances"]
        ran = [task for task in tasks if task["start_date"] and task["pid"]]
        total = max(ended) - min(queued)
        busy = covered((_seconds(task["start_date"]), _seconds(task["end_date"])) for task in ran)
        imports = covered(self._imports({task["pid"] for task in ran}, min(queued)))
        return Taken(total, total - busy, imports, busy - imports)

    def _imports(self, processes: set[int], since: float) -> Iterator[Span]:
        for line in self.imports.read_text(encoding="utf-8").splitlines():
            process, began, ended, _ = line.split()
            if int(process) in processes and float(began) >= since:
                yield float(began), float(ended)


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Run both loops in turns; ours begins with a partition for its first champion, which is not measured.

    :raises LocalAirflowError: if a task of either side fails.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-loop-") as name, ExitStack() as stack:
        folder = Path(name)
        ours = _ours(folder / "ours")
        peer = _tutorial(folder / "tutorial")
        for side, installation in (("ours", ours), (TUTORIAL, peer)):
            say(f"starting Airflow ({side})")
            stack.enter_context(installation.airflow)
        for installation, dags in ((ours, len(STAGES) + 1), (peer, 1)):
            installation.await_dags(dags)
        say("ours, first champion")
        _turn(ours, _FIRST)
        taken: tuple[list[Taken], list[Taken]] = [], []
        for run in range(1, RUNS + 1):
            say(f"ours, run {run} of {RUNS}")
            taken[0].append(_turn(ours, _FIRST.shift(run)))
            say(f"{TUTORIAL}, run {run} of {RUNS}")
            taken[1].append(_turn_tutorial(peer))
    yield from _comparisons("warm", *taken)


def _comparisons(case: str, ours: list[Taken], peer: list[Taken]) -> Iterator[Comparison]:
    parts = zip(zip(*map(astuple, ours), strict=True), zip(*map(astuple, peer), strict=True), strict=True)
    for field, (mine, theirs) in zip(fields(Taken), parts, strict=True):
        name = case if field.name == "total" else f"{case}/{field.name}"
        yield Comparison("loop", name, mine, theirs, TUTORIAL, "s")


def _ours(folder: Path) -> Installation:
    settings = {
        "AIRFLOW__MLOPS__STORAGE": f"file://{folder}/storage",
        "AIRFLOW__MLOPS__TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "AIRFLOW__MLOPS__PRELOAD": "True",
    }
    return Installation(folder, "ours", settings)


def _tutorial(folder: Path) -> Installation:
    from mlflow import MlflowClient

    uri = f"sqlite:///{folder}/mlflow.db"
    settings = {
        "BENCHMARK_FOLDER": str(folder),
        "BENCHMARK_TRACKING_URI": uri,
        # Airflow's default.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    }
    installation = Installation(folder, "tutorial", settings)
    # Makes the tables of MLflow, which our side makes with its first partition.
    MlflowClient(uri).search_experiments()
    return installation


def _turn(ours: Installation, partition: Partition) -> Taken:
    replay = CatchUp(ours.airflow, MODEL, partition, partition)
    ours.trigger(f"{MODEL}.ingest", partition.key)
    ours.airflow.wait(replay.ended, f"partition {partition}", seconds=_DEADLINE)
    errors = [line for failure in replay.failures() for line in replay.errors(failure)]
    if errors:
        raise LocalAirflowError("\n".join(errors))
    return ours.taken((run.dag_id, run.run_id) for run in replay.states()[partition.key].values())


def _turn_tutorial(peer: Installation) -> Taken:
    run_id = peer.trigger("tutorial", None)

    def ended() -> str | None:
        state: str = peer.airflow.call("GET", f"dags/tutorial/dagRuns/{run_id}")["state"]
        return state if state in _ENDED else None

    if peer.airflow.wait(ended, "the tutorial's run", seconds=_DEADLINE) == "failed":
        raise LocalAirflowError(f"The tutorial's run {run_id} failed.")
    return peer.taken([("tutorial", run_id)])


def covered(spans: Iterable[Span]) -> float:
    """Return the time that some spans cover together."""
    total, last = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, last))
        last = max(last, ended)
    return total


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
