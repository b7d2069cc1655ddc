"""The way from a spec to a source, and from there to the triggerer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops import config
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.source import Source as SpecSource
from airflow_mlops.exceptions import PlaceRefused, SourceUnreadable
from airflow_mlops.hooks.sources import (
    DatasetSource,
    DeltaSource,
    FileSource,
    PythonSource,
    Source,
    SqlSource,
    from_spec,
    pack,
    unpack,
)
from airflow_mlops.stores.tables import tables

JANUARY = Partition.parse("2013-01", "month")
ROWS = pa.table({"id": [1, 2], "x": ["a", "b"]})


SPECS: list[tuple[dict[str, Any], Source]] = [
    ({"python": "a:b"}, PythonSource("a:b")),
    ({"python": {"function": "a:b", "arrived": "a:c"}}, PythonSource("a:b", "a:c")),
    ({"files": "{partition}.csv"}, FileSource("{partition}.csv")),
    (
        {
            "files": {
                "path": "{year}.txt",
                "conn_id": "c",
                "format": "csv",
                "nulls": ["-"],
                "types": {"a": "bool"},
            }
        },
        FileSource("{year}.txt", "c", "csv", nulls=("-",), types={"a": "bool"}),
    ),
    (
        {"files": {"path": "{year}.csv", "decimal": ",", "percent": ["a"], "times": {"b": "%d.%m.%Y"}}},
        FileSource("{year}.csv", decimal=",", percent=("a",), times={"b": "%d.%m.%Y"}),
    ),
    ({"sql": {"conn_id": "c", "query": "select :start"}}, SqlSource("c", "select :start")),
    ({"delta": "s3://b/t"}, DeltaSource("s3://b/t")),
    (
        {"delta": {"dataset": "m", "table": "predictions", "event_time": "at", "version": 2}},
        DatasetSource("m", "predictions", "at", 2),
    ),
]


@pytest.mark.parametrize(("spec", "source"), SPECS, ids=[str(spec) for spec, _ in SPECS])
def test_a_spec_gives_its_source_which_survives_the_way_to_the_triggerer(
    spec: dict[str, Any], source: Source
) -> None:
    made = from_spec(SpecSource.from_dict(spec))
    assert made == source
    packed = json.loads(json.dumps(pack(made)))
    assert pack(unpack(packed)) == packed
    assert unpack(packed).describe(JANUARY) == source.describe(JANUARY)


def test_a_function_goes_to_the_triggerer_by_its_name() -> None:
    packed = pack(PythonSource("a:b", arrived=os.path.exists))
    assert packed["values"]["arrived"] == f"{os.path.exists.__module__}:exists"
    with pytest.raises(SourceUnreadable, match=r"cannot be imported by the triggerer; put it in a module"):
        pack(PythonSource(lambda partition: None))


def test_a_table_of_another_dataset_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "storage", lambda: f"file://{tmp_path}")
    source = DatasetSource("flights", "predictions")
    assert source.stamp(JANUARY) is None
    tables.replace_partition(f"file://{tmp_path}/flights/predictions", ROWS, "2013-01")
    assert pa.Table.from_batches(source.batches(JANUARY)) == ROWS
    assert source.stamp(JANUARY)
    assert source.describe(JANUARY) == f"file://{tmp_path}/flights/predictions"


@pytest.mark.parametrize("named", [{"dataset": "../evil"}, {"dataset": "flights", "table": "../../evil"}])
def test_a_dataset_named_by_hand_obeys_the_rule_of_specs(named: dict[str, str]) -> None:
    source = DatasetSource(**named)
    for read in (lambda: list(source.batches(JANUARY)), lambda: source.stamp(JANUARY)):
        with pytest.raises(PlaceRefused, match="cannot name"):
            read()
