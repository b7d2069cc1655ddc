"""Time and memory to find drift, compared with Evidently's preset on all rows and on a sample, and with NannyML."""

from __future__ import annotations

import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import peer
from benchmarks.comparison import RUNS, Comparison
from benchmarks.processes import apart, warm

ROWS = int(os.environ.get("BENCHMARK_ROWS", "1000000"))
"""Rows a side."""
COLUMNS = 21
PARTITIONS = 100
"""Partitions of a million rows, which are summarised one by one and judged together."""

PRESET = "Evidently's DataDriftPreset"
SAMPLE = "Evidently's DataDriftPreset on every n-th row, 50,000 in all"

_BATCH = 65_536
_SHAPES = ("normal", "lognormal", "pareto", "discrete", "constant", "mostly null")
_THRESHOLD = 0.1
_FEW = 10_000
"""Rows of a column below which a distance near the threshold need not be significant."""


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Judge 1,000,000 rows × 21 columns in a Parquet file against as many, whose columns lie around the threshold.

    Our reference is a summary, as that of a champion is.

    :raises RuntimeError: if a distance differs by more than 0.002 from that of all rows, or a verdict of a column differs.
    """
    modules = [
        "airflow_mlops.stages.drift.compare",
        "evidently.presets",
        "scipy.stats",
        "pyarrow.parquet",
        "matplotlib.figure",
    ]
    server = warm(modules)
    with tempfile.TemporaryDirectory(prefix="benchmark-drift-") as folder:
        say("making rows")
        exact = apart(server, make, Path(folder), ROWS)
        took: dict[str, list[float]] = {}
        peaks: dict[str, list[float]] = {}
        other = peer.python(say)
        for run in range(RUNS):
            for what in ("verdicts", "with page", "sample") + (("preset",) if run == 0 else ()):
                say(f"{what}, {run + 1} of {RUNS}")
                seconds, peak, comparison = apart(server, _timed, Path(folder), what)
                took.setdefault(what, []).append(seconds)
                peaks.setdefault(what, []).append(peak)
                if what in ("verdicts", "with page"):
                    agree(exact, comparison)
            say(f"{peer.NAME}, {run + 1} of {RUNS}")
            if other and (measured := peer.run(other, "drift", Path(folder))):
                took.setdefault("nannyml", []).append(measured["seconds"])
                peaks.setdefault("nannyml", []).append(measured["megabytes"])
        evidently = (PRESET, "preset"), (SAMPLE, "sample")
        # NannyML draws no page.
        beside = {"verdicts": (*evidently, (peer.NAME, "nannyml")), "with page": evidently}
        for what, peers in beside.items():
            for name, side in peers:
                if side not in took:
                    continue
                case = f"{what}, {ROWS:,} rows × {COLUMNS} columns"
                yield Comparison("drift", case, took[what], took[side], name, "s")
                yield Comparison("drift", f"{case}/memory", peaks[what], peaks[side], name, "MB")
        say(f"{PARTITIONS} partitions")
        yield from _window(server)


def _window(server: Any) -> Iterator[Comparison]:
    """Summarise partitions one by one, and judge the window of all of them and the last one alone."""
    made, judged, one, peak = apart(server, _many, PARTITIONS, min(ROWS, 1_000_000))
    case = f"a window of {PARTITIONS} kept summaries, {PARTITIONS * min(ROWS, 1_000_000):,} rows"
    yield Comparison("drift", case, [judged], [made], "summarising its rows", "s")
    yield Comparison("drift", f"{case}/one summary", [judged], [one], "one of them", "s")
    yield Comparison(
        "drift", f"{case}/memory", [peak], [8e-6 * PARTITIONS * min(ROWS, 1_000_000)], "its rows", "MB"
    )


def make(folder: Path, rows: int) -> dict[str, float]:
    """Write both sides as Parquet files, and return the distance of each column, computed from all rows.

    Every column of numbers is moved so that it lies within ±5 % of the threshold, or is not moved at all.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    exact, sides = {}, ({}, {})  # type: tuple[dict[str, float], tuple[dict[str, Any], dict[str, Any]]]
    for place in range(COLUMNS):
        shape = _SHAPES[place % len(_SHAPES)]
        before, now = (_values(np.random.default_rng([place, side]), shape, rows) for side in (0, 1))
        distance = _THRESHOLD * (0.95, 1.05, 0.0)[place // len(_SHAPES) % 3]
        if distance and shape != "constant":
            now = _moved(before, now, distance)
        name = f"{shape} {place}"
        exact[name] = _distance(before, now)
        for side, values in zip(sides, (before, now), strict=True):
            side[name] = pa.array(values, from_pandas=True)
    for file, side in zip(("before", "now"), sides, strict=True):
        pq.write_table(pa.table(side), folder / f"{file}.parquet", row_group_size=_BATCH)
    return exact


def _values(random: Any, shape: str, rows: int) -> Any:
    import numpy as np

    if shape == "lognormal":
        return random.lognormal(0, 2, rows)
    if shape == "pareto":
        return random.pareto(1.5, rows)
    if shape == "discrete":
        return random.poisson(3, rows).astype(float)
    if shape == "constant":
        return np.ones(rows)
    values = random.normal(size=rows)
    return np.where(random.random(rows) < 0.8, np.nan, values) if shape == "mostly null" else values


def _moved(before: Any, now: Any, distance: float) -> Any:
    """Move a column until it has a distance."""
    import numpy as np

    spread, low, high = float(np.nanstd(before)), 0.0, 2 * distance
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if _distance(before, now + middle * spread) < distance else (low, middle)
    return now + high * spread


def _distance(before: Any, now: Any) -> float:
    import numpy as np
    from scipy.stats import wasserstein_distance

    before, now = (side[np.isfinite(side)] for side in (before, now))
    return float(wasserstein_distance(before, now)) / max(float(before.std()), 0.001)


def agree(exact: dict[str, float], comparison: Any) -> None:
    """Raise unless distances and verdicts are those of all rows.

    Of few rows a distance may be large by chance alone: the check then passes, and says so.

    :raises RuntimeError: if they are not.
    """
    checks = {check.name.removeprefix("drift."): check for check in comparison.columns}
    for name, distance in exact.items():
        check = checks[name]
        error = abs(check.observed - distance)
        by_chance = check.n < _FEW and check.reason.endswith("no more than chance explains")
        if error > 0.002 or (check.verdict == "FAIL") != (distance >= _THRESHOLD and not by_chance):
            raise RuntimeError(
                f"{name} is {distance} of all rows, and {check.observed}, {check.verdict}, of ours"
            )


def _timed(folder: Path, what: str) -> tuple[float, float, Any]:
    """Do one piece of work as a task does; return its seconds, its peak of memory in MB, and our comparison."""
    warnings.simplefilter("ignore")
    before = _ours_before(folder) if what in ("verdicts", "with page") else None
    began, base = time.perf_counter(), _resident()
    comparison = None
    if before:
        comparison = _ours(folder, before, what == "with page")
    else:
        _theirs(folder, what == "sample")
    return time.perf_counter() - began, _peak() - base, comparison


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _summaries(path: Path) -> Any:
    import pyarrow.parquet as pq

    from airflow_mlops.learning.summaries import build

    file = pq.ParquetFile(path)
    return build.summarise(
        file.iter_batches(_BATCH, use_threads=False), numeric=file.schema_arrow.names, categorical=()
    )


def _ours_before(folder: Path) -> Any:
    """Return the reference as a check reads it: from a file of summaries."""
    import pyarrow.parquet as pq

    from airflow_mlops.learning.summaries.table import from_table, to_table

    kept = folder / "reference.parquet"
    if not kept.exists():
        pq.write_table(to_table({"all": _summaries(folder / "before.parquet")}), kept)
    return from_table(pq.read_table(kept))["all"]


def _ours(folder: Path, before: Any, page: bool) -> Any:
    from airflow_mlops.domain.spec.model import DriftPolicy
    from airflow_mlops.stages.drift import compare as drift

    now = _summaries(folder / "now.parquet")
    # Columns that are mostly null have a fifth of the rows.
    policy = DriftPolicy(threshold=_THRESHOLD, min_rows=min(max(ROWS // 10, 1), 500))
    comparison = drift.compare(before, now, policy=policy, title="benchmark", page=page)
    return comparison._replace(html="", picture=None)


def _theirs(folder: Path, sample: bool) -> None:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    before, now = (pd.read_parquet(folder / f"{name}.parquet") for name in ("before", "now"))
    if sample:
        before, now = (side.iloc[:: max(len(side) // 50_000, 1)] for side in (before, now))
    definition = DataDefinition(numerical_columns=list(before.columns))
    sides = [Dataset.from_pandas(side, definition) for side in (now, before)]
    Report([DataDriftPreset(num_method="wasserstein", num_threshold=_THRESHOLD)]).run(*sides).get_html_str(
        False
    )


def _many(partitions: int, rows: int) -> tuple[float, float, float, float]:
    """Return the seconds to summarise partitions, to judge all of them, to judge one, and the memory in MB."""
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import DriftPolicy
    from airflow_mlops.learning.summaries import build, summary
    from airflow_mlops.stages.drift import compare as drift

    base = _resident()
    parts, made = [], 0.0
    for place in range(partitions):
        table = pa.table({"x": np.random.default_rng(place).normal(size=rows)})
        began = time.perf_counter()
        parts.append(build.summarise(table.to_batches(_BATCH), numeric=("x",), categorical=())["x"])
        made += time.perf_counter() - began
    before = {"x": parts[0]}

    def judge(now: Any) -> float:
        began = time.perf_counter()
        comparison = drift.compare(
            before, {"x": summary.merge(now)}, policy=DriftPolicy(), title="t", page=False
        )
        if comparison.overall.verdict != "PASS" or comparison.overall.n != rows * len(now):
            raise RuntimeError(f"nothing has changed, and the verdict is {comparison.overall}")
        return time.perf_counter() - began

    judge(parts[:2])  # pays for what a process does once
    return made, judge(parts), judge(parts[-1:]), _peak() - base
