"""What people are told of a model: that its champion is in bad health, or another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.results import Action
from airflow_mlops.domain.spec_alerts import Event, Level
from airflow_mlops.engines.alert import LISTED, Run
from airflow_mlops.engines.mails import Finding, Notice, Passage, Status

if TYPE_CHECKING:
    from airflow_mlops.domain.results import HealthReport, PromotionDecision

_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def health(run: Run, report: HealthReport, page: str | None = None) -> Notice:
    """Tell that the champion is in bad health: drift, performance or staleness.

    :param page: place of the drift report under ``[mlops] reports``; None if there is none.
    """
    parts = (report.drift, report.performance, report.staleness)
    failed = [check for check in parts if check.verdict is Verdict.FAIL]
    drifted = [check for check in report.columns if check.verdict is Verdict.FAIL]
    what = ", ".join(check.name for check in failed) or "health"
    key = f"{run.health}/{what}"
    champion = report.champion
    return Notice(
        id=run.happened(f"{key}/{report.partition}"),
        key=key,
        topic=run.health,
        event=Event.HEALTH,
        status=Status.FAILED,
        levels=(Level.WARNING,),
        title=f"{report.model} {report.partition}: the champion is in bad health ({what})",
        badge="BAD HEALTH",
        summary=(report.reason,),
        facts=run.facts(("Champion", f"version {champion.version}" if champion else None)),
        findings=_findings([*failed, *drifted]),
        more=max(0, len(failed) + len(drifted) - LISTED),
        passages=(
            Passage(
                heading="What it means",
                text="The champion stays and goes on predicting. The retrain policy decides on this partition next.",
                commands=(f"airflow mlops history {report.model}",),
            ),
        ),
        links=run.links(*([("Open the drift report", f"/mlops/reports/{page}")] if page else [])),
    )


def promotion(run: Run, decision: PromotionDecision) -> Notice | None:
    """Tell what became of a candidate; None if the champion was not in question."""
    said = {
        Action.PROMOTED: f"version {decision.after} is the new champion",
        Action.ROLLED_BACK: f"champion rolled back to version {decision.after}",
        Action.REFUSED: "a candidate was refused",
    }
    if decision.action not in said:
        return None
    key = f"{run.model}/{decision.action.value}/{decision.partition}/{decision.key}"
    before = f"version {decision.before}" if decision.before else "none"
    after = f"version {decision.after}" if decision.after else "none"
    scores = ", ".join(f"{name} {value:.4g}" for name, value in decision.metrics.items() if value is not None)
    return Notice(
        id=key,
        key=key,
        topic=f"{run.dag}/champion",
        event=Event.PROMOTION,
        status=Status.NEWS,
        levels=(Level.WARNING,),
        title=f"{decision.model} {decision.partition}: {said[decision.action]}",
        badge=decision.action.value.upper(),
        summary=(decision.reason,),
        facts=run.facts(("Champion before", before), ("Champion now", after), ("Candidate's scores", scores)),
        findings=_findings(sorted(decision.checks, key=lambda check: _ORDER.index(check.verdict))),
        more=max(0, len(decision.checks) - LISTED),
        passages=(
            Passage(
                heading="All decisions",
                text="To go back to an earlier version, run the rollback DAG with a reason.",
                commands=(f"airflow mlops history {decision.model}",),
            ),
        ),
        links=run.links(),
    )


def _findings(checks: Sequence[Check]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            name=check.name + (f" [{check.slice}]" if check.slice else ""),
            note=check.verdict.value,
            expected=check.expected,
            observed=_observed(check),
        )
        for check in checks[:LISTED]
    )


def _observed(check: Check) -> str:
    if check.observed is None:
        return check.reason
    said = f"{check.observed:.4g}"
    if check.baseline is not None:
        said += f", against {check.baseline:.4g}"
    return f"{said}: {check.reason}" if check.reason else said
