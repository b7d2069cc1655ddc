"""Decisions on streams with a known truth: the defaults beside fixed policies, and what others do by default."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.streams import figures, replays
from benchmarks.streams.catalogue import LENGTHS, STREAMS
from benchmarks.streams.figures import Outcome

FOLDER = Path(os.environ.get("BENCHMARK_FOLDER", "build/streams"))
"""Where streams and replays are kept: what was stopped goes on."""
CHOSEN = os.environ.get("BENCHMARK_STREAMS", "choosing")
"""``choosing`` for the streams that defaults are chosen by, ``held out`` for the others, or names with commas between."""
_LENGTHS = (
    tuple(int(length) for length in os.environ.get("BENCHMARK_LENGTHS", "").split(",") if length) or LENGTHS
)


def compare(progress: Callable[[str], None]) -> Iterator[Outcome]:
    """Yield what each policy came to, by stream and length."""
    for stream in STREAMS:
        half = "held out" if stream.held_out else "choosing"
        if half != CHOSEN and stream.name not in CHOSEN.split(","):
            continue
        for length in _LENGTHS:
            progress(f"{stream.name}, {length} partitions")
            folder = FOLDER / f"{stream.name.replace(' ', '-')}-{length}"
            replay = replays.replayed(stream, length, folder, os.cpu_count() or 1)
            labels = [replays.drawn(stream, length, place)["y"] for place in range(length)]
            yield from figures.outcomes(stream, length, replay, figures.constants(stream, labels))
