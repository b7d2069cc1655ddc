"""The facts of a model card, gathered from an evaluation, its run and the tables of its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.metrics import find, metric_of
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.reporting.card import classes, limitations
from airflow_mlops.reporting.markdown import MarkdownLink
from airflow_mlops.reporting.verdicts import Appearance, appearance, gravest_first, observed, of_check
from airflow_mlops.reporting.words import interval, moment, number, windows

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import Evaluation, PromotionDecision

Row = tuple[Any, ...]

_PARTITIONS = 12
_RELIED = 5
_CAPTIONS = {
    "roc.png": "ROC curve on the holdout",
    "precision_recall.png": "Precision and recall on the holdout",
    "calibration.png": "Predicted probability beside what came true",
    "scores.png": "Distribution of the predictions",
    "confusion.png": "Confusion matrix",
    "classes.png": "Recall of each class",
    "residuals.png": "Residuals on the holdout",
    "importance.png": "Loss in the metric when a feature is shuffled",
    "learning_curve.png": "Metric by number of training rows",
}
_INSIGHTS = ("importance.png", "learning_curve.png")


@dataclass(frozen=True)
class Sources:
    """Where the facts of a card come from.

    :param provenance: facts of :func:`airflow_mlops.learning.provenance.read`; empty if the run has none.
    :param seen: facts of the training rows, by :func:`airflow_mlops.stages.train.curve.row_facts`; empty if none.
    :param importance: loss in the metric by feature, the greatest first.
    :param validations: last validation by partition: verdict, reason, rows set aside.
    :param pictures: paths of the pictures below the card.
    """

    evaluation: Evaluation
    decision: PromotionDecision | None
    description: str
    owner: str
    provenance: Mapping[str, Any]
    seen: Mapping[str, Any]
    importance: Mapping[str, float]
    validations: Mapping[str, Row]
    pictures: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Everything that a card shows, as text and rows of tables."""

    title: str
    verdict: Appearance
    reason: str
    purpose: tuple[str, ...]
    about: tuple[Row, ...]
    approval: tuple[Row, ...]
    judged: str
    metric: str
    metrics_head: Row
    metrics: tuple[Row, ...]
    classes: tuple[Row, ...]
    leaderboard: tuple[Row, ...]
    pictures: tuple[Row, ...]
    insights: tuple[Row, ...]
    relies: str
    gates: tuple[Row, ...]
    slices: tuple[Row, ...]
    data: tuple[Row, ...]
    partitions: tuple[Row, ...]
    limits: tuple[str, ...]
    ranges: tuple[Row, ...]
    lineage: tuple[Row, ...]


def gather(sources: Sources) -> Facts:
    """Gather the facts of a card."""
    evaluation, decision = sources.evaluation, sources.decision
    candidate = evaluation.candidate
    checks = gravest_first(evaluation.checks)
    champion = evaluation.champion
    head = (
        "Metric",
        "Value",
        "Interval",
        *((f"Champion, version {champion.version}", "Difference") if champion else ()),
    )
    relies = [
        f"{name} ({number(loss)})" for name, loss in list(sources.importance.items())[:_RELIED] if loss > 0
    ]
    return Facts(
        title=f"{evaluation.model} version {candidate.version}",
        verdict=appearance(decision.action if decision else evaluation.verdict),
        reason=decision.reason if decision else evaluation.reason,
        purpose=tuple(part for part in sources.description.split("\n\n") if part.strip()),
        about=tuple(_about(sources)),
        approval=tuple(_approval(decision)),
        judged=_judged(evaluation),
        metric=candidate.metric,
        metrics_head=head,
        metrics=tuple(_metrics(evaluation)),
        classes=tuple(classes.measured(evaluation)),
        leaderboard=tuple(_leaderboard(evaluation)),
        pictures=tuple(_pictured(sources.pictures, insights=False)),
        insights=tuple(_pictured(sources.pictures, insights=True)),
        relies=", ".join(relies),
        gates=tuple(_gate(check) for check in checks if check.slice is None),
        slices=tuple(_slice(check) for check in checks if check.slice is not None),
        data=tuple(_data(evaluation)),
        partitions=tuple(_partitions(sources)),
        limits=tuple(limitations.limits(evaluation, sources.seen, sources.validations)),
        ranges=tuple(limitations.ranges(sources.seen)),
        lineage=tuple(_lineage(sources)),
    )  # fmt: skip


def _about(sources: Sources) -> Iterator[Row]:
    evaluation, decision = sources.evaluation, sources.decision
    candidate = evaluation.candidate
    yield "Predicts", classes.predicts(candidate)
    if candidate.decision:
        yield "Decides", classes.decides(candidate.classes, candidate.decision)
    yield "Owner", sources.owner or "not named"
    if bounds := candidate.intervals:
        kind = "around two predicted quantiles" if bounds.method == "quantile" else "around the prediction"
        yield (
            "Bounds",
            f"for {bounds.coverage:g} of the values, {bounds.margin:+.4g} {kind}, calibrated on {counted(bounds.rows, 'row')}",
        )
    yield "Candidate", candidate.candidate
    yield "As of partition", evaluation.partition
    yield "Gates", appearance(evaluation.verdict)
    if decision:
        yield "Decision", appearance(decision.action)
        yield "Champion", _moved(decision)
    else:
        yield "Champion before", f"version {evaluation.champion.version}" if evaluation.champion else "none"
    if decision and decision.approval:
        yield (
            "Approved by people",
            "although the gates did not pass" if decision.approval.overridden else "yes",
        )


def _moved(decision: PromotionDecision) -> str:
    before, after = (
        f"version {version}" if version else "none" for version in (decision.before, decision.after)
    )
    return f"{before}, unchanged" if before == after else f"{before} before, {after} now"


def _approval(decision: PromotionDecision | None) -> Iterator[Row]:
    for answer in decision.approval.answers if decision and decision.approval else ():
        yield answer.person, "approved" if answer.approved else "rejected", answer.reason, moment(answer.at)


def _judged(evaluation: Evaluation) -> str:
    split = evaluation.candidate.split
    beside = ", beside the champion on the same rows" if evaluation.champion else ""
    labelled = next((check.n for check in evaluation.checks if check.name == "leakage.rows"), None)
    rows = counted(split.holdout_rows, "row")
    if labelled is not None:
        rows = f"{labelled:,} labelled ones of {split.holdout_rows:,}"
    return (
        f"Judged on rows of {moment(split.cut)} to {moment(split.end)} ({rows}), which it has not "
        f"learned from{beside}."
    )


def _metrics(evaluation: Evaluation) -> Iterator[Row]:
    for name, value in evaluation.metrics.items():
        row: Row = (name, number(value), interval(evaluation.intervals.get(name)))
        if evaluation.champion:
            theirs = evaluation.champion_metrics.get(name)
            row += (number(theirs), _difference(name, value, theirs))
        yield row


def _difference(name: str, ours: float | None, theirs: float | None) -> str:
    if ours is None or theirs is None:
        return ""
    difference = ours - theirs
    metric = find(name)
    if not difference:
        return "0"
    if metric is None:
        return f"{difference:+.4g}"
    return f"{difference:+.4g}, {'better' if (difference > 0) == metric.greater_is_better else 'worse'}"


def _leaderboard(evaluation: Evaluation) -> Iterator[Row]:
    if len(evaluation.leaderboard) > 1:
        sign = -1 if metric_of(evaluation.candidate.metric).greater_is_better else 1
        ranked = sorted(
            evaluation.leaderboard.items(), key=lambda scored: (scored[1] is None, sign * (scored[1] or 0))
        )
        for name, score in ranked:
            yield name, "not ranked" if score is None else number(score)


def _pictured(pictures: Sequence[str], *, insights: bool) -> Iterator[Row]:
    by_name = {path.rpartition("/")[2]: path for path in pictures}
    for name, words in _CAPTIONS.items():
        if name in by_name and (name in _INSIGHTS) == insights:
            yield by_name[name], words


def _gate(check: Check) -> Row:
    return (
        check.name, of_check(check), check.expected, *_measured(check), check.reason,
    )  # fmt: skip


def _measured(check: Check) -> Row:
    baseline = "" if check.baseline is None else number(check.baseline)
    return observed(check), baseline, interval(check.interval), "" if check.n is None else f"{check.n:,}"


def _slice(check: Check) -> Row:
    value, _, limits, rows = _measured(check)
    return check.slice, check.name, of_check(check), check.expected, value, limits, rows


def _data(evaluation: Evaluation) -> Iterator[Row]:
    candidate = evaluation.candidate
    dataset, split = candidate.dataset, candidate.split
    yield "Dataset", f"{dataset.name}, version {dataset.version}"
    span = f"{moment(split.start)} to {moment(split.cut)}: {counted(split.train_rows, 'row')}"
    if origin := candidate.origin:
        yield "Trained elsewhere", f"as {origin.model} {origin.version}, before {moment(origin.until)}"
    yield "Drift is measured against" if origin else "Learned from", span
    yield from [("Window", windows(candidate))] if candidate.window else []
    yield "Judged on", f"{moment(split.cut)} to {moment(split.end)}: {counted(split.holdout_rows, 'row')}"
    yield "Digest", f"{dataset.digest[:12]}… of partition {dataset.partition}"
    if (labels := dataset.labels) is not None:
        as_of = f", as known before {moment(labels.until)}" if labels.until else ""
        yield (
            "Labels",
            f"from a source of their own, version {labels.version}{as_of}; digest {str(labels.digest)[:12]}…",
        )
    yield "Prepared by", dataset.transform or "no function: used as published"


def _partitions(sources: Sources) -> Iterator[Row]:
    partitions = sources.provenance.get("partitions", {})
    for key, use in list(partitions.items())[-_PARTITIONS:]:
        verdict, reason, aside = sources.validations.get(key, (None, "not validated", None))
        rows, digest = f"{use['rows']:,}", f"{use['version']} ({use['digest'][:8]})"
        look = verdict and appearance(verdict)
        yield key, use["used for"], digest, rows, None if aside is None else f"{aside:,}", look, reason


def _lineage(sources: Sources) -> Iterator[Row]:
    candidate, run_facts = sources.evaluation.candidate, sources.provenance
    yield "MLflow run", candidate.run_id
    yield "Model digest", candidate.digest
    airflow = run_facts.get("airflow", {})
    if "airflow.run_id" in airflow:
        run = f"{airflow.get('airflow.dag_id', '')} {airflow['airflow.run_id']}".strip()
        yield "Airflow run", MarkdownLink(run, airflow.get("airflow.url", ""))
    yield "Data", f"{candidate.dataset.uri}, Delta version {candidate.dataset.version}"
    if (labels := candidate.dataset.labels) is not None:
        yield "Labels", f"{labels.uri}, Delta version {labels.version}"
    params = ", ".join(f"{name} = {value}" for name, value in candidate.params.items())
    yield (
        "Parameters",
        f"{params or 'defaults'}; the best of {candidate.trials}"
        if candidate.trials > 1
        else params or "defaults",
    )
    if run_facts:
        recipe, code, machine = run_facts["recipe"], run_facts["code"], run_facts["environment"]
        packages = run_facts["packages"]
        yield "Estimator", Candidate.from_dict(recipe["candidate"]).kind
        yield "Seed", recipe["seed"]
        yield "Code", f"commit {code['commit'] or 'unknown'}, airflow-mlops {code['airflow_mlops']}"
        yield (
            "Environment",
            f"{machine['python']} on {machine['platform']}, {machine['processors']} processors",
        )
        yield (
            "Packages",
            ", ".join(f"{name} {packages[name]}" for name in run_facts["named"] if name in packages),
        )
    if candidate.origin is None:
        yield "Again", f"airflow mlops reproduce {sources.evaluation.model} {candidate.version}"
