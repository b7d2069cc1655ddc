from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.cli.cli_parser import get_parser

from airflow_mlops import config
from airflow_mlops.cli import terminal
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.stores.tables import tables
from history import MODEL, History, rows_of, shifted
from unit.stores.test_retention import age

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    found = History(tmp_path)
    options = {"storage": found.storage, "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__MLOPS__{name.upper()}", value)
        getattr(config, name).cache_clear()
    yield found
    for name in options:
        getattr(config, name).cache_clear()


def datasets(*command: str) -> None:
    args = get_parser().parse_args(["mlops", "datasets", *command])
    args.func(args)


def printed(capsys: Capture, *command: str) -> Any:
    datasets(*command, "--output", "json")
    return json.loads(capsys.readouterr().out)


def widened(history: History, key: str) -> DatasetVersion:
    """Publish a month with one column more."""
    rows = rows_of(key)
    return history.publish(key, rows.append_column("gust", pa.array([1.5] * rows.num_rows)))


def test_versions_are_listed_oldest_first(history: History, capsys: Capture) -> None:
    versions = [
        history.publish("2013-01"),
        history.publish("2013-02"),
        history.publish("2013-01", shifted("2013-01")),
    ]
    found = printed(capsys, "list", MODEL)
    assert [(int(row["version"]), row["partition"], int(row["rows"]), row["digest"]) for row in found] == [
        (each.version, each.partition, each.rows, each.digest[:12]) for each in versions
    ]
    assert (found[0]["source"], found[0]["run"], found[0]["transform"]) == ("test", "test", "")
    assert [row["partition"] for row in printed(capsys, "list", MODEL, "--partition", "2013-02")] == [
        "2013-02"
    ]


def test_watermark_and_gaps_follow_the_table(history: History, capsys: Capture) -> None:
    for key in ("2013-01", "2013-02", "2013-04"):
        history.publish(key)
    datasets("list", MODEL)
    told = capsys.readouterr().out.splitlines()[-3:]
    assert told == [
        "Published: 3 partitions, 2013-01 to 2013-04",
        "Watermark: 2013-02, the last before which none is missing",
        "Gaps: 1: 2013-03",
    ]


def test_without_a_name_all_datasets_are_listed(history: History, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="No dataset was published at file://"):
        datasets("list")
    history.publish("2013-01")
    history.decide("2013-01")
    (Path(history.storage.removeprefix("file://")) / "artifacts").mkdir()
    (found,) = printed(capsys, "list")
    assert (found["name"], int(found["partitions"]), found["watermark"]) == (MODEL, 1, "2013-01")
    log = Path(history.storage.removeprefix("file://")) / "damaged" / "data" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{")
    damaged, other = printed(capsys, "list")
    assert (damaged["name"], "cannot be read" in damaged["partitions"], other) == ("damaged", True, found)


@pytest.mark.parametrize("command", [["list"], ["diff"], ["export"], ["vacuum"]])
def test_an_unknown_dataset_is_named_with_its_place(command: list[str], tmp_path: Path) -> None:
    more = {"diff": ["1"], "export": ["--output-file", str(tmp_path / "x.csv")]}.get(command[0], [])
    with pytest.raises(SystemExit, match="Nothing of 'trains' was published at file:.*/trains/data"):
        datasets(*command, "trains", *more)


def test_a_partition_that_was_never_published_is_named(history: History) -> None:
    history.publish("2013-01")
    with pytest.raises(SystemExit, match="Partition 2013-07 of 'flights' was never published"):
        datasets("list", MODEL, "--partition", "2013-07")


def test_two_versions_differ_by_columns_rows_and_digest(history: History, capsys: Capture) -> None:
    before, after = history.publish("2013-01"), widened(history, "2013-01")
    found = {
        row["what"]: (row["before"], row["after"], row["change"])
        for row in printed(capsys, "diff", MODEL, "1")
    }
    rows = str(before.rows)
    assert found == {
        "column gust": ("", "double", "added"),
        "partition": ("2013-01", "2013-01", ""),
        "rows": (rows, rows, ""),
        "digest": (before.digest[:12], after.digest[:12], "changed"),
        "transform": ("", "", ""),
    }
    back = printed(capsys, "diff", MODEL, str(after.version), str(before.version))
    assert (back[0]["what"], back[0]["change"]) == ("column gust", "lost")


def test_a_version_that_published_nothing_is_named_with_those_that_did(history: History) -> None:
    history.publish("2013-01")
    with pytest.raises(SystemExit, match="Version 9 of 'flights' published nothing; those that did are 1"):
        datasets("diff", MODEL, "9")


def test_a_dataset_is_written_as_it_is_as_it_was_and_by_partition(
    history: History, tmp_path: Path, capsys: Capture
) -> None:
    first = history.publish("2013-01")
    history.publish("2013-02")
    last = history.publish("2013-01", shifted("2013-01"))
    file = tmp_path / "rows.parquet"

    def export(*options: str) -> pa.Table:
        datasets("export", MODEL, "--output-file", str(file), "--overwrite", *options)
        return pq.read_table(file)

    for options, version, partition in (
        ([], last.version, None),
        (["--version", str(first.version)], first.version, None),
        (["--partition", "2013-02"], last.version, "2013-02"),
        (["--version", str(first.version), "--partition", "2013-01"], first.version, "2013-01"),
    ):
        expected = tables.read(history.uri("data"), version=version, partition=partition)
        assert export(*options).equals(expected)
        told = f"rows of flights{f' {partition}' if partition else ''}, version {version}.\n"
        assert capsys.readouterr().out == f"{file}: {expected.num_rows:,} {told}"


def test_as_of_is_the_time_of_publishing(history: History, tmp_path: Path, capsys: Capture) -> None:
    former = history.publish("2013-01")
    age(history.uri("data"), 10)
    history.publish("2013-01", shifted("2013-01"))
    file, now = tmp_path / "rows.csv", datetime.now(UTC)
    days = [now - timedelta(days=5), now + timedelta(days=1)]
    for time, version in zip(
        [f"{days[0]:%Y-%m-%d}", days[1].isoformat()], (former.version, former.version + 1), strict=True
    ):
        datasets("export", MODEL, "--output-file", str(file), "--overwrite", "--as-of", time)
        assert f", version {version}." in capsys.readouterr().out
    with pytest.raises(
        SystemExit, match=r"published by 2013-02-01 00:00:00 UTC; the first was at .* not that of the"
    ):
        datasets("export", MODEL, "--output-file", str(file), "--overwrite", "--as-of", "2013-02-01")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--version", "9"], "'flights' has no version 9; the latest is 1"),
        (["--version", "1", "--as-of", "2013-01-01"], "a version or a time, not both"),
        (["--as-of", "yesterday"], "Invalid isoformat string: 'yesterday'"),
        (["--partition", "2013-07"], "has no partition 2013-07; it has 2013-01"),
        (["--output-file", "rows.xlsx"], "must end in one of"),
        (["--output-file", "/nowhere/rows.csv"], "there is no folder /nowhere"),
    ],
)
def test_what_cannot_be_written_is_told(
    history: History, tmp_path: Path, options: list[str], told: str
) -> None:
    history.publish("2013-01")
    with pytest.raises(SystemExit, match=told):
        datasets("export", MODEL, "--output-file", str(tmp_path / "rows.csv"), *options)
    assert not (tmp_path / "rows.csv").exists()


@pytest.mark.slow
def test_a_vacuum_tells_first_and_spares_what_the_champion_learned_from(
    history: History, tmp_path: Path, capsys: Capture
) -> None:
    history.publish("2013-01")
    versions = [history.publish("2013-02", shifted("2013-02", by)) for by in range(3)]
    history.crown(history.train(versions[0]), "2013-02")
    age(history.uri("data"), 60)
    stays = f"Version {versions[0].version} stays: version 1 of 'flights' was trained on it, and is or was champion."
    datasets("vacuum", MODEL)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == stays
    assert told[-1].startswith("data: 1 files of 0.0 MB can be removed (--delete removes them)")
    assert tables.read(versions[1].uri, version=versions[1].version).num_rows
    datasets("vacuum", MODEL, "--delete")
    assert capsys.readouterr().out.splitlines()[-1].endswith("were removed.")
    assert tables.read(versions[0].uri, version=versions[0].version).num_rows
    with pytest.raises(
        SystemExit, match=f"Version {versions[1].version} of 'flights' was removed by a vacuum"
    ):
        datasets(
            "export", MODEL, "--output-file", str(tmp_path / "x.csv"), "--version", str(versions[1].version)
        )


def test_a_vacuum_refuses_if_mlflow_does_not_know_the_champion(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    monkeypatch.setenv("AIRFLOW__MLOPS__TRACKING_URI", f"sqlite:///{history.folder}/other.db")
    config.tracking_uri.cache_clear()
    with pytest.raises(SystemExit, match="The ledger names champions of flights, of which MLflow at"):
        datasets("vacuum", MODEL, "--delete")


def test_a_vacuum_refuses_while_a_ledger_lies_where_no_spec_could_have_it(history: History) -> None:
    history.publish("2013-01")
    Path(f"{history.storage.removeprefix('file://')}/Former Flights/ledger/_delta_log").mkdir(parents=True)
    with pytest.raises(
        SystemExit, match="'Former Flights' under .* has a promotion ledger.*nothing is removed"
    ):
        datasets("vacuum", MODEL, "--delete")


def test_a_vacuum_of_no_days_is_refused(history: History) -> None:
    history.publish("2013-01")
    assert history.client
    with pytest.raises(SystemExit, match="0 days are too few"):
        datasets("vacuum", MODEL, "--days", "0")


@pytest.mark.parametrize(
    "command",
    [
        "datasets list ../evil",
        "datasets vacuum ../evil",
        "datasets export ../evil --output-file x.csv",
        "quarantine list ../evil",
        "history ../evil",
        "rollback ../evil --reason wrong",
        "suggest ../evil",
    ],
)
def test_a_name_that_no_spec_could_have_is_refused_by_every_command(command: str) -> None:
    args = get_parser().parse_args(["mlops", *command.split()])
    with pytest.raises(SystemExit, match=r"^dataset or model: '\.\./evil' cannot name .* for example evil$"):
        args.func(args)


def test_folders_that_are_no_datasets_are_not_listed(history: History, capsys: Capture) -> None:
    history.publish("2013-01")
    for name in ("reports", "artifacts", "lost+found"):
        Path(history.storage.removeprefix("file://"), name).mkdir()
    assert [row["name"] for row in printed(capsys, "list")] == [MODEL]


def test_a_terminal_of_80_columns_has_room_for_a_list(
    history: History, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish("2013-01")
    history.publish("2013-01", shifted("2013-01"))
    Path(f"{history.storage.removeprefix('file://')}/torn/data/_delta_log").mkdir(parents=True)
    Path(f"{history.storage.removeprefix('file://')}/torn/data/_delta_log/{0:020}.json").write_text("{")
    monkeypatch.setattr(terminal, "width", lambda: 80)
    for command in (["list", MODEL], ["list"]):
        datasets(*command)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80 + len(history.storage)
        tables_lines = [line for line in lines if "|" in line]
        assert len(tables_lines) == (3 if len(command) > 1 else 2)
        assert max(map(len, tables_lines)) <= 80
        assert ("--output json, has transform" in "\n".join(lines)) == (len(command) > 1)
    assert any(line.startswith("torn: ") for line in lines)
    monkeypatch.setattr(terminal, "width", lambda: 200)
    datasets("list", MODEL)
    assert "transform" in capsys.readouterr().out.splitlines()[0]
