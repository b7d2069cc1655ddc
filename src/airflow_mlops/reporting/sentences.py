"""What came of a task, in one sentence: for its log, the note of its run, and the stories of partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.evidence import judged_again
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.retraining import VERSION
from airflow_mlops.domain.policies.gates_rescue import FALLBACK, MORE_DATA
from airflow_mlops.domain.policies.gates_rescue import NAME as RESCUE
from airflow_mlops.reporting.verdicts import WARN, appearance, of_check, of_result, subject
from airflow_mlops.reporting.words import learned, line, number, windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_mlops.domain.checks import Check
    from airflow_mlops.domain.facts.labels import LabelsReport
    from airflow_mlops.domain.facts.results import (
        DatasetVersion,
        Evaluation,
        HealthReport,
        PromotionDecision,
        TrainedModel,
    )
    from airflow_mlops.domain.facts.retraining import RetrainDecision
    from airflow_mlops.domain.facts.scoring import ScoringReport
    from airflow_mlops.domain.facts.validation import ExpectationResult, ValidationReport


def decided(decision: PromotionDecision) -> str:
    """Say what was decided on a partition, beginning with what became of the champion; of a promotion without the gates."""
    if decision.action is Action.PROMOTED:
        return _promoted(decision)
    after, candidate = f"version {decision.after}", f"version {decision.candidate}"
    refused = f"refused {candidate}" if decision.candidate else "refused"
    begin = {
        Action.REFUSED: f"judged {candidate} again, not promoted"
        if judged_again(decision.checks)
        else refused,
        Action.KEPT: f"kept {after}" if decision.candidate else _idle(decision.checks),
        Action.ROLLED_BACK: f"rolled back to {after}",
        Action.RESTORED: f"put the champion back to {after}",
        Action.CHALLENGING: f"{candidate} is on trial",
        Action.DROPPED: f"dropped the challenger, {candidate}",
        Action.ADOPTED: f"adopted {after}",
        Action.RECORDED: f"judged {candidate} for the record",
    }.get(decision.action, decision.action.value)
    return _because(begin, decision.reason)


def _idle(checks: Iterable[Check]) -> str:
    return "nothing to judge" if any(check.name == VERSION for check in checks) else "not trained"


def _promoted(decision: PromotionDecision) -> str:
    first = "" if decision.before else " as the first champion"
    overridden = decision.approval is not None and decision.approval.overridden
    parts = (
        f"promoted version {decision.after}{first}",
        "judged again" if judged_again(decision.checks) else "",
        compared(decision.checks),
        "although its gates were not passed" if overridden else "",
    )
    return ", ".join(part for part in parts if part)


def compared(checks: Iterable[Check]) -> str:
    """Return how a candidate and the champion did on the same rows, such as ``roc_auc 0.71 against 0.69``; "" if unknown."""
    names = "versus_champion.", RESCUE, MORE_DATA
    check = next((check for check in checks if check.name.startswith(names)), None)
    if check is None or check.observed is None:
        return ""
    against = "" if check.baseline is None else f" against {number(check.baseline)}"
    bets = {
        RESCUE: "the better bet than a failing champion,",
        FALLBACK: "a constant in place of a failing champion,",
        MORE_DATA: "the better bet, as it has learned from more,",
    }
    what = bets.get(check.name, check.name.partition(".")[2])
    return f"{what} {number(check.observed)}{against}"


def trains(decision: RetrainDecision, *, asks: bool) -> str:
    """Say whether a model is trained, and why or why not.

    :param asks: whether a person is asked.
    """
    answer = (
        "trains" if decision.retrain else "a person decides whether to train" if asks else "does not train"
    )
    if any(check.name == VERSION for check in decision.checks):
        answer = "takes a version in" if decision.retrain else "takes nothing in"
    if decision.again:
        answer = f"judges version {decision.version} again, without a training"
    return _because(answer, decision.reason)


def trained(model: TrainedModel) -> str:
    """Say which version a candidate has become, how it was ranked, and what it has learned from."""
    if origin := model.origin:
        return (
            f"version {origin.version} of {origin.model} is version {model.version}: it was trained elsewhere, before "
            f"{origin.until:%Y-%m-%d %H:%M}"
        )
    ranked = (
        "not ranked"
        if model.score is None
        else f"{model.metric} {number(model.score)} on inner validation rows"
    )
    rows = f"{'learned from ' if model.window else ''}{learned(model)}"
    return f"{model.candidate} is version {model.version}: {ranked}, {rows}, fitted in {model.seconds:.1f} s"


def handed_out(model: TrainedModel) -> str:
    """Say which version is judged again, and on how many rows."""
    rows = f"{counted(model.split.holdout_rows, 'row')} from {model.split.cut:%Y-%m-%d} to {model.split.end:%Y-%m-%d}"
    return f"nothing is trained: {model.candidate}, version {model.version}, is judged again on {rows}"


def recipe(model: TrainedModel) -> Iterator[str]:
    """Say how a candidate was fitted, a line for each part."""
    params = ", ".join(f"{name} {value}" for name, value in model.params.items())
    if model.origin is None:
        yield f"parameters: {params or 'those of the estimator'}"
    if model.trials > 1:
        yield f"chosen by {model.trials} trials"
    if model.window:
        yield windows(model)
    yield f"{len(model.features)} features: {', '.join(model.features)}"
    yield from model.remarks


def evaluated(evaluation: Evaluation) -> str:
    """Say which candidate was best, and whether it passed its gates."""
    return _because(str(appearance(evaluation.verdict)), evaluation.reason)


def judged(check: Check) -> str:
    """Say what a check is about, its verdict, and why."""
    return _because(f"{subject(check)} {of_check(check)}", check.reason)


def well(report: HealthReport) -> str:
    """Say how the champion is, and why: of one that is not well, what says so."""
    health = f"health {appearance(report.verdict)}"
    if report.verdict is not Verdict.FAIL:
        return _because(health, report.reason)
    parts = (report.drift, report.performance, report.staleness)
    failed = (f"{check.name}: {check.reason}" for check in parts if check.verdict is Verdict.FAIL)
    return _because(health, "; ".join(failed))


def validated(report: ValidationReport) -> str:
    """Say whether a partition is as expected; where it is not, that it goes no further."""
    stopped = "" if report.verdict is Verdict.PASS else ", not published"
    return _because(f"{appearance(WARN if report.warned else report.verdict)}{stopped}", report.reason)


def expectation(result: ExpectationResult) -> str:
    """Say what an expectation is about, its outcome, and what was observed."""
    of = f" of {result.column}" if result.column else ""
    return _because(f"{result.expectation}{of} {of_result(result)}", result.observed)


def stored(version: DatasetVersion, how: str, quarantined: int = 0) -> str:
    """Say which rows a partition has, such as ``published 27,004 rows × 21 columns as version 3``.

    :param how: ``staged`` or ``published``.
    :param quarantined: number of rows that were set aside before.
    """
    size = f"{counted(version.rows, 'row')} × {counted(len(version.columns), 'column')}"
    aside = f"; {quarantined:,} set aside" if quarantined else ""
    if not version.changed:
        return f"unchanged, version {version.version} has the same {size}{aside}"
    text = f"{how} {size} as version {version.version}"
    if version.difference is not None:
        rows = version.difference
        text += f" ({counted(rows.added, 'row')} added, {rows.removed:,} removed, {rows.changed:,} changed)"
    return text + aside


def labelled(report: LabelsReport) -> str:
    """Say how many labels became known, and what is wrong with them; or why there is none to read."""
    if report.reason:
        return line(report.reason)
    parts = [f"{counted(report.rows, 'label')}, {report.new:,} of them new"]
    if report.empty:
        parts.append(f"{counted(report.empty, 'row')} without one")
    if report.contradictory:
        parts.append(
            f"{report.contradictory:,} keys have labels that contradict each other, and are set aside until the source is "
            "corrected"
        )
    if report.check is not None and report.check.verdict is Verdict.FAIL:
        parts.append(report.check.reason)
    return line("; ".join(parts))


def scored(report: ScoringReport) -> str:
    """Say how many rows were predicted, and by which version."""
    return _because(counted(report.rows, "row"), report.reason) if report.rows else line(report.reason)


def _because(what: str, reason: str) -> str:
    why = line(reason).rstrip(".")
    return f"{what}: {why}" if why else what
