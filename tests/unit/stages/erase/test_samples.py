from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops.exceptions import TableUnreadable
from airflow_mlops.stages.erase import samples
from airflow_mlops.stores.tables import tables
from damaged import DAMAGED


def reports(folder: Path, text: str) -> str:
    uri = f"file://{folder}/validation"
    tables.replace_partition(uri, pa.table({"report": [text]}), "2013-01")
    return uri


def test_samples_leave_a_report_and_the_rest_stays(tmp_path: Path) -> None:
    report = {"verdict": "FAIL", "sample": {"x": [1]}, "results": [{"column": "x", "samples": ["secret"]}]}
    uri = reports(tmp_path, json.dumps(report))
    samples.take_out(uri, ["2013-01"])
    (text,) = tables.read(uri)["report"].to_pylist()
    assert json.loads(text) == {
        "verdict": "FAIL",
        "sample": None,
        "results": [{"column": "x", "samples": []}],
    }


@pytest.mark.parametrize(
    "text", [text for text in DAMAGED if text != '{"a": 1}'], ids=range(len(DAMAGED) - 1)
)
def test_a_report_that_is_damaged_is_an_error_of_ours_and_stays(tmp_path: Path, text: str) -> None:
    uri = reports(tmp_path, text)
    with pytest.raises(
        TableUnreadable, match="A report on validation, whose samples cannot be taken out, was"
    ):
        samples.take_out(uri, ["2013-01"])
    assert tables.read(uri)["report"].to_pylist() == [text]
