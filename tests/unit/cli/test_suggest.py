from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from airflow.cli.cli_parser import get_parser

from airflow_mlops import config
from airflow_mlops.stores.tables import tables


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}/store")
    monkeypatch.chdir(tmp_path)
    config.storage.cache_clear()
    yield f"file://{tmp_path}/store"
    config.storage.cache_clear()


@pytest.fixture
def orders(storage: str) -> None:
    rows = pa.table({"id": [1, 2], "at": [datetime(2013, 1, 1, tzinfo=UTC)] * 2, "weight": [1.5, 2.5]})
    tables.publish(
        tables.uri_of(storage, "orders", "data"), rows, name="orders", grain="month", partition="2013-01",
        key=["id"], event_time="at", source="test", run="test",
    )  # fmt: skip


def suggest(*command: str) -> None:
    args = get_parser().parse_args(["mlops", "suggest", *command])
    args.func(args)


def test_a_suite_is_printed(orders: None, capsys: pytest.CaptureFixture[str]) -> None:
    suggest("orders", "--partitions", "3")
    assert len(yaml.safe_load(capsys.readouterr().out)["validate"]) > 5


def test_a_suite_is_written_and_only_replaced_when_asked(
    orders: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suggest("orders", "--output-file", "suite.yaml")
    count = len(yaml.safe_load((tmp_path / "suite.yaml").read_text())["validate"])
    assert capsys.readouterr().out == f"suite.yaml: {count} expectations to review.\n"
    with pytest.raises(
        SystemExit, match=r"suite.yaml is there already; name another file, or add --overwrite"
    ):
        suggest("orders", "--output-file", "suite.yaml")
    suggest("orders", "--output-file", "suite.yaml", "--overwrite")


def test_text_that_looks_like_numbers_is_named(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pa.table(
        {"id": [1, 2, 3], "at": [datetime(2013, 1, 1, tzinfo=UTC)] * 3, "weight": ["1,5", "2,5", "3"]}
    )
    tables.publish(
        tables.uri_of(storage, "orders", "data"), rows, name="orders", grain="month", partition="2013-01",
        key=["id"], event_time="at", source="test", run="test",
    )  # fmt: skip
    suggest("orders")
    printed = capsys.readouterr().out
    assert "# 'weight' is text, and looks like numbers in another notation: '1,5' (2013-01)" in printed
    assert "write in source.files: decimal: ','" in printed
    assert len(yaml.safe_load(printed)["validate"]) > 5


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["trains"], r"Nothing has been published at .*/store/trains/data yet"),
        (["orders", "--partitions", "0"], "--partitions must be at least 1, not 0"),
        (["orders", "--output-file", "none/suite.yaml"], "none/suite.yaml"),
    ],
)
def test_what_cannot_be_done_is_no_traceback(orders: None, command: list[str], told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        suggest(*command)
