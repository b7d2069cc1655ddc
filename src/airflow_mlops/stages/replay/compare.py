"""Compare policies with each other, and with the best that was possible in hindsight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from typing import NamedTuple

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.replay import Replay, Served, Step, best, point, summarise, summarise_oracle
from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.domain.spec.replay import EVERY, Policy
from airflow_mlops.exceptions import SchemaMismatch, TransformFailed
from airflow_mlops.learning.models import own_metrics
from airflow_mlops.stages.replay import calibrate, replay, stages
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.replay.workers import Pool, Tell, every
from airflow_mlops.stores.registry import registry

Begin = Callable[[str, int], Tell]
"""Called with the name and the number of tasks of a kind of work that begins; returns a function to call after each."""


def silent(what: str, count: int) -> Tell:
    """Begin a kind of work without showing its progress."""
    return lambda: None


class Trained(NamedTuple):
    """A model of a replay.

    :param place: the place of the partition as of which it was trained.
    """

    place: int
    candidate: str
    version: ModelRef


@own_metrics.scoped(lambda pool, plan, *_, **__: Question.of(plan.spec))
def compare(
    pool: Pool,
    plan: ReplayPlan,
    policies: Sequence[Policy],
    *,
    oracle: bool = True,
    quiet: Sequence[str] = (),
    begin: Begin = silent,
) -> Replay:
    """Replay policies, and sum up how each of them did.

    All are measured by the metric and the floor of the plan's spec, even if they have others of their own.

    :param oracle: whether to train as of each partition, for the best that was possible in hindsight.
    :param quiet: partitions in which nothing was wrong, to count false alarms of drift in; none for no count.
    :param begin: called when a kind of work begins.
    """
    spec, names = plan.spec, tuple(dataset.partition for dataset in plan.datasets)
    metric, floor, grain = spec.metric.name, spec.monitor.performance.floor, spec.grain
    # If every partition is trained in, that is done first, as many at a time as there are processes.
    train_all = oracle or any(policy.name == EVERY for policy in policies)
    trained = train(pool, plan, begin("Training as of each partition", len(names))) if train_all else []
    steps = run(pool, plan, policies, begin("Replaying policies", len(policies) * len(names)))
    served = best_of(pool, plan, trained, begin("Asking the oracle", len(trained))) if oracle else []
    cases = calibrate.cases(policies, steps, quiet)
    rates = calibrate.rates(pool, plan, cases, begin("Calibrating drift", len(cases))) if cases else []
    summaries = [
        summarise(name, policy_steps, metric=metric, floor=floor, grain=grain)
        for name, policy_steps in steps.items()
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
        points={
            name: tuple(point(step, floor) for step in policy_steps) for name, policy_steps in steps.items()
        },
        oracle=tuple(served),
        quiet=tuple(quiet),
        rates=tuple(rates),
    )


def train(pool: Pool, plan: ReplayPlan, tell: Tell) -> list[Trained]:
    """Train every candidate as of every partition that has enough rows, and return them in order of partitions."""
    groups = every(pool, _train, [(plan, place) for place in range(len(plan.datasets))], tell)
    return [model for group in groups for model in group]


def _train(plan: ReplayPlan, place: int) -> list[Trained]:
    try:
        candidates = stages.trained(plan, place)
    except stages.REFUSALS:
        return []
    client, model = plan.client(), plan.spec.name
    return [
        Trained(
            place, candidate.candidate, registry.version(client, model, candidate.version, candidate.digest)
        )
        for candidate in candidates
    ]


def run(pool: Pool, plan: ReplayPlan, policies: Sequence[Policy], tell: Tell) -> dict[str, list[Step]]:
    """Run each policy through the partitions one after the other, and the policies beside each other."""
    steps: dict[str, list[Step]] = {policy.name: [] for policy in policies}
    waiting = {pool.submit(replay.step, plan, policy, 0): policy for policy in policies}
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            policy = waiting.pop(future)
            policy_steps = steps[policy.name]
            policy_steps.append(future.result())
            tell()
            if len(policy_steps) < len(plan.datasets):
                waiting[pool.submit(replay.step, plan, policy, len(policy_steps))] = policy
    return steps


def best_of(pool: Pool, plan: ReplayPlan, trained: Sequence[Trained], tell: Tell) -> list[Served]:
    """Return, for each partition, the best of all models that had been trained as of an earlier one.

    This is the sequence that dynamic regret compares with (Zinkevich, *Online Convex Programming and Generalized
    Infinitesimal Gradient Ascent*, 2003): the model may change in every partition, by labels that nobody had then.
    No policy that chooses among these models can do better in any partition.
    """
    measured = every(pool, _qualities, [(plan, candidate) for candidate in trained], tell)
    served = []
    for place, dataset in enumerate(plan.datasets):
        available = {}
        for candidate, qualities in zip(trained, measured, strict=True):
            if candidate.place < place:
                name = f"{plan.datasets[candidate.place].partition} {candidate.candidate}"
                available[name] = qualities[place - candidate.place - 1]
        model = best(available.items(), plan.spec.metric.name)
        quality = available[model] if model is not None else {}
        served.append(Served(partition=dataset.partition, model=model, quality=quality))
    return served


def _qualities(plan: ReplayPlan, trained: Trained) -> list[dict[str, float | None]]:
    qualities: list[dict[str, float | None]] = []
    for place in range(trained.place + 1, len(plan.datasets)):
        try:
            qualities.append(stages.quality(plan, place, trained.version))
        except (SchemaMismatch, TransformFailed):  # it cannot predict these rows
            qualities.append({})
    return qualities
