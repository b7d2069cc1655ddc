from __future__ import annotations

import io
from threading import Event

from rich.console import Console

from airflow_mlops.cli.stage_progress import progress
from history import month

STAGES = ("ingest", "train")
LONG = 600.0
"""Seconds that no stage here takes."""


class Output(io.StringIO):
    """A pipe that tells when a text has come."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.came = Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.text in self.getvalue():
            self.came.set()
        return written


def test_a_pipe_has_a_line_for_each_partition_and_none_for_quick_stages() -> None:
    output = io.StringIO()
    partitions = [month("2013-01"), month("2013-02")]
    with progress(Console(file=output), partitions, STAGES, LONG) as begin:
        for partition in partitions:
            for stage in STAGES:
                begin(partition, stage)
    assert output.getvalue().splitlines() == ["2013-01 (1 of 2)", "2013-02 (2 of 2)"]


def test_a_pipe_names_the_stage_that_takes_long() -> None:
    output = Output("train takes")
    with progress(Console(file=output), [month("2013-01")], STAGES, LONG) as begin:
        begin(month("2013-01"), "ingest")
    with progress(Console(file=output), [month("2013-01")], STAGES, 0.01) as begin:
        begin(month("2013-01"), "train")
        assert output.came.wait(60)
    assert output.getvalue().splitlines() == ["2013-01 (1 of 1)", "  train takes more than 0.01 s …"]


def test_a_terminal_has_a_bar_and_no_lines() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80)
    with progress(console, [month("2013-01")], STAGES, 0.0) as begin:
        begin(month("2013-01"), "train")
    assert "2013-01 train" in output.getvalue()
    assert "takes more" not in output.getvalue()
