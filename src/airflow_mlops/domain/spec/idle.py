"""Keys that would judge nothing in a model as its spec describes it: each is refused, with what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.metrics import TOP, Metric, Task, find
from airflow_mlops.domain.spec.gates import Gates
from airflow_mlops.domain.spec.intervals import TOLERANCE
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.monitor import Monitor, PerformancePolicy
from airflow_mlops.domain.spec.retrain import RetrainWhen
from airflow_mlops.domain.spec.train import Train


def in_gates(
    gates: Gates, train: Train, task: Task, classes: Sequence[str | int]
) -> Iterator[tuple[Place, str]]:
    """Yield complaints about gates.

    :param classes: those that the spec names.
    """
    if gates.intervals not in (None, TOLERANCE):
        yield from _boundless(train, task, ("intervals",))
    versus = gates.versus_champion
    if versus and versus.test == "delong" and len(classes) > len(BINARY):
        why = f"delong compares two classes, and classes names {len(classes)}; use bootstrap"
        yield ("versus_champion", "test"), why
    if train.elsewhere and gates.fallback:
        why = "is trained here, and train.elsewhere says that nothing is; leave one of the two out"
        yield ("versus_champion", "rescue", "fallback"), why
    yield from always_right(gates.measured, classes)
    margins: dict[Place, float] = {}
    if versus:
        margins[("versus_champion", "margin")] = versus.margin
    if gates.stability:
        margins[("stability", "drop")] = gates.stability.drop
    if gates.shadow:
        margins[("shadow", "margin")] = gates.shadow.margin
    yield from _beyond(train.ranked_by(task), margins)
    for name, gap in gates.fairness.gaps.items() if gates.fairness else ():
        metric = train.metrics[name].named(name, task) if name in train.metrics else find(name)
        yield from _beyond(metric, {("fairness", "gaps", name): gap}, name)


def in_monitoring(
    monitor: Monitor, train: Train, task: Task, classes: Sequence[str | int]
) -> Iterator[tuple[Place, str]]:
    """Yield complaints about what is watched in production.

    :param classes: those that the spec names.
    """
    policy = monitor.performance
    if policy.intervals not in (None, TOLERANCE):
        yield from _boundless(train, task, ("performance", "intervals"))
    yield from always_right({("performance", "floor", name): name for name in policy.floor}, classes)
    margins: dict[Place, float] = {("performance", "baseline"): policy.baseline}
    if policy.drop is not None:
        margins[("performance", "drop")] = policy.drop
    if monitor.rollback:
        margins[("rollback", "margin")] = monitor.rollback.margin
    yield from _beyond(train.ranked_by(task), margins)


def in_rules(
    when: RetrainWhen, policy: PerformancePolicy, train: Train, task: Task
) -> Iterator[tuple[Place, str]]:
    """Yield complaints about rules of retraining that nothing can ever make true."""
    if when.intervals and (train.intervals is None or task is Task.CLASSIFICATION):
        yield from _boundless(train, task, ("when", "intervals"))
    elif when.intervals and policy.intervals is None:
        yield (
            ("when", "intervals"),
            "needs monitor.performance.intervals, which is null: write how far, or leave one out",
        )
    if when.concept and policy.concept is None:
        why = "needs monitor: {performance: {concept: 0.002}}, which looks for concept drift; or leave it out"
        yield ("when", "concept"), why


def chosen_elsewhere(train: Train, decision: object | None) -> Iterator[tuple[Place, str]]:
    """Yield a complaint about models of elsewhere whose probabilities a decision would cut, which is done while training."""
    if train.elsewhere and decision is not None:
        why = "names models that are trained elsewhere, and `decision` cuts the probabilities of those that are trained here"
        yield ("elsewhere",), f"{why}; keep one of the two"


def always_right(metrics: Mapping[Place, str], classes: Sequence[str | int]) -> Iterator[tuple[Place, str]]:
    """Yield a complaint about each metric that is 1 of every model, because it takes in all of the classes.

    :param metrics: names of metrics by their place.
    :param classes: those that the spec names; none if it names none.
    """
    for place, name in metrics.items():
        metric = find(name)
        if classes and metric and metric.family == TOP and metric.number >= len(classes):
            others = [TOP.named(str(number)) for number in range(2, len(classes))]
            instead = " or ".join(["accuracy", *others[:1]])
            yield place, f"{name} is 1 of every model, as classes names {len(classes)}; take {instead}"


def _boundless(train: Train, task: Task, place: Place) -> Iterator[tuple[Place, str]]:
    if task is Task.CLASSIFICATION:
        yield place, "judges bounds of predicted numbers, and a class has a probability; leave it out"
    elif train.intervals is None:
        yield (
            place,
            "judges the bounds of train.intervals, and there are none: write train: {intervals: {}}, or leave it out",
        )


def _beyond(
    metric: Metric | None, differences: Mapping[Place, float], name: str = ""
) -> Iterator[tuple[Place, str]]:
    """Yield a complaint about each difference that no two values of a metric have.

    :param metric: None for a rate, which is a share of rows.
    :param name: of what is compared, if it is not the metric.
    """
    low, high = (metric.low, metric.high) if metric else (0, 1)
    if not isfinite(high - low):
        return
    for place, difference in differences.items():
        if abs(difference) >= high - low:
            compared = name or (metric.name if metric else "")
            yield (
                place,
                f"cannot be {difference:g}: values of {compared}, {low:g} to {high:g}, are never that far apart",
            )
