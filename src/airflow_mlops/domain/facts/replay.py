"""What a replay found: each partition under each policy, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from airflow_mlops.domain.checks import Fact, Number, Verdict
from airflow_mlops.domain.facts.results import (
    Action,
    HealthReport,
    ModelRef,
    PromotionDecision,
    RetrainDecision,
)
from airflow_mlops.domain.metrics import METRICS
from airflow_mlops.domain.partitions import Partition

ORACLE = "oracle"


class Step(Fact):
    """One partition under one policy, as the loop would have gone through it.

    :param served: the version that scored the partition; None while there was none.
    :param quality: metrics of what it served, on all labels of the partition that are known today.
    :param restored: the rollback of a champion on probation; None if there was none.
    :param champion: the version that serves from the next partition on.
    :param trained: versions that were trained.
    :param seconds: what training and evaluation took, also if this replay found them done.
    """

    partition: str
    served: ModelRef | None
    quality: dict[str, Number] = Field(default_factory=dict)
    health: HealthReport
    retrain: RetrainDecision
    restored: PromotionDecision | None = None
    decision: PromotionDecision
    champion: ModelRef | None
    trained: tuple[str, ...] = ()
    seconds: float = 0.0


class Served(Fact):
    """The best model for one partition, in hindsight.

    :param model: the partition as of which it was trained, and its candidate; None while there was none.
    """

    partition: str
    model: str | None
    quality: dict[str, Number] = Field(default_factory=dict)


class Summary(Fact):
    """What a policy comes to.

    :param served: partitions that had a model; the figures on quality are about these.
    :param retrainings: partitions in which was trained.
    :param refused: trainings whose best candidate did not become champion.
    :param rollbacks: champions that were taken back.
    :param alarms: partitions whose health failed, by drift, performance or age.
    :param mean: of the metric over the partitions.
    :param worst: worst value of it.
    :param worst_partition: where that was.
    :param degraded: partitions below the floor; None if the spec has none.
    :param degraded_days: how long these were.
    :param seconds: of training and evaluation.
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


class Rate(Fact):
    """How often a drift policy cried in partitions that people call quiet.

    :param threshold: distance from which one column has drifted.
    :param judged: partitions with a verdict; those that are INCONCLUSIVE do not count.
    :param alarms: of those, how many failed.
    :param interval: Wilson's 95 % interval of the rate; None if nothing was judged.
    """

    policy: str
    threshold: float
    judged: int
    alarms: int
    interval: tuple[float, float] | None


class Point(Fact):
    """One partition under one policy, in short.

    :param model: partition up to which the model that served had learned; None while there was none.
    :param quality: what it came to, in hindsight; the partition is degraded if that is below the floor.
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


class Replay(Fact):
    """What a replay found.

    :param floor: worst value allowed of each metric, by the spec; below it a partition counts as degraded.
    :param summaries: of each policy, and of the oracle if it was asked.
    :param points: of each policy, by partition.
    :param oracle: the best model for each partition; empty if it was not asked.
    :param quiet: partitions that the rates are about.
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
    """Shorten a step."""
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
    )


def summarise(
    name: str, steps: Sequence[Step], *, metric: str, floor: Mapping[str, float], grain: str
) -> Summary:
    """Sum a policy up.

    :param metric: the one that models are ranked by.
    :param floor: worst value allowed of each metric; the same for all policies, so that they can be compared.
    """
    health = [step.health for step in steps]
    actions = [step.decision.action for step in steps if step.trained]
    return Summary(
        name=name,
        retrainings=sum(bool(step.retrain.retrain) for step in steps),
        promotions=actions.count(Action.PROMOTED),
        refused=sum(action is not Action.PROMOTED for action in actions),
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
    """Sum the oracle up: a retraining is a model that it uses, a promotion a change of the model."""
    used = [each.model for each in served if each.model is not None]
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
        **_qualities([(each.partition, each.quality) for each in served], metric, floor, grain),
    )


def best(found: Iterable[tuple[str, Mapping[str, float | None]]], metric: str) -> str | None:
    """Return the model with the best value; the earlier of two that are equal, and None if none has a value."""
    sign = 1 if METRICS[metric].greater_is_better else -1
    measured = [(model, value) for model, values in found if (value := values.get(metric)) is not None]
    return max(measured, key=lambda each: sign * each[1])[0] if measured else None


def below(quality: Mapping[str, float | None], floor: Mapping[str, float]) -> bool:
    """Tell whether any metric is worse than its floor; one that is undefined is not."""
    for name, bound in floor.items():
        value = quality.get(name)
        if value is not None and (value < bound if METRICS[name].greater_is_better else value > bound):
            return True
    return False


def _qualities(
    found: Sequence[tuple[str, Mapping[str, float | None]]],
    metric: str,
    floor: Mapping[str, float],
    grain: str,
) -> dict[str, Any]:
    known = [(value, partition) for partition, quality in found if (value := quality.get(metric)) is not None]
    extreme = min if METRICS[metric].greater_is_better else max
    worst, where = extreme(known, default=(None, None))
    degraded = [Partition.parse(partition, grain) for partition, quality in found if below(quality, floor)]
    days = sum((each.end - each.start).total_seconds() for each in degraded) / 86_400
    return {
        "served": sum(bool(quality) for _, quality in found),
        "mean": sum(value for value, _ in known) / len(known) if known else None,
        "worst": worst,
        "worst_partition": where,
        "degraded": len(degraded) if floor else None,
        "degraded_days": round(days, 2) if floor else None,
    }
