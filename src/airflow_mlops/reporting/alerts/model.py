"""Notices about a champion: its bad health, changes outside of the ledger, rollbacks and promotions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.evidence import judged_again
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.policies.gates_rescue import FALLBACK
from airflow_mlops.domain.policies.gates_rescue import NAME as RESCUE
from airflow_mlops.domain.spec.alerts import Event, Level
from airflow_mlops.reporting.alerts.notice import Finding, Notice, Passage, Status
from airflow_mlops.reporting.alerts.outcome import LISTED, Run
from airflow_mlops.reporting.verdicts import gravest_first, observed, of_check, subject
from airflow_mlops.reporting.words import number

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.guard import GuardReport
    from airflow_mlops.domain.facts.results import HealthReport, PromotionDecision
    from airflow_mlops.domain.facts.tally import TrainingTally


def health(
    run: Run,
    report: HealthReport,
    page: str | None = None,
    *,
    since: Sequence[str] = (),
    picture: str | None = None,
    done: TrainingTally | None = None,
) -> Notice:
    """Return the notice that the champion is in bad health: drift, performance or staleness.

    :param page: place of the drift report under ``[mlops] reports``; None if there is none.
    :param since: partitions of the same problem, the oldest first; people are told once. Empty means the report's own.
    :param picture: place of a PNG of the drift; None if there is none.
    :param done: what was decided at those partitions before this one; None if this is the first.
    """
    parts = (report.drift, report.performance, report.staleness)
    failed = [check for check in parts if check.verdict is Verdict.FAIL]
    drifted = [check for check in report.columns if check.verdict is Verdict.FAIL]
    what = ", ".join(check.name for check in failed) or "health"
    key, *same = [f"{run.health}/{partition}" for partition in since or (report.partition,)]
    champion = report.champion
    is_external = champion is not None and champion.is_external
    return Notice(
        id=key,
        same=tuple(same),
        key=key,
        topic=run.health,
        event=Event.HEALTH,
        status=Status.FAILED,
        levels=(Level.WARNING,),
        title=f"{report.model} {report.partition}: {'the model' if is_external else 'the champion'} is in bad health ({what})",
        badge="BAD HEALTH",
        summary=(report.reason,),
        facts=run.facts(
            ("Version" if is_external else "Champion", f"version {champion.version}" if champion else None),
            ("Since", f"{since[0]}, {counted(len(since), 'partition')}" if len(since) > 1 else None),
            ("Effect of the drift", _effect(report) if report.drift.verdict is Verdict.FAIL else None),
            ("Until now", None if is_external or done is None else str(done)),
        ),
        findings=findings([*failed, *drifted]),
        more=max(0, len(failed) + len(drifted) - LISTED),
        passages=(
            Passage(
                heading="What it means",
                text="Another system makes these predictions, and nothing is done about them here."
                if is_external
                else "The champion stays and goes on predicting. The retrain policy decides on this partition next.",
                commands=() if is_external else (f"airflow mlops history {report.model}",),
            ),
        ),
        links=run.links(*([("Open the drift report", f"/mlops/reports/{page}")] if page else [])),
        picture=picture,
    )


def _effect(report: HealthReport) -> str:
    """Return what labels tell of the effect that drift has on quality."""
    effects = {
        Verdict.PASS: "none on the labels that have come: quality is as it should be",
        Verdict.FAIL: "quality fails on the labels that have come",
        Verdict.INCONCLUSIVE: "not known yet, as the labels that have come cannot tell",
    }
    return effects[report.performance.verdict]


def moved(run: Run, report: GuardReport) -> Notice | None:
    """Return the notice that the champion's alias is not where the ledger has put it; None unless that was shown."""
    if report.alias.verdict is not Verdict.FAIL:
        return None
    back = report.restored is not None and report.restored.action is Action.RESTORED
    key = f"{run.alias}/{report.alias.reason}"
    return Notice(
        id=run.happened(f"{key}/{report.partition}"),
        key=key,
        topic=run.alias,
        event=Event.HEALTH,
        # An alias that was put back leaves nothing to recover.
        status=Status.NEWS if back else Status.FAILED,
        levels=(Level.URGENT,),
        title=f"{report.model} {report.partition}: the champion was changed outside of the ledger"
        + (", and put back" if back else ""),
        badge="CHAMPION CHANGED",
        summary=(report.reason,),
        facts=run.facts(("Champion now", _restored(report) if back else None)),
        findings=findings([report.alias]),
        passages=(
            Passage(
                heading="What to do",
                text="Ask who did it: the ledger knows every promotion and rollback of this package, and this was none. "
                + (
                    "Nothing else is needed."
                    if back
                    else "The ledger's champion goes on serving as long as MLflow has it. To put the alias back, roll back, with "
                    "a reason; to let another version serve, adopt it."
                ),
                commands=(f"airflow mlops history {report.model}",)
                + (() if back else (f"airflow mlops rollback {report.model} --to VERSION --reason REASON",)),
            ),
        ),
        links=run.links(),
    )


def taken_back(run: Run, report: GuardReport) -> Notice | None:
    """Return the notice that a new champion does worse than the one before; None if that was not shown."""
    if report.probation.verdict is not Verdict.FAIL:
        return None
    done = report.restored is not None and report.restored.action is Action.ROLLED_BACK
    key = f"{run.dag}/probation/{report.restored.key if report.restored else report.reason}"
    return Notice(
        id=key,
        key=key,
        topic=f"{run.dag}/champion",
        event=Event.HEALTH,
        status=Status.NEWS,
        # A rollback that was not done is left for a person to do.
        levels=(Level.WARNING if done else Level.URGENT,),
        title=f"{report.model} {report.partition}: the new champion does worse than the one before"
        + (f", rolled back to {_restored(report)}" if done else ", and could not be rolled back"),
        badge="ROLLED BACK" if done else "NOT ROLLED BACK",
        summary=(report.reason,),
        facts=run.facts(("Champion now", _restored(report) if done else None)),
        findings=findings([report.probation]),
        passages=(
            Passage(
                heading="All decisions",
                text="The next training run starts from this champion."
                if done
                else "Mend the cause, then roll back by hand.",
                commands=(f"airflow mlops history {report.model}",),
            ),
        ),
        links=run.links(),
    )


def _restored(report: GuardReport) -> str | None:
    return f"version {report.restored.after}" if report.restored else None


def promotion(run: Run, decision: PromotionDecision) -> Notice | None:
    """Return the notice of the decision on a candidate; None if the champion was not in question."""
    overridden = decision.approval is not None and decision.approval.overridden
    titles = {
        Action.PROMOTED: f"version {decision.after} is the new champion"
        + (", although its gates were not passed" if overridden else ""),
        Action.ROLLED_BACK: f"champion rolled back to version {decision.after}",
        Action.REFUSED: "a candidate was refused",
        Action.CHALLENGING: f"version {decision.candidate} predicts beside the champion, on trial",
        Action.DROPPED: f"the challenger, version {decision.candidate}, was dropped",
    }
    # That a candidate is not promoted yet was told when it was refused.
    repeated = (
        decision.action is Action.REFUSED and decision.approval is None and judged_again(decision.checks)
    )
    if decision.action not in titles or repeated:
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
        title=f"{decision.model} {decision.partition}: {titles[decision.action]}",
        badge="OVERRIDDEN" if overridden else decision.action.value.upper(),
        summary=(decision.reason,),
        facts=run.facts(
            ("Champion before", before),
            ("Champion now", after),
            ("Candidate's scores", scores),
            *_answers(decision),
        ),
        findings=findings(gravest_first(decision.checks)),
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


def no_better(run: Run, decision: PromotionDecision) -> Notice | None:
    """Return the notice that a champion fails and no candidate is the better bet; None unless that was judged.

    People are told once of each champion, also where a constant takes its place, and then no more of that constant.
    """
    rescue = next((check for check in decision.checks if check.name in (RESCUE, FALLBACK)), None)
    fallback = rescue is not None and rescue.name == FALLBACK and decision.action is Action.PROMOTED
    refused = decision.action is Action.REFUSED and rescue is not None and rescue.verdict is not Verdict.PASS
    if rescue is None or not (refused or fallback):
        return None
    key = f"{run.model}/no better/{decision.after}"
    stays = "A constant predicts in its place" if fallback else "The champion goes on predicting"
    return Notice(
        id=key,
        key=key,
        topic=f"{run.dag}/champion",
        event=Event.HEALTH,
        status=Status.NEWS,
        levels=(Level.URGENT,),
        title=f"{decision.model} {decision.partition}: the champion fails, and no candidate is better",
        badge="NO BETTER MODEL",
        summary=(decision.reason,),
        facts=run.facts(
            ("Champion", f"version {decision.before}"), ("Candidate", f"version {decision.candidate}")
        ),
        findings=findings(gravest_first([rescue])),
        passages=(
            Passage(
                heading="What to do",
                text=f"{stays}. Training again on the same columns did not help, so ask what has changed: in the process that "
                "the data tells of, in a source, in what the target means. New columns or newer labels may be needed; a former version may do for a "
                "while. The policy goes on trying.",
                commands=(
                    f"airflow mlops history {decision.model}",
                    f"airflow mlops rollback {decision.model} --to VERSION --reason REASON",
                ),
            ),
        ),
        links=run.links(),
    )


def _answers(decision: PromotionDecision) -> list[tuple[str, str | None]]:
    answers = decision.approval.answers if decision.approval else ()
    return [
        ("Approved" if answer.approved else "Rejected", f"by {answer.person}: {answer.reason}")
        for answer in answers
    ]


def findings(checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Return the first :data:`LISTED` checks as findings of a mail."""
    return tuple(
        Finding(
            name=subject(check),
            note=str(of_check(check)),
            expected=check.expected,
            observed=_observed(check),
        )
        for check in checks[:LISTED]
    )


def _observed(check: Check) -> str:
    measured = observed(check)
    if measured and check.baseline is not None:
        measured += f", against {number(check.baseline)}"
    elif check.observed is not None and f"{check.observed:.6g}" in check.reason.split():
        measured = ""  # the reason has it, with more digits
    return ": ".join(part for part in (measured, check.reason) if part)
