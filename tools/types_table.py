"""Write what becomes of every source's types into a folder of docs, by publishing them: ``python -m tools.types_table docs``."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import BadRows, SchemaMismatch, SourceUnreadable, SpecError
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.sources import PythonSource, Source
from airflow_mlops.learning.models import pipeline
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stages.train.recipe import derive_features
from airflow_mlops.stores.outputs import sql as output
from airflow_mlops.stores.outputs.tables import ScoredPartition
from airflow_mlops.stores.sources import sql
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

PAGE = "types.md"
_TABLE = re.compile(r"<!-- (arrow|text|database) -->\n.*?<!-- end -->", re.DOTALL)
_JANUARY = Partition.parse("2013-01", "month")
_DAY = datetime(2013, 1, 2, tzinfo=UTC)
_REFUSED = "refused"

DATABASE: Mapping[str, Any] = MappingProxyType(
    {
        "smallint, integer, bigint": 7,
        "real, double precision": 1.5,
        "numeric": Decimal("1.50"),
        "boolean": True,
        "text, varchar": "a",
        "bytea": memoryview(b"a"),
        "date": date(2013, 1, 2),
        "timestamp": _DAY.replace(tzinfo=None),
        "timestamptz": _DAY,
        "time": time(8),
        "interval": timedelta(days=1),
        "json, jsonb": {"a": 1},
        "text[]": ["a"],
        "uuid": UUID(int=7),
        "null": None,
    }
)
"""Types of PostgreSQL, each with a value as its driver hands it over; a type may stand for several."""

TEXTS = (
    "7", "1.5", "1e300", "18446744073709551615", "+1", ".5", "0x10", "1e400", "inf", "true", "TRUE", "2013-01", "2013-01-02", "2013-01-02T03:04:05Z", "2013-01-02T03:04:05.678Z", "2013-01-02T03:04:05.1234567", "2013-01-02 05:04:05+02:00",
    "08:00:00", "a",
)  # fmt: skip
"""Values in files of text; in JSON, those that are no numbers or truth values stand in quotes."""


def arrow() -> dict[str, pa.Array]:
    """Return a column of one value for each Arrow type."""
    import pyarrow as pa

    numbers = [
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.uint8(),
        pa.uint16(),
        pa.uint32(),
        pa.uint64(),
    ]
    columns = {
        str(kind): pa.array([1], kind) for kind in [*numbers, pa.float16(), pa.float32(), pa.float64()]
    }
    columns["uint64 of 2^63 or more"] = pa.array([2**64 - 1], pa.uint64())
    for kind in (
        pa.decimal32(9, 2),
        pa.decimal64(18, 2),
        pa.decimal128(38, 2),
        pa.decimal256(38, 2),
        pa.decimal256(39, 2),
    ):
        columns[str(kind)] = pa.array([Decimal("1.50")], kind)
    columns["bool"] = pa.array([True])
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        columns[str(kind)] = pa.array(["a"], kind)
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1)):
        columns[str(kind)] = pa.array([b"a"], kind)
    columns |= {str(kind): pa.array([_DAY], kind) for kind in (pa.date32(), pa.date64())}
    for unit, zone in (
        ("s", None),
        ("ms", None),
        ("us", None),
        ("ns", None),
        ("us", "UTC"),
        ("ns", "Europe/Berlin"),
    ):
        columns[str(pa.timestamp(unit, zone))] = pa.array([_DAY], pa.timestamp(unit, zone))
    columns |= {str(kind): pa.array([time(8)], kind) for kind in (pa.time32("s"), pa.time64("us"))}
    columns["duration[us]"] = pa.array([timedelta(1)], pa.duration("us"))
    columns["month_day_nano_interval"] = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    columns["dictionary of text"] = pa.array(["a"]).dictionary_encode()
    columns["run_end_encoded of text"] = pa.RunEndEncodedArray.from_arrays([1], ["a"])
    return columns | _with_parts()


def _with_parts() -> dict[str, pa.Array]:
    import pyarrow as pa

    union = [pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]]
    tensor = pa.fixed_shape_tensor(pa.int32(), [1])
    return {
        "list": pa.array([[1]]),
        "large_list": pa.array([[1]], pa.large_list(pa.int64())),
        "fixed_size_list": pa.array([[1]], pa.list_(pa.int64(), 1)),
        "list_view, large_list_view": pa.array([[1]], pa.list_view(pa.int64())),
        "list of times of day": pa.array([[time(8)]]),
        "struct": pa.array([{"a": 1}]),
        "struct with names that differ in capitals only": pa.StructArray.from_arrays(
            [[1], [2]], names=["a", "A"]
        ),
        "struct without fields": pa.array([{}], pa.struct([])),
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "union": pa.UnionArray.from_dense(*union),
        "null": pa.nulls(1),
        "extension: arrow.uuid": pa.array([UUID(int=7).bytes], pa.uuid()),
        "extension: arrow.json": pa.array(["{}"], pa.json_()),
        "extension: arrow.bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())),
        "extension: any other": pa.ExtensionArray.from_storage(
            tensor, pa.array([[1]], pa.list_(pa.int32(), 1))
        ),
    }


def published(source: Source, folder: Path) -> str:
    """Return the type as which a column ``x`` is published, as the page writes it."""
    version = _publish(source, folder)
    return _REFUSED if version is None else _kind(version)


def _publish(source: Source, folder: Path, key: str = "id") -> DatasetVersion | None:
    """Publish a column ``x``; None if that is refused."""
    staging, data = (f"file://{folder}/{name}" for name in ("staging", "data"))
    try:
        staged = ingest.stage(
            source, _JANUARY, uri=staging, published=data, name="x", key=[key], event_time="at", run="docs"
        )
    except (BadRows, SchemaMismatch, SourceUnreadable):
        return None
    return ingest.publish(staged, uri=data, run="docs")


def _of_column(x: pa.Array) -> dict[str, str]:
    import pyarrow as pa

    rows = pa.table({"id": [1], "at": [_DAY], "x": x})
    with tempfile.TemporaryDirectory() as folder:
        version = _publish(PythonSource(lambda _: rows), Path(folder, "id"))
        if version is None:
            return {"published": _REFUSED}
        cells = {
            "published": _kind(version),
            "feature": _feature(version),
            "label": _label(tables.read(version.uri)),
        }
        keyed = _publish(PythonSource(lambda _: rows), Path(folder, "x"), "x")
        return cells | {"key": _REFUSED} if keyed is None else cells | {"key": "yes"} | _outputs(keyed)


def _kind(version: DatasetVersion) -> str:
    kind = version.columns["x"]
    return f"`{kind}`" if kind != "null" else "no type yet"


def _feature(version: DatasetVersion) -> str:
    try:
        features = derive_features(version, "")
    except SpecError:
        return "left out"
    kinds = {"number": features.numeric, "category": features.categorical, "time": features.dates}
    return next(kind for kind, names in kinds.items() if "x" in names)


def _label(rows: pa.Table) -> str:
    if rows["x"].null_count:
        return ""
    try:
        pipeline.labelled(rows, "x", "regression")
    except SchemaMismatch:
        return _REFUSED
    return "yes"


def _outputs(version: DatasetVersion) -> dict[str, str]:
    from sqlalchemy.dialects import mysql, postgresql, sqlite

    predictions = ScoredPartition("model", _JANUARY, ("x",), version.uri, version.version)
    table = output.definition("predictions", None, predictions, "the table")
    dialects = {"PostgreSQL": postgresql, "MariaDB": mysql, "SQLite": sqlite}
    kinds = {name: table.c.x.type.compile(package.dialect()) for name, package in dialects.items()}
    return {name: f"`{kind.partition(' CHARACTER')[0]}`" for name, kind in kinds.items()}


def _of_text(name: str, text: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"2013-01.{name}").write_text(text, encoding="utf-8")
        return published(FileSource(f"{folder}/{{partition}}.{name}"), Path(folder))


def _of_value(value: Any) -> str:
    import pyarrow as pa

    columns = [pa.array([1]), pa.array([_DAY]), sql.column("x", [value], "query")]
    batch = pa.record_batch(columns, names=["id", "at", "x"])
    with tempfile.TemporaryDirectory() as folder:
        return published(PythonSource(lambda _: batch), Path(folder))


def _table(*rows: tuple[str, ...]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def _columns() -> str:
    heads = {"published": "published as", "feature": "feature", "label": "label", "key": "key"}
    heads |= {name: f"key in {name}" for name in ("PostgreSQL", "MariaDB", "SQLite")}
    rows = ((name, _of_column(x)) for name, x in arrow().items())
    return _table(
        ("Arrow type", *heads.values()),
        *((f"`{name}`", *(cells.get(head, "") for head in heads)) for name, cells in rows),
    )


def _texts() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for value in TEXTS:
            plain = value if re.fullmatch(r"(\d[\d.]*(e300)?|true)", value) else json.dumps(value)
            line = f'{{"id": 1, "at": "2013-01-02T00:00:00Z", "x": {plain}}}\n'
            table = f"id,at,x\n1,2013-01-02T00:00:00Z,{value}\n"
            yield f"`{value}`", _of_text("csv", table), _of_text("jsonl", line)
        for nested in ("[1]", '{"a": 1}', "{}", "[]", "null"):
            line = f'{{"id": 1, "at": "2013-01-02T00:00:00Z", "x": {nested}}}\n'
            yield f"`{nested}`", "", _of_text("jsonl", line)

    return _table(("value", "CSV", "JSON lines"), *rows())


def _database() -> str:
    rows = ((f"`{name}`", f"`{type(value).__name__}`", _of_value(value)) for name, value in DATABASE.items())
    return _table(("in PostgreSQL", "in Python", "published as"), *rows)


_TABLES: Mapping[str, Callable[[], str]] = {"arrow": _columns, "text": _texts, "database": _database}


def page(text: str) -> str:
    """Return the page with its tables renewed."""
    return _TABLE.sub(lambda match: f"<!-- {match[1]} -->\n\n{_TABLES[match[1]]()}\n<!-- end -->", text)


if __name__ == "__main__":
    place = Path(sys.argv[1]) / PAGE
    place.write_text(page(place.read_text(encoding="utf-8")), encoding="utf-8")
