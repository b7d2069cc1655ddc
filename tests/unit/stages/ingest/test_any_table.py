"""Tables of every Arrow type: published as they are, or refused by name with nothing half written."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import parquet

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.exceptions import BadRows, SchemaMismatch
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.sources import PythonSource, Source
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stores.tables import tables
from any_table import KINDS, columns, examples
from kept_values import meant

pytestmark = pytest.mark.slow

JANUARY = Partition.parse("2013-01", "month")
REFUSED = (SchemaMismatch, BadRows)
TEXTUAL = st.sampled_from([pa.int64(), pa.float64(), pa.bool_(), pa.string()])


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = f"file://{folder}/store/data"

    def publish(self, *parts: pa.Table, source: Source | None = None, **changes: Any) -> DatasetVersion:
        arguments: dict[str, Any] = {
            "uri": f"file://{self.folder}/store/staging",
            "published": self.data,
            "name": "flights",
            "key": ["id"],
            "event_time": "at",
            "run": "run",
        }
        source = source or PythonSource(lambda partition: iter(parts))
        staged = ingest.stage(source, JANUARY, **arguments | changes)
        version = ingest.publish(staged, uri=self.data, run="run")
        assert version.digest == staged.digest
        return version

    def read(self) -> pa.Table:
        return tables.read(self.data).sort_by("id")

    def parquet(self, rows: pa.Table) -> Source:
        parquet.write_table(rows, self.folder / "2013-01.parquet")
        return FileSource(f"{self.folder}/{{partition}}.parquet")


def attempt(store: Store, *parts: pa.Table, **changes: Any) -> DatasetVersion | str:
    """Publish a partition; return why not if it is refused. Any other error would reach people raw."""
    try:
        return store.publish(*parts, **changes)
    except REFUSED as error:
        return str(error)


@contextmanager
def a_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        yield Store(Path(folder))


def table(x: pa.ChunkedArray, first: int = 0) -> pa.Table:
    day = [datetime(2013, 1, 2, tzinfo=UTC)] * len(x)
    return pa.table({"id": range(first, first + len(x)), "at": day, "x": x})


def text(rows: int) -> pa.Table:
    return table(pa.chunked_array([["a"] * rows]))


def assert_published(store: Store, version: DatasetVersion, x: pa.ChunkedArray) -> None:
    rows = store.read()
    # An object without keys says no more than a missing one.
    is_empty = pa.types.is_struct(x.type) and not x.type.num_fields
    assert meant(rows["x"]) == ([None] * len(x) if is_empty else meant(x))
    assert tables.digest(rows) == version.digest
    published = tables.published(store.data, "2013-01")
    assert (published.digest, published.columns) == (version.digest, version.columns)


@examples(60)
@given(columns())
def test_a_column_is_published_as_it_is_or_refused_and_its_correction_passes(x: pa.ChunkedArray) -> None:
    with a_store() as store:
        version = attempt(store, table(x))
        if isinstance(version, str):
            assert "'x'" in version
            assert not tables.exists(store.data)
            assert_published(store, store.publish(text(len(x))), text(len(x))["x"])
            return
        assert_published(store, version, x)
        # The same rows, in other batches and another order.
        again = store.publish(*(table(x).slice(row, 1) for row in reversed(range(len(x)))))
        assert not again.changed


@examples(30)
@given(columns())
def test_what_parquet_keeps_is_published_as_it_is_or_refused(x: pa.ChunkedArray) -> None:
    with a_store() as store:
        try:
            source = store.parquet(table(x))
            x = parquet.read_table(store.folder / "2013-01.parquet")["x"]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError):
            return  # Parquet has no such type
        version = attempt(store, source=source)
        if isinstance(version, str):
            assert "'x'" in version
            assert not tables.exists(store.data)
            return
        assert_published(store, version, x)


DAYS = pa.chunked_array([pa.array([date(1970, 1, 1)])])


@example(DAYS, pa.chunked_array([pa.array(["now"], pa.string_view())]), SchemaPolicy.STRICT)
@example(DAYS, pa.chunked_array([pa.array([], pa.string_view()), [None]], pa.string_view()), SchemaPolicy.ADD)
@examples(30)
@given(columns(), columns(), st.sampled_from(SchemaPolicy))
def test_a_partition_that_is_refused_leaves_the_published_one_as_it_was(
    x: pa.ChunkedArray, other: pa.ChunkedArray, policy: SchemaPolicy
) -> None:
    with a_store() as store:
        first = attempt(store, table(x))
        if isinstance(first, str):
            return
        second = attempt(store, table(other), policy=policy)
        if isinstance(second, str):
            assert_published(store, first, x)
        else:
            assert_published(store, second, other)


def test_a_column_of_half_precision_is_the_same_in_staging_and_in_a_table_of_other_numbers() -> None:
    with a_store() as store:
        for values in (pa.array([1, 2]), pa.array([1.5, 2.0], pa.float64()).cast(pa.float16())):
            store.publish(table(pa.chunked_array([values])), policy=SchemaPolicy.EVOLVE)
        assert store.read()["x"].to_pylist() == [1.5, 2.0]


@pytest.mark.parametrize("name", sorted({*KINDS} - {"unsigned numbers", "durations", "intervals"}))
def test_other_values_of_a_type_fit_into_what_the_first_ones_made(name: str) -> None:
    @examples(3)
    @given(KINDS[name].flatmap(lambda kind: st.tuples(*[columns(st.just(kind))] * 2)))
    def fits(pair: tuple[pa.ChunkedArray, pa.ChunkedArray]) -> None:
        with a_store() as store:
            first, second = (attempt(store, table(values)) for values in pair)
            for version in (first, second):
                if isinstance(version, str):
                    assert re.search("Delta table cannot keep that|before year 1 or after 9999", version)
                    return
            assert_published(store, second, pair[1])
            assert store.publish(table(pair[0])).digest == first.digest

    fits()


@examples(20)
@given(TEXTUAL.flatmap(lambda kind: columns(st.just(kind))), st.sampled_from(["csv", "jsonl"]))
def test_text_keeps_every_value_that_it_can_write(x: pa.ChunkedArray, format: str) -> None:
    values = [None if value in (math.inf, -math.inf) or value != value else value for value in x.to_pylist()]
    if pa.types.is_string(x.type):
        # A NUL is refused by its line; an empty text is a missing one in CSV.
        values = [value and value.replace("\0", "") or None for value in values]
    with a_store() as store:
        (store.folder / f"2013-01.{format}").write_text(written(values, format), encoding="utf-8", newline="")
        types = {"x": str(x.type)}
        store.publish(source=FileSource(f"{store.folder}/{{partition}}.{format}", types=types))
        assert store.read()["x"].to_pylist() == values


def written(values: list[Any], format: str) -> str:
    at = "2013-01-02T00:00:00Z"
    if format == "jsonl":
        return "".join(
            json.dumps({"id": row, "at": at, "x": value}) + "\n" for row, value in enumerate(values)
        )
    cells = ["" if value is None else json.dumps(value) for value in values]
    if any(isinstance(value, str) for value in values):
        cells = ["" if value is None else '"{}"'.format(value.replace('"', '""')) for value in values]
    return "id,at,x\n" + "".join(f"{row},{at},{cell}\n" for row, cell in enumerate(cells))
