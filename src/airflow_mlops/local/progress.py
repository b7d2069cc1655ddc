"""The progress of partitions through their DAGs, and what was decided at each, for a terminal or a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import chain

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from airflow_mlops.domain.facts.results import HealthReport, PromotionDecision
from airflow_mlops.domain.facts.validation import ValidationReport
from airflow_mlops.local.catch_up import STAGES, CatchUp, StageRun, partition_ended
from airflow_mlops.local.decisions import DecisionTable, PartitionStory
from airflow_mlops.reporting.verdicts import appearance

_LINES = 15
States = Mapping[str, Mapping[str, StageRun]]


def follow(catch_up: CatchUp, console: Console, interval: float = 1) -> None:
    """Show how the partitions go on, until each has been decided or has failed."""
    if not console.is_terminal:
        _tell(catch_up, console, interval)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while True:
            states = catch_up.states()
            live.update(_progress(catch_up.model, states))
            if _over(catch_up, states):
                return
            catch_up.airflow.check_alive()
            time.sleep(interval)


def _tell(catch_up: CatchUp, console: Console, interval: float) -> None:
    """Print a line whenever a run has changed its state."""
    before: dict[tuple[str, str], str] = {}
    while True:
        states = catch_up.states()
        for partition, stages in states.items():
            for stage in STAGES:
                run = stages.get(stage)
                if run is not None and before.get((partition, run.run_id)) != run.state:
                    before[partition, run.run_id] = run.state
                    seconds = f" {run.seconds:.0f} s" if run.seconds is not None else ""
                    console.print(Text(f"{partition} {stage} {run.state}{seconds}"), soft_wrap=True)
        if _over(catch_up, states):
            return
        catch_up.airflow.check_alive()
        time.sleep(interval)


def _over(catch_up: CatchUp, states: States) -> bool:
    ended = all(partition_ended(stages) for stages in states.values())
    return ended and not catch_up.start_records()


def _progress(model: str, states: States) -> Table:
    ended = [partition for partition, stages in states.items() if partition_ended(stages)]
    table = Table(
        title=f"{model}: {len(ended)} of {len(states)} partitions are through", title_justify="left"
    )
    table.add_column("partition")
    for stage in STAGES:
        table.add_column(stage, min_width=12)
    # Of many, those that are under way and those before them.
    begun = [partition for partition, stages in states.items() if len(stages) > 1]
    shown = states if len(states) <= _LINES else begun[-_LINES:]
    for partition in shown:
        table.add_row(partition, *(_cell(states[partition].get(stage)) for stage in STAGES))
    return table


def _cell(run: StageRun | None) -> str | Spinner:
    if run is None:
        return "[dim]·[/dim]"
    seconds = f" {run.seconds:.0f} s" if run.seconds is not None else ""
    if run.state == "running":
        return Spinner("dots", text=f"running{seconds}")
    if run.state not in ("success", "failed"):
        return run.state
    look = appearance(run.state)
    return f"[{look.terminal}]{look.sign if run.state == 'success' else look}[/]{seconds}"


def summarize(catch_up: CatchUp, console: Console) -> bool:
    """Print what was decided at each partition and what failed, and tell whether all went well."""
    states = catch_up.states()
    stories = [_story(catch_up, key, stages) for key, stages in states.items()]
    console.print(DecisionTable(catch_up.model, _metric(catch_up, states, stories), stories))
    failures, failed = catch_up.failures(), appearance("failed")
    for run in failures:
        for line in catch_up.errors(run):
            # A terminal has lines that end between words; in a file or a pipe one error is one line.
            text = Text(f"{failed.sign} {line}", style=failed.terminal)
            console.print(text, soft_wrap=not console.is_terminal)
    return not failures


def _story(catch_up: CatchUp, partition: str, stages: Mapping[str, StageRun]) -> PartitionStory:
    dataset = catch_up.fact(stages, "ingest", "publish")
    validation = catch_up.fact(stages, "ingest", "validate", "validation", failed=True)
    health = catch_up.fact(stages, "monitor", "verdict")
    decision = catch_up.fact(stages, "train", "record")
    return PartitionStory(
        partition,
        dataset["rows"] if dataset else None,
        ValidationReport.from_dict(validation) if validation else None,
        HealthReport.from_dict(health) if health else None,
        PromotionDecision.from_dict(decision) if decision else None,
    )


def _metric(catch_up: CatchUp, states: States, stories: Iterable[PartitionStory]) -> str:
    """Return the metric by which candidates are ranked, from the first training, or else from what was judged.

    No training is there where partitions were decided before, as by ``run``.
    """
    evaluations = (catch_up.fact(stages, "train", "evaluate") for stages in states.values())
    ranked = (evaluation["candidate"]["metric"] for evaluation in evaluations if evaluation)
    return next(chain(ranked, filter(None, map(_judged_by, stories))), "metric")


def _judged_by(story: PartitionStory) -> str | None:
    """Return the metric of which the check on quality has the value; None if nothing was measured."""
    if story.health is None or (value := story.health.performance.observed) is None:
        return None
    return next((name for name, measured in story.health.metrics.items() if measured == value), None)
