from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from airflow.cli.cli_parser import get_parser
from sqlalchemy import text

from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.facts.validation import Sample
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.exceptions import NotReproduced, TableUnreadable, WriteConflict
from airflow_mlops.hooks.outputs import SqlWriter
from airflow_mlops.learning.labels import labels
from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.entries import State
from airflow_mlops.reporting.alerts.notice import Finding
from airflow_mlops.stages.erase import erase as stage
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import batches, run
from airflow_mlops.stores.outputs.tables import ScoredPartition
from airflow_mlops.stores.tables import erasure, journal, log, tables, versions
from contexts import deploy
from databases import KINDS, connected
from history import MODEL, History, month, rows_of
from notices import make_notice

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

Capture = pytest.CaptureFixture[str]
PERSON = "zz-the-person"
"""The greatest text of its column, so that the log of a table has it as the end of a range."""


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    monkeypatch.setattr("airflow.secrets.metastore.MetastoreBackend.get_connection", lambda *_, **__: None)
    monkeypatch.setattr("airflow_mlops.cli.connect.find_code", lambda: [tmp_path])
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def mlops(*command: str) -> None:
    args = get_parser().parse_args(["mlops", *command])
    args.func(args)


def erase(*options: str) -> None:
    mlops("erase", MODEL, *options)


def erase_person() -> None:
    erase("--where", f"passenger={PERSON}", "--reason", "asked for it", "--delete")


def passengers(key: str, person: int = 0) -> pa.Table:
    """Return one month's flights, some of which are the person's."""
    rows = rows_of(key)
    numbers = pa.array([f"flight-{number}." for number in rows["flight"].to_pylist()])
    rows = rows.set_column(rows.column_names.index("flight"), "flight", numbers)
    names = [PERSON if index < person else f"p{index}" for index in range(rows.num_rows)]
    return rows.append_column("passenger", pa.array(names))


def flights(rows: pa.Table) -> list[str]:
    """Return the keys of the person's flights."""
    return rows.filter(pc.equal(rows["passenger"], PERSON))["flight"].to_pylist()


def predict(history: History, dataset: DatasetVersion) -> None:
    """Leave the predictions that scoring leaves."""
    rows = tables.read(dataset.uri, partition=dataset.partition)
    scores = batches.Scores(pa.array([0.5] * rows.num_rows).to_numpy(), None)
    ref = ModelRef(model=MODEL, version="1", digest="d", run_id="r")
    made = batches.predictions(rows, dataset, scores, ref, datetime(2013, 3, 1, tzinfo=UTC))
    tables.replace_partition(history.uri("predictions"), made, dataset.partition)


def label(history: History, rows: pa.Table, key: str) -> None:
    labels.write(
        history.uri("labels"), rows, month(key), key=["flight"], event_time="departure", target="late",
        task="classification",
    )  # fmt: skip


def held(history: History, values: set[str]) -> list[str]:
    """Return the files below the storage that hold any of some values, whatever version they belong to."""
    holding = []
    for path in sorted(Path(history.storage.removeprefix("file://")).rglob("*")):
        if path.suffix == ".parquet":
            texts = {
                str(cell)
                for column in pq.read_table(path, partitioning=None).columns
                for cell in column.to_pylist()
            }
            if values & texts or any(value in text for text in texts for value in values):
                holding.append(path.name)
        elif path.is_file() and any(value in path.read_text(errors="replace") for value in values):
            holding.append(path.name)
    return holding


def test_without_delete_it_tells_what_goes_and_changes_nothing(history: History, capsys: Capture) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    dataset = history.publish("2013-02", passengers("2013-02"))
    history.crown(history.train(dataset), "2013-02")
    predict(history, versions.published(history.uri("data"), "2013-01"))  # type: ignore[arg-type]
    before = {path: path.read_bytes() for path in history.folder.rglob("storage/**/*") if path.is_file()}
    erase("--where", f"passenger={PERSON}")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == (
        "data: 3 rows in partitions 2013-01; 1 files hold them; versions 1–2 cannot be read afterwards."
    )
    assert told[1].startswith(
        "predictions: 3 rows in partitions 2013-01; 1 files hold them; versions 1 cannot"
    )
    assert told[2] == "Cannot be trained again afterwards: version 1 of 'flights'."
    assert told[-1].startswith("Nothing was erased; --delete does it. Erase them at the source too")
    assert before == {
        path: path.read_bytes() for path in history.folder.rglob("storage/**/*") if path.is_file()
    }


def test_the_rows_leave_every_table_every_version_every_file_and_the_log(
    history: History, capsys: Capture
) -> None:
    rows = passengers("2013-01", 3)
    keys = flights(rows)
    first = history.publish("2013-01", passengers("2013-01", 5))
    keys += flights(passengers("2013-01", 5))
    dataset = history.publish("2013-01", rows)
    label(history, rows, "2013-01")
    predict(history, dataset)
    tables.replace_partition(history.uri("quarantine"), rows.slice(0, 2), "2013-01")
    assert held(history, {PERSON, *keys})
    erase_person()
    assert held(history, {PERSON, *keys}) == []
    for table in ("data", "labels", "predictions"):
        assert not {*keys} & {*tables.read(history.uri(table))["flight"].to_pylist()}
    assert tables.read(history.uri("data")).num_rows == rows.num_rows - 5
    assert tables.read(history.uri("quarantine")).num_rows == 0
    with pytest.raises(TableUnreadable, match="a file that is gone"):
        tables.read(first.uri, version=first.version)
    capsys.readouterr()
    erase("--where", f"passenger={PERSON}")
    assert "data: no rows." in capsys.readouterr().out


def test_a_row_that_was_theirs_in_an_earlier_version_alone_is_found_by_its_key(history: History) -> None:
    history.publish("2013-01", passengers("2013-01", 1))
    history.publish("2013-01", passengers("2013-01"))
    key = flights(passengers("2013-01", 1))[0]
    erase_person()
    assert key not in tables.read(history.uri("data"))["flight"].to_pylist()
    assert held(history, {PERSON, key}) == []


def test_digest_and_counts_of_the_new_version_are_those_of_what_is_read(history: History) -> None:
    before = history.publish("2013-01", passengers("2013-01", 3))
    erase_person()
    after = versions.published(before.uri, "2013-01")
    assert after is not None
    rows = tables.read(after.uri, version=after.version, partition="2013-01")
    assert (after.rows, after.digest) == (rows.num_rows, tables.digest(rows))
    assert after.rows == before.rows - 3
    assert after.difference is not None
    assert (after.difference.removed, after.columns) == (3, before.columns)
    # The same rows ingested again are nothing new.
    again = history.publish("2013-01", rows)
    assert (again.changed, again.version) == (False, after.version)


def test_another_partition_goes_on_at_a_version_that_can_be_read(history: History) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    before = history.publish("2013-02", passengers("2013-02"))
    erase_person()
    after = versions.published(before.uri, "2013-02")
    assert after is not None
    assert (after.digest, after.rows) == (before.digest, before.rows)
    assert after.version > before.version
    assert tables.read(after.uri, version=after.version).num_rows == tables.read(after.uri).num_rows
    trained = history.train(after)
    assert trained.dataset == after
    assert versions.newest(before.uri)["2013-02"] == after
    # A version that is published later stands for itself.
    later = history.publish("2013-02", passengers("2013-02").slice(1))
    assert versions.published(before.uri, "2013-02") == later.model_copy(update={"difference": None})


def test_predictions_name_the_new_version_so_that_scoring_has_nothing_to_do(history: History) -> None:
    dataset = history.publish("2013-01", passengers("2013-01", 3))
    predict(history, dataset)
    erase_person()
    after = versions.published(dataset.uri, "2013-01")
    assert after is not None
    champion = ModelRef(model=MODEL, version="1", digest="d", run_id="r")
    assert run.is_done(run.ScoringPlan(after, champion, history.uri("predictions")))


def test_a_partition_of_which_nothing_stays_is_a_gap(history: History) -> None:
    history.publish("2013-01", passengers("2013-01", 2).slice(0, 2))
    history.publish("2013-02", passengers("2013-02"))
    erase_person()
    assert versions.partitions(history.uri("data")) == ["2013-02"]
    assert versions.published(history.uri("data"), "2013-01").rows == 0  # type: ignore[union-attr]


def test_the_record_says_who_when_why_how_many_and_no_value(history: History, capsys: Capture) -> None:
    before = history.publish("2013-01", passengers("2013-01", 3))
    history.crown(history.train(history.publish("2013-02", passengers("2013-02"))), "2013-02")
    erase_person()
    begun, done = stage.erasures(history.uri("erasures"))
    assert (begun[1], done[1], done[3]) == ("begun", "done", "asked for it")
    facts = done[4]
    assert (facts.columns, facts.subjects, facts.rows) == (("passenger",), 1, 3)
    part = facts.tables[0].partitions[0]
    after = versions.published(before.uri, "2013-01")
    assert after is not None
    assert (part.before, part.after) == (before.digest, after.digest)
    assert facts.models == ("version 1 of 'flights'",)
    assert PERSON not in json.dumps(tables.read(history.uri("erasures")).to_pylist(), default=str)
    capsys.readouterr()
    mlops("erasures", MODEL, "--output", "json")
    listed = json.loads(capsys.readouterr().out)
    assert [(row["stage"], row["rows"], row["chosen by"]) for row in listed] == [
        ("begun", "3", "passenger"),
        ("done", "3", "passenger"),
    ]


def test_a_model_that_keeps_rows_is_named_with_what_keeps_them(history: History, capsys: Capture) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    dataset = history.publish("2013-02", passengers("2013-02"))
    history.train(dataset)
    outliers = {"sklearn.neighbors.LocalOutlierFactor": {"novelty": True, "calibrate": "sigmoid"}}
    history.train(dataset, candidate=Candidate.from_dict(outliers))
    erase("--where", f"passenger={PERSON}")
    said = capsys.readouterr().out
    assert "Cannot be trained again afterwards: version 1 of 'flights', version 2 of 'flights'." in said
    keeper = "version 2 of 'flights' (sklearn.neighbors.LocalOutlierFactor)"
    assert f"Keep rows that they were fitted to, in the model itself: {keeper}." in said
    erase_person()
    assert stage.erasures(history.uri("erasures"))[-1][4].keeping == (keeper,)


def test_what_cannot_be_repeated_afterwards_says_why(history: History, tmp_path: Path) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    dataset = history.publish("2013-02", passengers("2013-02"))
    history.crown(history.train(dataset), "2013-02")
    erase_person()
    with pytest.raises(NotReproduced, match="cannot be read any more: .* an erasure .*erasures flights"):
        reproduce.reproduce(history.client, MODEL, "1", lambda _: None, ())
    with pytest.raises(SystemExit, match="was removed by a vacuum or an erasure"):
        mlops("datasets", "export", MODEL, "--output-file", str(tmp_path / "x.csv"), "--version", "1")


def test_rows_are_named_by_a_file_of_keys_too(history: History, tmp_path: Path) -> None:
    rows = passengers("2013-01")
    history.publish("2013-01", rows)
    keys = rows["flight"].to_pylist()[:2]
    file = tmp_path / "keys.csv"
    file.write_text("flight\n" + "\n".join(keys) + "\n")
    erase("--keys", str(file), "--reason", "asked for it", "--delete")
    assert not {*keys} & {*tables.read(history.uri("data"))["flight"].to_pylist()}
    assert held(history, {*keys}) == []


def test_several_columns_have_to_hold_together() -> None:
    rows = pa.table({"a": [1, 1, 2], "b": ["x", "y", "x"]})
    assert _among(rows, ("a", "b"), [("1", "x"), ("2", "y")]) == [True, False, False]
    assert _among(rows, ("a",), [("1",)]) == [True, True, False]
    assert _among(rows, ("a",), [("x",)]) == [False, False, False]


def _among(rows: pa.Table, columns: tuple[str, ...], values: list[tuple[str, ...]]) -> list[bool]:
    hits: Any = erasure.Rows(columns, frozenset(values)).among(rows, "2013-01")
    return [bool(hit) for hit in hits]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("number", "7"),
        ("text", "007"),
        ("time", "2013-01-01T10:00:00+00:00"),
        ("real", "1.5"),
        ("flag", "true"),
    ],
)
def test_a_text_finds_the_value_of_every_type_of_key(column: str, text: str) -> None:
    rows = pa.table(
        {
            "number": [7, 8],
            "text": ["007", "7"],
            "time": pa.array([datetime(2013, 1, 1, 10, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "real": [1.5, 2.5],
            "flag": [True, False],
        }
    )
    assert _among(rows, (column,), [(text,)]) == [True, False]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--where", "nobody=1"],
            "No table has a column 'nobody'; rows are chosen by carrier, delay, departure, ",
        ),
        (
            ["--where", "departure=soon"],
            "The value of 'departure' in row 1 is no timestamp.*; write it like 2024-10-28",
        ),
        (["--where", "passenger="], "The value of 'passenger' in row 1 is no string; it is empty"),
        (["--where", "passenger"], "Write --where column=value"),
        ([], "Name the rows by --where column=value or by --keys FILE"),
        (["--where", "passenger=x", "--delete"], "--reason is empty"),
    ],
)
def test_what_names_no_rows_is_refused_with_what_would(
    history: History, options: list[str], problem: str
) -> None:
    history.publish("2013-01", passengers("2013-01"))
    with pytest.raises(SystemExit, match=problem):
        erase(*options)


def test_a_dataset_that_was_never_ingested_is_told() -> None:
    with pytest.raises(SystemExit, match="Nothing of it was ever ingested"):
        erase("--where", "passenger=x")
    with pytest.raises(SystemExit, match="Nothing was ever erased from 'flights'"):
        mlops("erasures", MODEL)


def test_killed_between_writing_and_deleting_it_is_finished_by_its_repetition(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = history.publish("2013-01", passengers("2013-01", 3))
    predict(history, dataset)
    with monkeypatch.context() as killed:
        killed.setattr(erasure, "remove", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(SystemExit, match="killed"):
            erase_person()
    assert held(history, {PERSON})
    erase_person()
    assert held(history, {PERSON}) == []
    assert [step for _, step, *_ in stage.erasures(history.uri("erasures"))] == ["begun", "begun", "done"]
    after = versions.published(dataset.uri, "2013-01")
    assert after is not None
    assert {*tables.read(history.uri("predictions"))["dataset_digest"].to_pylist()} == {after.digest}


def test_outputs_that_a_killed_erasure_did_not_reach_are_written_by_its_repetition(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(history, history.publish("2013-01", passengers("2013-01", 3)))
    with monkeypatch.context() as killed:
        killed.setattr(stage, "_note", lambda *args: noted(*args) if args[1] == "begun" else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erase_person()
    left, _ = stage.plan(history.client, MODEL, _uris(history), ["passenger"], [[PERSON]])
    assert left.touched("predictions") == []
    assert stage.delivered(left, history.uri("erasures")) == ["2013-01"]
    erase_person()
    assert stage.delivered(left, history.uri("erasures")) == []


noted = stage._note


def _uris(history: History) -> dict[str, str]:
    return {table: history.uri(table) for table in stage.TABLES}


def test_a_run_that_brings_the_rows_back_meanwhile_is_told(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    rewrite = erasure.rewrite

    def and_back(*args: Any, **options: Any) -> Any:
        done = rewrite(*args, **options)
        history.publish("2013-01", passengers("2013-01", 2))
        return done

    monkeypatch.setattr(erasure, "rewrite", and_back)
    with pytest.raises(SystemExit, match="A run wrote rows to data 2013-01 meanwhile .* pause the DAGs"):
        erase_person()
    assert issubclass(WriteConflict, RuntimeError)


def test_a_file_that_a_run_has_not_committed_yet_stays_until_it_is_a_day_old(history: History) -> None:
    version = history.publish("2013-01", passengers("2013-01"))
    folder = Path(version.uri.removeprefix("file://"), "_partition=2013-01")
    orphan = folder / "part-orphan.parquet"
    pq.write_table(passengers("2013-01", 1), orphan)
    with pytest.raises(
        SystemExit, match="1 files that hold the rows are of no version .* Run this again tomorrow"
    ):
        erase_person()
    assert orphan.exists()
    old = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    import os

    os.utime(orphan, (old, old))
    erase_person()
    assert not orphan.exists()


def test_versions_of_a_table_with_a_checkpoint_stay_readable_and_the_checkpoint_tells_no_value(
    history: History,
) -> None:
    february = history.publish("2013-02", passengers("2013-02"))
    january = history.publish("2013-01", passengers("2013-01", 3))
    tables.open_table(january.uri).create_checkpoint()
    erase_person()
    assert held(history, {PERSON}) == []
    assert tables.read(february.uri, version=february.version).num_rows == february.rows
    spans = log.spans(january.uri)
    assert {span.first for span in spans.values()} == {1, 2, 3}


def test_pages_and_reports_of_a_validation_lose_their_samples(history: History) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    report = {"results": [{"samples": [PERSON], "outcome": "FAIL"}], "sample": {"rows": [[PERSON]]}}
    row = {"partition": "2013-01", "verdict": "PASS", "report": json.dumps(report)}
    tables.replace_partition(history.uri("validation"), pa.Table.from_pylist([row]), "2013-01")
    pages = Path(history.storage.removeprefix("file://"), "reports", MODEL, "2013-01")
    pages.mkdir(parents=True)
    for kind in ("validation", "drift"):
        (pages / f"{kind}.html").write_text("<p>")
    (pages / "validation.html").write_text(PERSON)
    erase_person()
    assert held(history, {PERSON}) == []
    assert [page.name for page in pages.iterdir()] == ["drift.html"]
    kept = json.loads(tables.read(history.uri("validation"))["report"][0].as_py())
    assert kept == {"results": [{"samples": [], "outcome": "FAIL"}], "sample": None}


def test_notices_in_the_outbox_lose_their_samples_in_every_version(history: History, capsys: Capture) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    uri, sample = history.uri("outbox"), Sample(columns=("passenger",), rows=((PERSON,),), reasons=("age",))
    finding = Finding(name="age", expected="18 or more", observed="17", samples=(PERSON,))
    for name in ("sent", "waiting"):
        notice = make_notice(id=name, key=name, topic=name)
        outbox.put(uri, notice.model_copy(update={"sample": sample, "findings": (finding,)}))
        if name == "sent":
            outbox.deliver(uri, lambda *_: Receipt(settled=("a@b.c",)), lambda _: ["a@b.c"])
    before = {entry.notice.id: entry.state for entry in outbox.entries(uri)}
    assert before == {"sent": State.SENT, "waiting": State.PENDING}
    assert held(history, {PERSON})
    erase("--where", f"passenger={PERSON}")
    assert "Notices in the outbox lose their samples: 2." in capsys.readouterr().out.splitlines()
    erase_person()
    assert held(history, {PERSON}) == []
    assert {entry.notice.id: entry.state for entry in outbox.entries(uri)} == before
    [waiting] = outbox.pending(uri)
    assert (waiting.notice.sample, waiting.notice.findings) == (
        None,
        (finding.model_copy(update={"samples": ()}),),
    )
    # What was told once stays so.
    assert outbox.put(uri, make_notice(id="sent", key="sent", topic="sent")).state is State.SENT


def test_an_outbox_is_forgotten_by_a_repetition_if_the_first_try_was_killed(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    notice = make_notice(id="x", key="x", topic="x")
    sample = Sample(columns=("passenger",), rows=((PERSON,),), reasons=("age",))
    outbox.put(history.uri("outbox"), notice.model_copy(update={"sample": sample}))
    with monkeypatch.context() as killed:
        killed.setattr(journal, "forget_former", lambda _: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(SystemExit, match="killed"):
            erase_person()
    erase_person()
    assert held(history, {PERSON}) == []


def write_spec(tmp_path: Path, outputs: str) -> None:
    (tmp_path / "flights.yaml").write_text(
        "name: flights\nsource: {python: 'a:b'}\npartition: month\nkey: [flight]\nevent_time: departure\n"
        "task: classification\ntarget: late\ntrain: {candidates: [{estimator: sklearn.linear_model.LogisticRegression}]}\n"
        f"score: {{outputs: [{outputs}]}}\n"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_leave_the_sql_table_that_predictions_go_to(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    datasets = [history.publish(key, passengers(key, 3)) for key in ("2013-01", "2013-02")]
    with contextmanager(connected)(kind, tmp_path, monkeypatch) as (engine, name):
        for dataset in datasets:
            predict(history, dataset)
            version = tables.open_table(history.uri("predictions")).version()
            predictions = ScoredPartition(
                MODEL, month(dataset.partition), ("flight",), history.uri("predictions"), version
            )
            SqlWriter("out", name).write(predictions)
        with engine.begin() as connection:
            connection.execute(text(f"update {name} set score = 0.25"))
        write_spec(tmp_path, f"{{sql: {{conn_id: out, table: {name}}}}}")
        chosen = flights(passengers("2013-01", 3))[:1]
        erase("--where", f"flight={chosen[0]}", "--reason", "asked for it", "--delete")
        with engine.connect() as connection:
            stored = connection.execute(text(f"select partition_key, flight, score from {name}")).all()
    assert chosen[0] not in {flight for _, flight, _ in stored}
    assert Counter(key for key, *_ in stored) == {
        "2013-01": datasets[0].rows - 1,
        "2013-02": datasets[1].rows,
    }
    # Only the partition whose predictions changed is written again.
    assert {score for key, _, score in stored if key == "2013-02"} == {0.25}


def test_files_that_predictions_go_to_are_written_again(history: History, tmp_path: Path) -> None:
    dataset = history.publish("2013-01", passengers("2013-01", 3))
    predict(history, dataset)
    write_spec(tmp_path, f"{{files: '{tmp_path}/out/{{partition}}.csv'}}")
    out = tmp_path / "out" / "2013-01.csv"
    out.parent.mkdir()
    key = flights(passengers("2013-01", 3))[0]
    out.write_text(key)
    erase_person()
    assert key not in out.read_text()
    assert len(out.read_text().splitlines()) == dataset.rows - 3 + 1


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz"])
def test_exported_files_that_are_named_lose_the_rows_and_nothing_else(
    history: History, tmp_path: Path, capsys: Capture, ending: str
) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    before, after = (str(tmp_path / f"{name}{ending}") for name in ("before", "after"))
    mlops("datasets", "export", MODEL, "--output-file", before)
    capsys.readouterr()
    erase("--where", f"passenger={PERSON}", "--export", before)
    assert f"Exported file {before}: 3 rows are taken out." in capsys.readouterr().out
    erase("--where", f"passenger={PERSON}", "--export", before, "--reason", "asked for it", "--delete")
    mlops("datasets", "export", MODEL, "--output-file", after)
    assert read(before) == read(after)


def read(path: str) -> object:
    raw = Path(path).read_bytes()
    if path.endswith(".parquet"):
        return pq.read_table(path)
    return gzip.decompress(raw) if path.endswith(".gz") else raw


def test_a_file_that_is_no_export_of_the_dataset_is_refused(history: History, tmp_path: Path) -> None:
    history.publish("2013-01", passengers("2013-01", 3))
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit, match="other.csv has no column by which the rows are found; delete it"):
        erase("--where", f"passenger={PERSON}", "--export", str(other))
    with pytest.raises(SystemExit, match="nowhere.csv is no file that ends in one of"):
        erase("--where", f"passenger={PERSON}", "--export", str(tmp_path / "nowhere.csv"))


def test_a_column_that_has_no_type_yet_has_none_afterwards_either(history: History) -> None:
    for key in ("2013-01", "2013-02"):
        rows = passengers(key, 3)
        if key == "2013-02":
            erase_person()
            note = pa.array(range(rows.num_rows))
        else:
            note = pa.nulls(rows.num_rows)
        staged = ingest.stage(
            FrameSource(rows.append_column("note", note)), month(key), uri=history.uri("staging"), published=history.uri("data"),
            name=MODEL, key=["flight"], event_time="departure", run="test",
        )  # fmt: skip
        version = ingest.publish(staged, uri=history.uri("data"), run="test")
    january = versions.published(history.uri("data"), "2013-01")
    assert january is not None
    assert (january.columns["note"], version.columns["note"]) == ("null", "int64")
    assert tables.read(version.uri).schema.field("note").type == pa.int64()


class FrameSource:
    """Rows that are there."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def describe(self, _: object) -> str:
        return "rows"

    def stamp(self, _: object) -> str:
        return "rows"

    def batches(self, _: object, types: object = None) -> Iterator[pa.RecordBatch]:
        yield from self.rows.to_batches()
