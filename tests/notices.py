"""Notices and the facts that they are made from."""

from __future__ import annotations

from typing import Any

from airflow_mlops.domain.checks import Check, Outcome, Severity, Verdict
from airflow_mlops.domain.results import Action, DatasetVersion, HealthReport, ModelRef, PromotionDecision
from airflow_mlops.domain.spec_alerts import Event, Level
from airflow_mlops.domain.validation import ExpectationResult, Sample, ValidationReport
from airflow_mlops.engines.alert import Run
from airflow_mlops.engines.mails import Notice, Status

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


def make_health(**changes: Any) -> HealthReport:
    values = {
        "model": "flights",
        "partition": "2013-06",
        "champion": ModelRef(model="flights", version="3", digest="d", run_id="r"),
        "verdict": Verdict.FAIL,
        "drift": make_check("drift", Verdict.FAIL, observed=0.4),
        "columns": (make_check("drift.distance", Verdict.FAIL, observed=0.61), make_check("drift.carrier")),
        "performance": make_check("performance", Verdict.INCONCLUSIVE),
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
