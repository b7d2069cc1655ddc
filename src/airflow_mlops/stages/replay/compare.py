"""Policies beside each other, and beside the best that there was in hindsight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from typing import NamedTuple

from airflow_mlops.domain.facts.replay import Replay, Served, Step, best, point, summarise, summarise_oracle
from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.domain.spec.replay import EVERY, Policy
from airflow_mlops.exceptions import SchemaMismatch, TransformFailed
from airflow_mlops.stages.replay import calibrate, replay, stages
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.replay.workers import Pool, Tell, every
from airflow_mlops.stores.registry import registry

Steps = Callable[[str, int], Tell]
"""Called with the name and the number of tasks of what begins; returns what is called whenever one has ended."""


class Trained(NamedTuple):
    """A model of a replay.

    :param place: of the partition as of which it was trained.
    """

    place: int
    candidate: str
    version: ModelRef


def compare(
    pool: Pool,
    plan: ReplayPlan,
    policies: Sequence[Policy],
    *,
    oracle: bool = True,
    quiet: Sequence[str] = (),
    begin: Steps = lambda what, count: lambda: None,
) -> Replay:
    """Replay policies, and sum up what each comes to.

    All are measured by the metric and the floor of the plan's spec, whatever their own.

    :param oracle: whether to train as of each partition, for the best that there was in hindsight.
    :param quiet: partitions in which nothing was wrong, to count false alarms of drift in; none for no count.
    :param begin: told of what begins.
    """
    spec, names = plan.spec, tuple(each.partition for each in plan.datasets)
    metric, floor, grain = spec.metric.name, spec.monitor.performance.floor, spec.partition.value
    # Where every partition is trained in, as many are at a time as there are processes.
    wanted = oracle or any(policy.name == EVERY for policy in policies)
    trained = train(pool, plan, begin("Training as of each partition", len(names))) if wanted else []
    steps = run(pool, plan, policies, begin("Replaying policies", len(policies) * len(names)))
    served = best_of(pool, plan, trained, begin("Asking the oracle", len(trained))) if oracle else []
    cases = calibrate.cases(policies, steps, quiet)
    rates = calibrate.rates(pool, plan, cases, begin("Calibrating drift", len(cases))) if cases else []
    summaries = [
        summarise(name, each, metric=metric, floor=floor, grain=grain) for name, each in steps.items()
    ]
    if served:
        summaries.append(summarise_oracle(served, metric=metric, floor=floor, grain=grain))
    return Replay(
        model=spec.name,
        metric=metric,
        floor=floor,
        grain=grain,
        partitions=names,
        summaries=tuple(summaries),
        points={name: tuple(point(step, floor) for step in each) for name, each in steps.items()},
        oracle=tuple(served),
        quiet=tuple(quiet),
        rates=tuple(rates),
    )


def train(pool: Pool, plan: ReplayPlan, tell: Tell) -> list[Trained]:
    """Train every candidate as of every partition that has enough rows, and return them in order of partitions."""
    found = every(pool, _train, [(plan, place) for place in range(len(plan.datasets))], tell)
    return [each for some in found for each in some]


def _train(plan: ReplayPlan, place: int) -> list[Trained]:
    try:
        found = stages.trained(plan, place)
    except stages.REFUSALS:
        return []
    client, model = plan.client(), plan.spec.name
    return [Trained(place, each.candidate, registry.version(client, model, each.version)) for each in found]


def run(pool: Pool, plan: ReplayPlan, policies: Sequence[Policy], tell: Tell) -> dict[str, list[Step]]:
    """Run each policy through the partitions one after the other, and the policies beside each other."""
    found: dict[str, list[Step]] = {policy.name: [] for policy in policies}
    waiting = {pool.submit(replay.step, plan, policy, 0): policy for policy in policies}
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            policy = waiting.pop(future)
            steps = found[policy.name]
            steps.append(future.result())
            tell()
            if len(steps) < len(plan.datasets):
                waiting[pool.submit(replay.step, plan, policy, len(steps))] = policy
    return found


def best_of(pool: Pool, plan: ReplayPlan, trained: Sequence[Trained], tell: Tell) -> list[Served]:
    """Return, for each partition, the best of all models that had been trained as of an earlier one.

    This is the sequence that dynamic regret compares with (Zinkevich, *Online Convex Programming and Generalized
    Infinitesimal Gradient Ascent*, 2003): it may change the model in every partition, by labels that nobody had then.
    No policy that chooses among these models can do better in any partition.
    """
    measured = every(pool, _qualities, [(plan, each) for each in trained], tell)
    served = []
    for place, dataset in enumerate(plan.datasets):
        known = {
            f"{plan.datasets[each.place].partition} {each.candidate}": qualities[place - each.place - 1]
            for each, qualities in zip(trained, measured, strict=True)
            if each.place < place
        }
        model = best(known.items(), plan.spec.metric.name)
        quality = known[model] if model is not None else {}
        served.append(Served(partition=dataset.partition, model=model, quality=quality))
    return served


def _qualities(plan: ReplayPlan, trained: Trained) -> list[dict[str, float | None]]:
    found: list[dict[str, float | None]] = []
    for place in range(trained.place + 1, len(plan.datasets)):
        try:
            found.append(stages.quality(plan, place, trained.version))
        except (SchemaMismatch, TransformFailed):  # it cannot predict these rows
            found.append({})
    return found
