"""Time and memory to validate a partition and to show the result, in a process that has imported the libraries."""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from benchmarks.comparison import RUNS, Comparison
from benchmarks.processes import apart, warm

BARE = "bare Great Expectations"
"""As its own pages show it: one suite in its default format, and its Data Docs."""
ALONE = "bare Great Expectations, one at a time, COMPLETE, without a report"
GRAPH = "bare Great Expectations, COMPLETE"
"""Lists every row that is wrong, as quarantining needs."""
COLD = "ours, in a process that has to import"

PRELOADED = (
    "airflow_mlops.stages.validate.validate",
    "deltalake",
    "great_expectations",
    "great_expectations.render.renderer.page_renderer",
    "great_expectations.render.view.view",
    "pandas",
    "jinja2.ext",
    "pyarrow.compute",
    "pyarrow.dataset",
    "scipy.stats",
)

ROWS = int(os.environ.get("BENCHMARK_ROWS", "1000000"))
"""Rows of the partition."""

_NUMBERS = [f"number_{place}" for place in range(13)]
_COUNTS = [f"count_{place}" for place in range(3)]
_WORDS = [f"word_{place}" for place in range(3)]
_LETTERS = ["a", "b", "c", "d"]


@dataclass(frozen=True)
class Case:
    """A way to validate, and what it is compared with.

    :param start: where the rows are: ``frame`` in memory, ``partition`` in a Delta table.
    :param columns: how many columns have expectations.
    :param peers: what ours is compared with.
    """

    name: str
    start: str = "frame"
    columns: int = 21
    peers: tuple[str, ...] = (BARE,)


CASES = (
    Case("frame", peers=(BARE, ALONE, GRAPH)),
    Case("partition", start="partition", peers=(BARE, COLD)),
    Case("5 of 21 columns", start="partition", columns=5),
)


@dataclass(frozen=True)
class Validated:
    """Time and memory of one validation.

    :param seconds: from the rows to the report, its page and the Data Docs.
    :param megabytes: the most that was resident in the process meanwhile, the rows included.
    :param failed: how many expectations did not hold.
    """

    seconds: float
    megabytes: float
    failed: int


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Validate 1 million rows × 21 columns × 41 expectations, in three ways to start.

    :raises RuntimeError: if two sides do not find the same.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-validation-") as folder:
        server = warm(PRELOADED)
        apart(server, _write, folder)
        for case in CASES:
            yield from _compare(case, server, folder, say)


def _compare(
    case: Case, server: BaseContext, folder: str, say: Callable[[str], None]
) -> Iterator[Comparison]:
    ours: list[Validated] = []
    theirs: dict[str, list[Validated]] = {peer: [] for peer in case.peers}
    for run in range(RUNS):
        say(f"{case.name}, run {run + 1} of {RUNS}")
        ours.append(apart(server, _measure, folder, case, ""))
        for peer, runs in theirs.items():
            context = multiprocessing.get_context("spawn") if peer == COLD else server
            runs.append(apart(context, _measure, folder, case, peer))
    for peer, runs in theirs.items():
        if {validated.failed for validated in (*ours, *runs)} != {ours[0].failed}:
            raise RuntimeError(f"{case.name}: ours and {peer} do not find the same: {ours[0]}, {runs[0]}")
        seconds = [validated.seconds for validated in ours], [validated.seconds for validated in runs]
        yield Comparison("validation", case.name, *seconds, peer, "s")
        megabytes = [validated.megabytes for validated in ours], [validated.megabytes for validated in runs]
        yield Comparison("validation", f"{case.name}/memory", *megabytes, peer, "MB")


def _write(folder: str) -> None:
    """Publish the partition."""
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.stores.tables import tables

    random = np.random.default_rng(0)
    seconds = np.sort(random.integers(0, 31 * 86_400, ROWS)).astype("timedelta64[s]")
    moments = pa.array(np.datetime64("2013-01-01T00:00:00", "us") + seconds).cast(pa.timestamp("us", "UTC"))
    rows = pa.table(
        {
            "id": np.arange(ROWS),
            "at": moments,
            **{name: random.normal(size=ROWS) for name in _NUMBERS},
            **{name: random.integers(0, 100, ROWS) for name in _COUNTS},
            **{name: pa.array(np.array(_LETTERS)[random.integers(0, 4, ROWS)]) for name in _WORDS},
        }
    )
    tables.replace_partition(f"file://{folder}/data", rows, "2013-01")


def _suite(columns: int) -> list[tuple[str, dict[str, Any]]]:
    """Return 41 expectations, or those of them about the first columns."""
    names = ["id", *_COUNTS, *_WORDS, *_NUMBERS, "at"][:columns]
    suite: list[tuple[str, dict[str, Any]]] = [("expect_column_values_to_be_unique", {"column": "id"})]
    for name in names:
        suite.append(("expect_column_values_to_not_be_null", {"column": name}))
        if name in _NUMBERS:
            # A few rows in 100,000 lie outside.
            bounds = {"min_value": -4, "max_value": 4}
            suite.append(("expect_column_values_to_be_between", {"column": name, **bounds}))
        elif name in _COUNTS:
            bounds = {"min_value": 0, "max_value": 99}
            suite.append(("expect_column_values_to_be_between", {"column": name, **bounds}))
        elif name in _WORDS:
            suite.append(("expect_column_values_to_be_in_set", {"column": name, "value_set": _LETTERS}))
    return suite


def _measure(folder: str, case: Case, peer: str) -> Validated:
    """Validate once, and return the time and the memory of it."""
    frame = _read(folder) if case.start == "frame" else None
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts here
    began = time.perf_counter()
    if peer in ("", COLD):
        failed = _ours(folder, case, frame)
    else:
        failed = _theirs(_read(folder) if frame is None else frame, _suite(case.columns), peer)
    seconds = time.perf_counter() - began
    [peak] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return Validated(seconds, int(peak) * 1024 / 1e6, failed)


def _read(folder: str) -> Any:
    from deltalake import DeltaTable

    return DeltaTable(f"{folder}/data").to_pandas()


def _ours(folder: str, case: Case, frame: Any) -> int:
    from airflow_mlops.domain.facts.results import DatasetVersion
    from airflow_mlops.domain.spec.model import Expectation
    from airflow_mlops.stages.validate import validate
    from airflow_mlops.stages.validate.validate import ValidationPolicy
    from airflow_mlops.stores.tables import tables

    rules = [Expectation(expectation=name, args=args) for name, args in _suite(case.columns)]
    if frame is not None:
        validation = validate.frame(frame, rules, required=["id", "at"])
    else:
        uri = f"file://{folder}/data"
        table = tables.open_table(uri)
        columns = {field.name: str(field.type) for field in table.schema().fields if field.name[0] != "_"}
        dataset = DatasetVersion(
            name="rows", uri=uri, version=table.version(), grain="month", partition="2013-01", rows=ROWS,
            digest="", columns=columns, key=("id",), event_time="at",
        )  # fmt: skip
        validation = validate.version(dataset, ValidationPolicy(rules, ["id", "at"], ["id", "at"]), data=uri)
    assert validation.html
    assert validation.docs
    return sum(check.outcome == "FAIL" for check in validation.report.results)


def _theirs(frame: Any, suite: list[tuple[str, dict[str, Any]]], peer: str) -> int:
    import great_expectations as gx
    from great_expectations.expectations import registry
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("partition")
    expectations = [registry.get_expectation_impl(name)(**args) for name, args in suite]
    if peer == ALONE:
        taken = batch.get_batch({"dataframe": frame})
        checks = [taken.validate(expectation, result_format="COMPLETE") for expectation in expectations]
        return sum(not check.success for check in checks)
    rules = context.suites.add(gx.ExpectationSuite(name="rows", expectations=expectations))
    definition = gx.ValidationDefinition(name="rows", data=batch, suite=rules)
    result_format = "COMPLETE" if peer == GRAPH else "SUMMARY"
    result = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame}, result_format=result_format
    )
    assert DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    return int(result.statistics["unsuccessful_expectations"])
