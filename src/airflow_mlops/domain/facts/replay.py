"""Facts about a replay: each partition under each policy, and the summary of each policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from airflow_mlops.domain.checks import Fact, Interval, Number, Verdict
from airflow_mlops.domain.facts.results import Action, HealthReport, ModelRef, PromotionDecision
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.facts.tally import asks
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.partitions import Partition

_PASSED = (Action.PROMOTED, Action.CHALLENGING)
ORACLE = "oracle"
"""Name of the policy that picks the best model for each partition in hindsight."""


class Step(Fact):
    """What the loop would have done in one partition under one policy.

    :param served: the version that scored the partition; None while there was no champion.
    :param quality: metrics of its predictions, on all labels of the partition that are known today.
    :param restored: the rollback of a champion on probation; None if there was none.
    :param trial: the promotion or the drop that ended the trial of a challenger; None if none ended.
    :param champion: the version that serves from the next partition on.
    :param challenger: the version that predicts beside it from the next partition on, on trial; None if there is none.
    :param trained: versions that were trained.
    :param seconds: time that training and evaluation took, even if an earlier replay had already done them.
    """

    partition: str
    served: ModelRef | None
    quality: dict[str, Number] = Field(default_factory=dict)
    health: HealthReport
    retrain: RetrainDecision
    restored: PromotionDecision | None = None
    trial: PromotionDecision | None = None
    decision: PromotionDecision
    champion: ModelRef | None
    challenger: ModelRef | None = None
    trained: tuple[str, ...] = ()
    seconds: float = 0.0


class Served(Fact):
    """The best model for one partition, in hindsight.

    :param model: the partition as of which the model was trained, and its candidate; None while there was no model.
    """

    partition: str
    model: str | None
    quality: dict[str, Number] = Field(default_factory=dict)


class Summary(Fact):
    """The totals of one policy over all partitions of a replay.

    :param served: number of partitions that had a model; the figures on quality are about these.
    :param asked: number of partitions in which a rule asked to train.
    :param held: number of these in which something held that back.
    :param retrainings: number of partitions in which a model was trained.
    :param refused: number of trainings whose best candidate became neither champion nor challenger.
    :param dropped: number of challengers whose trial ended without a promotion.
    :param gates: how many of these each gate did not let pass.
    :param rollbacks: number of champions that were taken back.
    :param alarms: number of partitions whose health failed, by drift, performance or age.
    :param mean: mean of the metric over the partitions.
    :param worst: worst value of the metric in a partition.
    :param worst_partition: the partition with the worst value.
    :param degraded: number of partitions below the floor; None if the spec has no floor.
    :param degraded_days: total length of these partitions.
    :param seconds: time that training and evaluation took.
    """

    name: str
    served: int
    retrainings: int
    promotions: int
    refused: int
    rollbacks: int
    alarms: int
    drift_alarms: int
    performance_alarms: int
    mean: Number
    worst: Number
    worst_partition: str | None
    degraded: int | None
    degraded_days: float | None
    seconds: float
    asked: int = 0
    held: int = 0
    dropped: int = 0
    gates: dict[str, int] = Field(default_factory=dict, exclude_if=lambda gates: not gates)


class Rate(Fact):
    """How often a drift policy raised an alarm in partitions that people call quiet.

    :param threshold: distance from which one column counts as drifted.
    :param judged: number of partitions with a verdict of PASS or FAIL; INCONCLUSIVE does not count.
    :param alarms: number of judged partitions that failed.
    :param interval: Wilson's 95 % interval of the rate; None if no partition was judged.
    """

    policy: str
    threshold: float
    judged: int
    alarms: int
    interval: Interval


class Point(Fact):
    """One partition under one policy, in short.

    :param model: last partition in the training data of the model that served; None while there was no model.
    :param quality: metrics of its predictions, in hindsight.
    :param degraded: whether these metrics are below the floor.
    :param why: reason of the decision on retraining.
    :param reason: reason of the decision on promotion.
    :param trial: how the trial of a challenger ended there: by its promotion or by dropping it; None if none did.
    """

    partition: str
    model: str | None
    quality: dict[str, Number]
    degraded: bool
    drift: Verdict
    performance: Verdict
    health: Verdict
    retrain: bool
    why: str
    action: Action
    reason: str
    trial: Action | None = None

    @property
    def promoted(self) -> bool:
        """Whether a model became champion."""
        return Action.PROMOTED in (self.action, self.trial)


class Replay(Fact):
    """The outcome of a replay.

    :param floor: worst value that the spec allows of each metric; a partition below it counts as degraded.
    :param summaries: one summary a policy, and one of the oracle if the replay has one.
    :param points: the points of each policy, in the order of the partitions.
    :param oracle: the best model for each partition; empty if the oracle was left out.
    :param quiet: partitions that the rates are about.
    :param rates: false alarms of each drift policy in the quiet partitions.
    """

    model: str
    metric: str
    floor: dict[str, float]
    grain: str
    partitions: tuple[str, ...]
    summaries: tuple[Summary, ...]
    points: dict[str, tuple[Point, ...]]
    oracle: tuple[Served, ...] = ()
    quiet: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()


def point(step: Step, floor: Mapping[str, float]) -> Point:
    """Return a step in short.

    :param floor: worst value allowed of each metric.
    """
    return Point(
        partition=step.partition,
        model=step.served.trained_through if step.served else None,
        quality=step.quality,
        degraded=below(step.quality, floor),
        drift=step.health.drift.verdict,
        performance=step.health.performance.verdict,
        health=step.health.verdict,
        retrain=step.retrain.retrain,
        why=step.retrain.reason,
        action=step.decision.action,
        reason=step.decision.reason,
        trial=step.trial.action if step.trial else None,
    )


def summarise(
    name: str, steps: Sequence[Step], *, metric: str, floor: Mapping[str, float], grain: str
) -> Summary:
    """Return the summary of a policy.

    :param metric: the one that models are ranked by.
    :param floor: worst value allowed of each metric; the same for all policies, so that they can be compared.
    """
    health = [step.health for step in steps]
    decisions = [step.decision for step in steps if step.trained]
    trials = [step.trial.action for step in steps if step.trial is not None]
    refused = [decision for decision in decisions if decision.action not in _PASSED]
    gates = Counter(
        name
        for decision in refused
        for name in {check.name for check in decision.checks if check.verdict is not Verdict.PASS}
    )
    return Summary(
        name=name,
        asked=sum(asks(step.retrain.checks) for step in steps),
        held=sum(asks(step.retrain.checks) and not step.retrain.retrain for step in steps),
        retrainings=sum(bool(step.retrain.retrain) for step in steps),
        # One that was refused may be promoted when it is judged again.
        promotions=sum(step.decision.action is Action.PROMOTED for step in steps)
        + trials.count(Action.PROMOTED),
        refused=len(refused),
        dropped=trials.count(Action.DROPPED),
        gates=dict(sorted(gates.items(), key=lambda gate: (-gate[1], gate[0]))),
        rollbacks=sum(step.restored is not None for step in steps),
        alarms=sum(report.verdict is Verdict.FAIL for report in health),
        drift_alarms=sum(report.drift.verdict is Verdict.FAIL for report in health),
        performance_alarms=sum(report.performance.verdict is Verdict.FAIL for report in health),
        seconds=round(sum(step.seconds for step in steps), 1),
        **_qualities([(step.partition, step.quality) for step in steps], metric, floor, grain),
    )


def summarise_oracle(
    served: Sequence[Served], *, metric: str, floor: Mapping[str, float], grain: str
) -> Summary:
    """Return the summary of the oracle.

    As the oracle trains and promotes nothing itself, each model that it uses counts as a retraining, and each change from
    one model to another as a promotion.
    """
    used = [choice.model for choice in served if choice.model is not None]
    changes = sum(model != before for model, before in zip(used, [None, *used], strict=False))
    return Summary(
        name=ORACLE,
        retrainings=len(set(used)),
        promotions=changes,
        refused=0,
        rollbacks=0,
        alarms=0,
        drift_alarms=0,
        performance_alarms=0,
        seconds=0.0,
        **_qualities([(choice.partition, choice.quality) for choice in served], metric, floor, grain),
    )


def best(qualities: Iterable[tuple[str, Mapping[str, float | None]]], metric: str) -> str | None:
    """Return the model with the best value of a metric: the first of equals, and None if no model has a value.

    :param qualities: each model with its metrics.
    """
    sign = 1 if metric_of(metric).greater_is_better else -1
    measured = [(model, value) for model, quality in qualities if (value := quality.get(metric)) is not None]
    return max(measured, key=lambda pair: sign * pair[1])[0] if measured else None


def below(quality: Mapping[str, float | None], floor: Mapping[str, float]) -> bool:
    """Tell whether any metric is worse than its floor; an undefined metric is not."""
    for name, bound in floor.items():
        value = quality.get(name)
        if value is not None and (value < bound if metric_of(name).greater_is_better else value > bound):
            return True
    return False


def _qualities(
    qualities: Sequence[tuple[str, Mapping[str, float | None]]],
    metric: str,
    floor: Mapping[str, float],
    grain: str,
) -> dict[str, Any]:
    measured = [
        (value, partition) for partition, quality in qualities if (value := quality.get(metric)) is not None
    ]
    extreme = min if metric_of(metric).greater_is_better else max
    worst, where = extreme(measured, default=(None, None))
    degraded = [
        Partition.parse(partition, grain) for partition, quality in qualities if below(quality, floor)
    ]
    days = sum((partition.end - partition.start).total_seconds() for partition in degraded) / 86_400
    return {
        "served": sum(bool(quality) for _, quality in qualities),
        "mean": sum(value for value, _ in measured) / len(measured) if measured else None,
        "worst": worst,
        "worst_partition": where,
        "degraded": len(degraded) if floor else None,
        "degraded_days": round(days, 2) if floor else None,
    }
