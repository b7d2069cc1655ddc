from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.coverage import Coverage
from airflow_mlops.stores.tables import tables


def publish(uri: str, partition: str, grain: str, run: str = "run") -> None:
    tables.publish(
        uri,
        pa.table({"id": [partition]}),
        name="flights",
        grain=grain,
        partition=partition,
        key=["id"],
        event_time="at",
        source="here",
        run=run,
    )


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/flights/data"


def test_nothing_is_covered_before_anything_is_published(uri: str) -> None:
    nothing = Coverage(partitions=0, first=None, watermark=None, last=None)
    assert tables.coverage(uri) == nothing
    tables.create(uri, pa.schema([("id", pa.string()), ("_partition", pa.string())]), ["_partition"])
    assert tables.coverage(uri) == nothing


@pytest.mark.parametrize(
    ("grain", "keys", "watermark", "gaps"),
    [
        ("month", ["2012-12", "2013-01", "2013-03", "2013-06"], "2013-01", ("2013-02", "2013-04", "2013-05")),
        ("day", ["2013-02-27", "2013-02-28", "2013-03-01"], "2013-03-01", ()),
        ("hour", ["2013-01-01T22", "2013-01-02T00"], "2013-01-01T22", ("2013-01-01T23",)),
        ("week", ["2012-12-31"], "2012-12-31", ()),
    ],
)
def test_the_watermark_stands_before_the_first_gap(
    uri: str, grain: str, keys: list[str], watermark: str, gaps: tuple[str, ...]
) -> None:
    for key in reversed(keys):
        publish(uri, key, grain)
    assert tables.coverage(uri) == Coverage(
        partitions=len(keys), first=keys[0], watermark=watermark, last=keys[-1], gaps=gaps
    )


def test_history_tells_who_published_what_when(uri: str) -> None:
    began = datetime.now(UTC)
    publish(uri, "2013-01", "month", run="first")
    publish(uri, "2013-02", "month", run="second")
    second, first = tables.history(uri)
    assert (first.run, first.source, first.version.partition) == ("first", "here", "2013-01")
    assert second.run == "second"
    assert began.replace(microsecond=0) <= first.committed_at <= second.committed_at <= datetime.now(UTC)
