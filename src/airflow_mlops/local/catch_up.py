"""Bring a model's history through its DAGs, one partition after the other, and follow it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_mlops.domain.facts.results import PromotionDecision
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.api import AirflowApi, ApiError

STAGES = ("ingest", "score", "monitor", "train")
_TICK = timedelta(seconds=1)
_ENDED = {"success", "failed"}
# Runs wait in order of the time from which they may run. That of a scheduled run is the end of its partition by the clock of
# its zone, which is never further from UTC than this: so it waits for all partitions before it.
_ZONES = timedelta(hours=14)
# The clocks of this machine and Airflow's may differ by so much.
_CLOCKS = timedelta(hours=1)


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


class CatchUp:
    """The partitions of a span of history, and all runs that they go through.

    Each is started at ``<model>.ingest`` by a run with its key, and not by a backfill: these runs wait in order of their
    partitions, and a scheduled run of a newer one behind them. What has run before goes on where it stopped.

    :param airflow: the Airflow that runs it.
    :param model: name of the model.
    :param first: first partition.
    :param last: last partition.
    :param again: True to run partitions again that have run before.
    :param record: judge candidates for the record where later partitions were decided already.
    """

    def __init__(
        self,
        airflow: AirflowApi,
        model: str,
        first: Partition,
        last: Partition,
        *,
        again: bool = False,
        record: bool = False,
    ) -> None:
        self.airflow = airflow
        self.model = model
        self.partitions = list(first.through(last))
        self.again = again
        self.record = record
        self._earlier_runs: set[str] = set()
        self._runs: dict[tuple[str, str], dict[str, Any]] = {}
        self._read: datetime | None = None
        self._to_record: list[str] = []

    def start(self, patience: float = 120) -> None:
        """Wait for the DAGs to be parsed, start what has not run yet, and unpause the DAGs, the last one first.

        :param patience: seconds in which the DAGs have to be there.
        :raises ApiError: if a DAG is missing, or its file does not import; or, before anything is started, if history would
            be decided after what is newer, and not for the record.
        """
        names = f"the DAGs {self.model}.ingest, .score, .monitor and .train: is the name right, and may you see them"
        dags = self.airflow.wait(self._parsed, names, seconds=patience)
        self._plan()
        self._poll()
        self._refuse_overtaken()
        if self.again:
            self._earlier_runs = {run_id for _, run_id in self._runs}
        states = self.states()
        for stage in reversed(STAGES):
            if stage == "ingest":
                # Before its DAG is unpaused, so that they wait in front of the run that this makes.
                for partition in self.partitions:
                    self._go_on(partition, states[partition.key])
            if dags[f"{self.model}.{stage}"]["is_paused"]:
                self.airflow.call("PATCH", f"dags/{self.model}.{stage}", json={"is_paused": False})

    def _parsed(self) -> dict[str, Any] | None:
        dags = {dag["dag_id"]: dag for dag in self.airflow.pages("dags", "dags", tags=self.model)}
        if {f"{self.model}.{stage}" for stage in STAGES} <= set(dags):
            return dags
        errors = self.airflow.call("GET", "importErrors")["import_errors"]
        if errors:
            raise self.airflow.error(
                "\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
            )
        return None

    def _plan(self) -> None:
        """Leave out the partitions that the schedule does not have, such as an hour that is skipped by the clocks."""
        first, last = self.partitions[0], self.partitions[-1]
        body = {
            "dag_id": f"{self.model}.ingest",
            "from_date": _bound(first.clock),
            "to_date": _bound(last.shift(1).clock - _TICK),
            "reprocess_behavior": "completed",
        }
        planned = self.airflow.call("POST", "backfills/dry_run", json=body)["backfills"]
        keys = {run["partition_key"] for run in planned}
        self.partitions = [partition for partition in self.partitions if partition.key in keys]
        if not self.partitions:
            raise self.airflow.error(
                f"{self.model}.ingest has no partition from {first} to {last}: look at partition, start and end of the spec."
            )

    def _refuse_overtaken(self) -> None:
        last, stages = self.partitions[-1].key, self._newest()
        decided = {key for key, runs in stages.items() if _state(runs, "train") in _ENDED}
        latest = max(decided, default="")
        past = [partition.key for partition in self.partitions if partition.key < latest]
        undecided = [key for key in past if key not in decided]
        under_way = [
            f"{run.dag_id} of {key}"
            for key, runs in sorted(stages.items())
            for run in runs.values()
            if key > last and run.state not in _ENDED
        ]
        if under_way and last > latest:
            raise self.airflow.error(
                f"{', '.join(under_way)} is under way, and would be decided before history is. Nothing was started: try again "
                "once it has ended, or mark it as failed and clear it afterwards."
            )
        if self.record:
            self._to_record = past
        elif undecided:
            few = ", ".join(undecided[:3]) + (f" and {len(undecided) - 3} more" if len(undecided) > 3 else "")
            raise self.airflow.error(
                f"{latest} of {self.model} has been decided already, and so a candidate of {few} can no longer become champion: "
                "it has seen less. Nothing was started. With --for-the-record they go through the DAGs, and a candidate of each "
                "is trained and judged without moving the champion."
            )

    def _go_on(self, partition: Partition, stages: dict[str, StageRun]) -> None:
        """Start a partition where it stopped: at its first stage that has failed or was never started."""
        stage = next((stage for stage in STAGES if _state(stages, stage) != "success"), None)
        if stage is None:
            return
        run = stages.get(stage)
        if run is None:
            self._trigger(stage, partition)
        elif run.state == "failed":
            path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/clear"
            # Data that was stopped is read again, for it may have been corrected.
            self.airflow.call("POST", path, json={"dry_run": False, "only_failed": stage != "ingest"})

    def _trigger(self, stage: str, partition: Partition, prefix: str = "catch-up", **conf: bool) -> None:
        run = {
            "dag_run_id": f"{prefix}__{partition.key}__{datetime.now(UTC):%Y%m%dT%H%M%S}",
            "logical_date": None,
            "partition_key": partition.key,
            "run_after": (partition.end - _ZONES).isoformat(),
            "conf": conf,
        }
        self.airflow.call("POST", f"dags/{self.model}.{stage}/dagRuns", json=run)

    def _poll(self) -> None:
        """Read the runs that have changed since the last time; all of them the first time."""
        since = {} if self._read is None else {"updated_at_gte": (self._read - _CLOCKS).isoformat()}
        now = datetime.now(UTC)
        for stage in STAGES:
            path = f"dags/{self.model}.{stage}/dagRuns"
            for run in self.airflow.pages(path, "dag_runs", order_by="id", **since):
                self._runs[run["dag_id"], run["dag_run_id"]] = run
        self._read = now

    def _newest(self) -> dict[str, dict[str, StageRun]]:
        stage_runs: dict[str, dict[str, StageRun]] = {}
        for (dag_id, run_id), run in self._runs.items():
            if run["partition_key"] and run_id not in self._earlier_runs:
                stages = stage_runs.setdefault(run["partition_key"], {})
                stages[dag_id.rpartition(".")[2]] = StageRun(dag_id, run_id, run["state"], run["duration"])
        return stage_runs

    def states(self) -> dict[str, dict[str, StageRun]]:
        """Return the newest run of each partition and stage: ``{"2013-01": {"ingest": StageRun(…)}}``."""
        self._poll()
        newest = self._newest()
        return {partition.key: newest.get(partition.key, {}) for partition in self.partitions}

    def failures(self) -> list[StageRun]:
        """Return the runs that failed."""
        return [run for stages in self.states().values() for run in stages.values() if run.state == "failed"]

    def ended(self) -> bool:
        """Tell whether each partition has come to the end of the chain, or has failed on the way."""
        return all(partition_ended(stages) for stages in self.states().values())

    def start_records(self) -> bool:
        """Start the trainings for the record, once, after all partitions have ended; tell whether there are any."""
        keys, self._to_record = self._to_record, []
        runs = self.states()
        decisions = self.decisions() if keys else {}
        started = False
        for partition in self.partitions:
            stages, decision = runs[partition.key], decisions.get(partition.key)
            # What was judged by a policy or a gate has checks.
            judged = decision is not None and decision.checks
            if partition.key in keys and _state(stages, "train") in _ENDED and not judged:
                self._trigger("train", partition, "for-the-record", record=True)
                started = True
        return started

    def decisions(self) -> dict[str, PromotionDecision]:
        """Return what was decided at each partition, from what its training run has recorded."""
        decisions = {}
        for key, stages in self.states().items():
            if record := self.fact(stages, "train", "record"):
                decisions[key] = PromotionDecision.from_dict(record)
        return decisions

    def fact(
        self,
        stages: Mapping[str, StageRun],
        stage: str,
        task: str,
        key: str = "return_value",
        *,
        failed: bool = False,
    ) -> dict[str, Any] | None:
        """Return what a task of a partition has said; None if its run did not succeed, or the task was skipped.

        :param key: of the XCom.
        :param failed: whether what was said in a run that failed counts too.
        """
        run = stages.get(stage)
        if run is None or (run.state != "success" and not (failed and run.state == "failed")):
            return None
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task}/xcomEntries/{key}"
        try:
            value = self.airflow.call("GET", path)["value"]
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        fact: dict[str, Any] | None = json.loads(value) if isinstance(value, str) else value
        return fact

    def errors(self, run: StageRun) -> list[str]:
        """Return the errors of the failed tasks of a run, one line a task."""
        return list(self._errors(run))

    def _errors(self, run: StageRun) -> Iterator[str]:
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        for task in self.airflow.call("GET", path, params={"state": "failed"})["task_instances"]:
            log = self.airflow.call(
                "GET", f"{path}/{task['task_id']}/logs/{task['try_number']}?map_index={task['map_index']}"
            )
            texts = [error_text(event) for event in log["content"] if isinstance(event, dict)]
            last = next((text for text in reversed(texts) if text), "failed")
            yield f"{run.dag_id} › {task['task_id']}: {last}"


def partition_ended(stages: Mapping[str, StageRun]) -> bool:
    """Tell whether a partition has come to the end of the chain, or has failed on the way."""
    return _state(stages, STAGES[-1]) in _ENDED or any(run.state == "failed" for run in stages.values())


def error_text(event: dict[str, Any]) -> str:
    """Return the error in a line of a task log; an empty string if the line has none."""
    details = event.get("error_detail") or []
    return f"{details[0]['exc_type']}: {details[0]['exc_value']}" if details else ""


def _state(stages: Mapping[str, StageRun], stage: str) -> str | None:
    run = stages.get(stage)
    return run.state if run is not None else None


def _bound(clock: datetime) -> str:
    # Airflow takes it for what the clock of the schedule's time zone shows.
    return clock.replace(tzinfo=UTC).isoformat()
