"""Which stage of which partition is at work: a bar in a terminal, lines in a file or a pipe."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.stages.loop.loop import Begin

PATIENCE = 5.0
"""Seconds after which a file or a pipe has a line for a stage that is still at work."""


@contextmanager
def progress(
    console: Console, partitions: Sequence[Partition], stages: Sequence[str], patience: float = PATIENCE
) -> Iterator[Begin]:
    """Show which stage of which partition is at work; in a file or a pipe, a line for each partition and each long stage.

    :param stages: of a partition, in order.
    :param patience: seconds after which a stage is long.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    waiting: list[threading.Timer] = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(partitions) * len(stages))

        def begin(partition: Partition, stage: str) -> None:
            place = partitions.index(partition)
            done = place * len(stages) + stages.index(stage)
            bar.update(task, description=f"{partition} {stage}", completed=done)
            if console.is_terminal:
                return
            _stop(waiting)
            if stage == stages[0]:
                console.print(f"{partition} ({place + 1} of {len(partitions)})", highlight=False)
            line = f"  {stage} takes more than {patience:g} s …"
            waiting.append(threading.Timer(patience, console.print, [line], {"highlight": False}))
            waiting[-1].daemon = True
            waiting[-1].start()

        try:
            yield begin
        finally:
            _stop(waiting)


def _stop(timers: list[threading.Timer]) -> None:
    for timer in timers:
        timer.cancel()
    timers.clear()
