"""Run the loop over partitions, one after the other, without Airflow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from airflow_mlops.domain.facts.loop import LoopStep
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import RETRYABLE, SourceChanging, SourceMissing
from airflow_mlops.stages.loop import data, serving, training
from airflow_mlops.stages.loop.plan import DataPlan, LoopPlan, WatchPlan
from airflow_mlops.stages.monitor import health
from airflow_mlops.stages.preview import memory
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables

log = logging.getLogger(__name__)

STAGES = ("ingest", "validate", "score", "monitor", "train")
"""The stages of a partition, in order."""

Begin = Callable[[Partition, str], None]
"""A function that is told of each stage when it begins."""


def stages_of(plan: DataPlan) -> tuple[str, ...]:
    """Return the stages of :data:`STAGES` that a plan goes through."""
    if isinstance(plan, WatchPlan):
        return (*STAGES[:2], "monitor")
    return STAGES if isinstance(plan, LoopPlan) else STAGES[:2]


def undecided(plan: DataPlan, partitions: Iterable[Partition]) -> tuple[list[Partition], list[Partition]]:
    """Return the partitions that are still to be decided, and those that no longer can be, in order.

    A partition before the last one that was decided cannot: its champion would have learned from less than the present one.
    Without a model of ours there is nothing to decide: a partition is published, or another system's predictions are judged, at
    any time.
    """
    if isinstance(plan, WatchPlan):
        judged = {report.partition for report in health.history(plan.uri("monitoring"))}
        return [partition for partition in sorted(partitions) if partition.key not in judged], []
    if not isinstance(plan, LoopPlan):
        data = plan.uri("data")
        return [
            partition for partition in sorted(partitions) if not tables.published(data, partition.key)
        ], []
    decisions = {decision.partition: decision for decision in ledger.decisions(plan.uri("ledger"))}
    latest = max(decisions, default="")
    open_ones = [
        partition
        for partition in sorted(partitions)
        if partition.key not in decisions or decisions[partition.key].action is Action.FAILED
    ]
    return (
        [partition for partition in open_ones if partition.key >= latest],
        [partition for partition in open_ones if partition.key < latest],
    )


def run(plan: DataPlan, partitions: Iterable[Partition], begin: Begin | None = None) -> Iterator[LoopStep]:
    """Take each partition through the loop, and yield what became of it; stop where a person has to decide.

    A partition whose data is wrong is left out, as Airflow's failed runs leave it out, and the loop goes on.

    :param partitions: in order, none of them before one that was decided.
    :raises Exception: one of :data:`airflow_mlops.exceptions.RETRYABLE` if a store or MLflow does not answer; running the
        loop again goes on from there.
    """
    for partition in partitions:
        step = step_of(plan, partition, begin)
        yield step
        if step.waiting:
            return


def step_of(plan: DataPlan, partition: Partition, begin: Begin | None = None) -> LoopStep:
    """Take one partition through the loop."""
    steps = [LoopStep(partition=partition.key)]
    end = {}
    try:
        for step in _steps(plan, partition, begin or _silent):
            steps.append(step)
    except training.PersonNeeded as question:
        end = {"waiting": str(question)}
    except (SourceMissing, SourceChanging) as error:
        end = {"problem": str(error)}
    except RETRYABLE:
        raise
    except (ValueError, LookupError, RuntimeError) as error:
        about = f"{plan.spec.name} {partition}: "
        end = {"problem": str(error).removeprefix(about)}
        log.warning("%s%s", about, end["problem"])
    return steps[-1].model_copy(update=end)


def _steps(plan: DataPlan, partition: Partition, begin: Begin) -> Iterator[LoopStep]:
    """Go through the stages, and yield what is known after each."""
    begin(partition, "ingest")
    staged = data.staged(plan, partition)
    begin(partition, "validate")
    checked = data.checked(plan, staged)
    step = LoopStep(partition=partition.key, validation=checked.outcome.report)
    yield step
    dataset = data.published(plan, checked)
    step = step.model_copy(update={"dataset": dataset})
    yield step
    if isinstance(plan, WatchPlan):
        begin(partition, "monitor")
        yield step.model_copy(update={"health": serving.watched(plan, dataset)})
    if not isinstance(plan, LoopPlan):
        memory.remember(plan.uri(memory.TABLE), plan.spec, partition.key, plan.folder)
        return
    begin(partition, "score")
    step = step.model_copy(update={"scoring": serving.scored(plan, dataset)})
    yield step
    begin(partition, "monitor")
    step = step.model_copy(update={"health": serving.monitored(plan, dataset)})
    yield step
    begin(partition, "train")
    decision = training.decided(plan, dataset)
    problem = decision.reason if decision.action is Action.FAILED else ""
    yield step.model_copy(update={"decision": decision, "problem": problem})


def _silent(partition: Partition, stage: str) -> None:
    """Tell nobody."""
