"""Notices and the facts that they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_mlops.domain.checks import Check, Fact, Outcome, Severity, Verdict, overall
from airflow_mlops.domain.facts.approval import Answer
from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    Evaluation,
    HealthReport,
    ModelRef,
    PromotionDecision,
    Split,
    TrainedModel,
)
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.facts.validation import ExpectationResult, Sample, ValidationReport
from airflow_mlops.domain.spec.alerts import Event, Level
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.notice import Notice, Status
from airflow_mlops.reporting.alerts.outcome import Run

RUN = "scheduled__2013-04-01T00:00:00+00:00"


def make_run(**changes: Any) -> Run:
    values = {"model": "flights", "dag": "flights.ingest", "run_id": RUN, "partition": "2013-03"}
    return Run(**(values | {"base": "https://airflow.example.com/team"} | changes))


def make_notice(key: str = "validate", **changes: Any) -> Notice:
    values = {
        "id": f"{key}/{RUN}#0",
        "key": key,
        "topic": "flights.ingest/2013-03",
        "event": Event.FAILURE,
        "status": Status.FAILED,
        "levels": (Level.URGENT,),
        "title": f"{key} failed",
        "badge": "FAILED",
    }
    return Notice(**(values | changes))


def make_result(**changes: Any) -> ExpectationResult:
    values = {
        "expectation": "expect_column_values_to_be_between",
        "column": "distance",
        "severity": Severity.BLOCK,
        "outcome": Outcome.FAIL,
        "expected": "at least 0",
        "observed": "-3 to 4,983",
        "unexpected": 12,
        "unexpected_share": 0.012,
        "samples": ("-3", "-2"),
    }
    return ExpectationResult(**(values | changes))


def make_report(**changes: Any) -> ValidationReport:
    """Build the report of a failed validation."""
    values = {
        "dataset": "flights",
        "partition": "2013-03",
        "verdict": Verdict.FAIL,
        "results": (make_result(), make_result(column="carrier", outcome=Outcome.PASS, unexpected=0)),
        "rows": 1000,
        "sample": Sample(
            columns=("id", "email", "distance"),
            rows=tuple((f"F{number}", "•••", f"-{number}") for number in range(3)),
            reasons=("distance is below 0",) * 3,
        ),
        "reason": "distance is below 0 in 12 rows",
    }
    return ValidationReport(**(values | changes))


def make_warning(**changes: Any) -> ValidationReport:
    """Build the report of a validation that set rows aside."""
    results = (make_result(severity=Severity.QUARANTINE),)
    values = {"verdict": Verdict.PASS, "results": results, "quarantined": 12, "reason": "12 rows set aside"}
    return make_report(**(values | changes))


def make_version(**changes: Any) -> DatasetVersion:
    values = {
        "name": "flights",
        "uri": "file:///mlops/flights/staging",
        "version": 7,
        "grain": "month",
        "partition": "2013-03",
        "rows": 1000,
        "digest": "d",
        "columns": {"id": "string"},
        "key": ("id",),
        "event_time": "at",
    }
    return DatasetVersion(**(values | changes))


def make_check(name: str, verdict: Verdict = Verdict.PASS, **changes: Any) -> Check:
    return Check(
        **({"name": name, "verdict": verdict, "expected": "< 0.3", "reason": f"{name} it is"} | changes)
    )


def make_health(verdict: Verdict = Verdict.FAIL, **changes: Any) -> HealthReport:
    """Build a report whose verdict is due to drift."""
    performance = Verdict.PASS if verdict == Verdict.PASS else Verdict.INCONCLUSIVE
    values = {
        "model": "flights",
        "partition": "2013-06",
        "champion": ModelRef(model="flights", version="3", digest="d", run_id="r"),
        "verdict": verdict,
        "drift": make_check("drift", verdict, observed=0.4),
        "columns": (make_check("drift.distance", Verdict.FAIL, observed=0.61), make_check("drift.carrier")),
        "performance": make_check("performance", performance),
        "staleness": make_check("staleness"),
        "reason": "drift failed",
    }
    return HealthReport(**(values | changes))


def make_decision(action: Action, **changes: Any) -> PromotionDecision:
    values = {
        "model": "flights",
        "partition": "2013-06",
        "before": "3",
        "after": "5",
        "reason": "why",
        "key": "k",
    }
    return PromotionDecision(**(values | {"action": action} | changes))


def make_candidate(**changes: Any) -> TrainedModel:
    dates = {month: datetime(2013, month, 1, tzinfo=UTC) for month in (1, 4, 5)}
    values = {
        "model": "flights",
        "candidate": "LogisticRegression",
        "run_id": "run-of-5",
        "version": "5",
        "digest": "c" * 64,
        "task": "classification",
        "target": "late",
        "metric": "roc_auc",
        "score": 0.71,
        "params": {},
        "features": ("distance",),
        "dataset": make_version(partition="2013-04"),
        "split": Split(start=dates[1], cut=dates[4], end=dates[5], train_rows=81234, holdout_rows=27512),
        "seconds": 3.0,
    }
    return TrainedModel(**(values | changes))


def make_evaluation(verdict: Verdict = Verdict.PASS, **changes: Any) -> Evaluation:
    """Build the judgement on version 5, beside the champion, version 3."""
    values = {
        "model": "flights",
        "partition": "2013-04",
        "candidate": make_candidate(),
        "champion": ModelRef(model="flights", version="3", digest="d", run_id="run-of-3"),
        "metrics": {"roc_auc": 0.71234},
        "champion_metrics": {"roc_auc": 0.698},
        "intervals": {"roc_auc": (0.703, 0.721)},
        "checks": (
            make_check("floor", observed=0.71),
            make_check("versus_champion", verdict, observed=0.71, baseline=0.698, interval=(0.004, 0.023)),
        ),
        "leaderboard": {"LogisticRegression": 0.71},
        "reason": "better by 0.014" if verdict is Verdict.PASS else "worse by 0.014",
    } | changes
    return Evaluation(**(values | {"verdict": overall(values["checks"])}))


def make_answer(person: str = "alice", **changes: Any) -> Answer:
    values = {"approved": True, "reason": "looks good", "at": datetime(2013, 5, 2, tzinfo=UTC)}
    whose = {"version": "3", "verdict": Verdict.PASS, "user": person, "person": person}
    return Answer(**(whose | values | changes))


def make_guarded(**changes: Any) -> GuardReport:
    """Build the report on a champion that is the one that it should be."""
    values = {
        "model": "flights",
        "partition": "2013-06",
        "alias": make_check("alias"),
        "probation": make_check("probation"),
        "reason": "as it should be",
    }
    return GuardReport(**(values | changes))


def make_xcom(facts: Sequence[Any]) -> list[Any]:
    """Return the XCom in which a task states facts; of a list for each that it was mapped to, what Airflow returns."""
    return [make_xcom(fact) if isinstance(fact, list) else make_statement(fact).to_dict() for fact in facts]


def make_statement(fact: Fact) -> Statement:
    return fact if isinstance(fact, Statement) else Statement.of(fact)


class Pinboard:
    """A channel that keeps what it is given.

    :param refuses: addresses that it cannot reach for now.
    """

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses
        self.posts: list[tuple[str, tuple[str, ...]]] = []

    def deliver(self, notice: Notice, to: Sequence[str]) -> Receipt:
        self.posts.append((notice.title, tuple(to)))
        settled = tuple(address for address in to if address not in self.refuses)
        return Receipt(settled=settled, later=self.refuses)
