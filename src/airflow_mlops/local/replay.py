"""Replay a model's history with an Airflow backfill, and follow it through the five DAGs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.airflow import LocalAirflow, LocalAirflowError

STAGES = ("ingest", "score", "monitor", "train")
_TICK = timedelta(seconds=1)
_ENDED = {"success", "failed"}


@dataclass(frozen=True)
class StageRun:
    """One DAG run of one partition.

    :param state: as Airflow spells it.
    :param seconds: how long it has run; None before it starts.
    """

    dag_id: str
    run_id: str
    state: str
    seconds: float | None


class LocalReplay:
    """A backfill of some partitions, and all runs that follow from it.

    :param airflow: the Airflow that runs it.
    :param model: name of the model.
    :param first: first partition.
    :param last: last partition.
    :param again: True to run partitions again that have run before.
    """

    def __init__(
        self, airflow: LocalAirflow, model: str, first: Partition, last: Partition, *, again: bool = False
    ) -> None:
        self.airflow = airflow
        self.model = model
        self.partitions = list(first.through(last))
        self.again = again
        self._earlier_runs: set[str] = set()

    def start(self) -> None:
        """Wait for the DAGs to be parsed and create the backfill.

        :raises LocalAirflowError: if a DAG file does not import, with its error.
        """
        self.airflow.wait(self._parsed, f"the DAGs of {self.model}", seconds=120)
        # Airflow completes a backfill a moment after its last run has ended.
        self.airflow.wait(self._no_backfill, "the backfill before to end", seconds=60)
        self._earlier_runs = {run["dag_run_id"] for run in self._runs()}
        self.airflow.call(
            "POST",
            "backfills",
            json={
                "dag_id": f"{self.model}.ingest",
                "from_date": _bound(self.partitions[0].clock),
                "to_date": _bound(self.partitions[-1].shift(1).clock - _TICK),
                "reprocess_behavior": "completed" if self.again else "none",
                "max_active_runs": 1,
            },
        )

    def _parsed(self) -> bool:
        errors = self.airflow.call("GET", "importErrors")["import_errors"]
        if errors:
            raise LocalAirflowError(
                "\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
            )
        dags = self.airflow.call("GET", "dags", params={"limit": 100})["dags"]
        return {f"{self.model}.{stage}" for stage in STAGES} <= {dag["dag_id"] for dag in dags}

    def _no_backfill(self) -> bool:
        path, dag = "backfills", f"{self.model}.ingest"
        return all(
            backfill["completed_at"]
            for backfill in self.airflow.call("GET", path, params={"dag_id": dag})["backfills"]
        )

    def _runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = []
        for stage in STAGES:
            path = f"dags/{self.model}.{stage}/dagRuns"
            runs += self.airflow.call("GET", path, params={"limit": 100, "order_by": "id"})["dag_runs"]
        return runs

    def states(self) -> dict[str, dict[str, StageRun]]:
        """Return the newest run of each partition and stage: ``{"2013-01": {"ingest": StageRun(…)}}``."""
        stage_runs: dict[str, dict[str, StageRun]] = {partition.key: {} for partition in self.partitions}
        for run in self._runs():
            if run["partition_key"] in stage_runs and run["dag_run_id"] not in self._earlier_runs:
                stage = run["dag_id"].rpartition(".")[2]
                stage_runs[run["partition_key"]][stage] = StageRun(
                    run["dag_id"], run["dag_run_id"], run["state"], run["duration"]
                )
        return stage_runs

    def failures(self) -> list[StageRun]:
        """Return the runs that failed."""
        return [run for stages in self.states().values() for run in stages.values() if run.state == "failed"]

    def ended(self) -> bool:
        """Tell whether each partition has come to the end of the chain, or has failed on the way."""

        def partition_ended(stages: dict[str, StageRun]) -> bool:
            last = stages.get(STAGES[-1])
            return (last is not None and last.state in _ENDED) or any(
                run.state == "failed" for run in stages.values()
            )

        return all(partition_ended(stages) for stages in self.states().values())

    def errors(self, run: StageRun) -> list[str]:
        """Return the errors of the failed tasks of a run, one line a task."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        lines = []
        for task in self.airflow.call("GET", path, params={"state": "failed"})["task_instances"]:
            log = self.airflow.call(
                "GET", f"{path}/{task['task_id']}/logs/{task['try_number']}?map_index={task['map_index']}"
            )
            texts = [error_text(event) for event in log["content"] if isinstance(event, dict)]
            lines.append(
                f"{run.dag_id} › {task['task_id']}: "
                + next((text for text in reversed(texts) if text), "failed")
            )
        return lines


def error_text(event: dict[str, Any]) -> str:
    """Return the error in a line of a task log; an empty string if the line has none."""
    details = event.get("error_detail") or []
    return f"{details[0]['exc_type']}: {details[0]['exc_value']}" if details else ""


def _bound(clock: datetime) -> str:
    # Airflow takes it for what the clock of the schedule's time zone shows.
    return clock.replace(tzinfo=UTC).isoformat()
