"""Tune: replay a grid of policies, choose one on the first part of the history, and measure it on the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.replay import Step, summarise
from airflow_mlops.domain.facts.tuning import Figures, GainOver, Tried, Tuning
from airflow_mlops.domain.metrics import PROPER
from airflow_mlops.domain.spec import grid as grids
from airflow_mlops.domain.spec.grid import Grid, GridPolicy
from airflow_mlops.domain.spec.replay import BUILT_IN, CURRENT, EVERY, Policy, built_in
from airflow_mlops.learning.models import own_metrics
from airflow_mlops.stages.replay import compare, workers
from airflow_mlops.stages.replay.cache import save
from airflow_mlops.stages.tune import choice, policy_file

if TYPE_CHECKING:
    from airflow_mlops.stages.replay.planning import ReplayPlan
    from airflow_mlops.stages.replay.workers import Pool

_FIRST = 0.6
TUNING, POLICY = "tune-policy.json", "policy.yaml"
"""Files that are written below the output folder."""


def until(plan: ReplayPlan, partition: str | None) -> int:
    """Return how many partitions a policy is chosen by.

    :param partition: the last of them; None for the first 60 %.
    :raises ValueError: if it is none of the plan's, or leaves none to judge on.
    """
    names = [dataset.partition for dataset in plan.datasets]
    if len(names) < 2:
        raise ValueError(f"{names[0]} is the only partition: one part is chosen by, and another judged on")
    if partition is None:
        return min(max(math.ceil(_FIRST * len(names)), 1), len(names) - 1)
    if partition not in names[:-1]:
        raise ValueError(
            f"--choose-until {partition}: name a partition from {names[0]} to {names[-2]}; what comes after it is judged on"
        )
    return names.index(partition) + 1


def run(
    plan: ReplayPlan,
    grid: Grid,
    output: Path,
    *,
    partition: str | None = None,
    jobs: int = 1,
    folders: Sequence[Path] = (),
    begin: compare.Begin = compare.silent,
) -> Tuning:
    """Choose a policy, and write it as ``policy.yaml`` and the whole choice as ``tune-policy.json`` to a folder.

    :param partition: the last one that is chosen by; None for the first 60 % of them.
    :param jobs: number of processes.
    :param folders: where they import candidates and transforms from, besides what is installed.
    :param begin: called when a kind of work begins, to show its progress.
    :raises ValueError: as :func:`until` does.
    :raises SpecError: if values of the grid do not fit each other.
    :raises NotEnoughData: if too few of the partitions to choose by have a model.
    """
    count = until(plan, partition)
    contenders = _contenders(plan, grid)
    with workers.pool(jobs, [str(folder) for folder in folders]) as pool:
        tuning = tune(pool, plan, contenders, count, begin)
    policies = {contender.policy.name: contender.policy for contender in contenders}
    output.mkdir(parents=True, exist_ok=True)
    save(output / TUNING, tuning.to_dict())
    text = policy_file.text(tuning, plan.spec, policies[tuning.chosen], grids.sections(grid))
    (output / POLICY).write_text(text, encoding="utf-8")
    return tuning


def _contenders(plan: ReplayPlan, grid: Grid) -> list[GridPolicy]:
    """Return the spec's own policy, and those of the grid that differ from it."""
    own = GridPolicy({}, built_in(CURRENT, plan.spec))
    return [own, *(policy for policy in grids.policies(grid, plan.spec) if policy.policy.name != CURRENT)]


@own_metrics.scoped(lambda pool, plan, *_: Question.of(plan.spec))
def tune(
    pool: Pool, plan: ReplayPlan, contenders: Sequence[GridPolicy], count: int, begin: compare.Begin
) -> Tuning:
    """Choose among policies by the first partitions, and compare the chosen one with the replay's own on the rest.

    Only the chosen policy and those of the replay go through the rest, so that nothing there has a say in the choice.

    :param count: how many partitions are chosen by.
    """
    spec, names = plan.spec, [dataset.partition for dataset in plan.datasets]
    metric, proper = spec.metric.name, PROPER[spec.task]
    first = replace(plan, datasets=plan.datasets[:count], labels=plan.labels[:count])
    policies = [contender.policy for contender in contenders]
    tried = compare.run(pool, first, policies, begin("Choosing a policy", len(policies) * count))
    figures = {name: _figures(plan, name, steps) for name, steps in tried.items()}
    distances = choice.distances(tried, metric)
    trainings = {name: of_policy.summary.retrainings for name, of_policy in figures.items()}
    chosen = choice.chosen(distances, trainings)
    judged = _judged(plan, next(policy for policy in policies if policy.name == chosen))
    if any(policy.name == EVERY for policy in judged):
        compare.train(pool, plan, begin("Training as of each partition", len(names)))
    whole = compare.run(pool, plan, judged, begin("Replaying what is compared", len(judged) * len(names)))
    rest = {name: steps[count:] for name, steps in whole.items()}
    return Tuning(
        model=spec.name,
        metric=metric,
        proper=proper,
        first=tuple(names[:count]),
        rest=tuple(names[count:]),
        tried=tuple(
            Tried(
                name=contender.policy.name,
                changes=dict(contender.changes),
                figures=figures[contender.policy.name],
                **distances[contender.policy.name]._asdict(),
                close=distances[contender.policy.name].close,
            )
            for contender in contenders
        ),
        best=choice.best(distances),
        chosen=chosen,
        figures={name: _figures(plan, name, steps) for name, steps in rest.items()},
        beside=tuple(_beside(rest, chosen, tuple(dict.fromkeys((metric, proper))))),
    )


def _judged(plan: ReplayPlan, chosen: Policy) -> list[Policy]:
    others = [built_in(name, plan.spec) for name in BUILT_IN if name != chosen.name]
    return [chosen, *others]


def _figures(plan: ReplayPlan, name: str, steps: Sequence[Step]) -> Figures:
    spec = plan.spec
    metric, floor, proper = spec.metric.name, spec.monitor.performance.floor, PROPER[spec.task]
    values = [value for step in steps if (value := step.quality.get(proper)) is not None]
    return Figures(
        summary=summarise(name, steps, metric=metric, floor=floor, grain=spec.grain),
        proper=sum(values) / len(values) if values else None,
    )


def _beside(rest: Mapping[str, Sequence[Step]], chosen: str, scores: Sequence[str]) -> list[GainOver]:
    gains = [
        (name, score, choice.gain(rest[chosen], steps, score))
        for name, steps in rest.items()
        if name != chosen
        for score in scores
    ]
    return [
        GainOver(policy=name, score=score, gain=gain.value, interval=gain.interval, n=gain.n)
        for name, score, gain in gains
    ]
