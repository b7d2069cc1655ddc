from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sklearn import datasets

from airflow_mlops import ModelSpec
from airflow_mlops.cli import main
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.hooks.sources import from_spec

IMPORTED = """
import sys
from airflow_mlops.cli.main import main
main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


class Person(io.StringIO):
    """A person at a terminal, who types lines."""

    def isatty(self) -> bool:
        return True


def orders(folder: Path, count: int = 900) -> Path:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    frame = pd.DataFrame(
        {
            "order_id": [f"O{row:04}" for row in range(count)],
            "ordered_at": [f"{start + timedelta(hours=6 * row):%Y-%m-%d %H:%M}" for row in range(count)],
            "amount": [(row * 37 % 101) / 3 for row in range(count)],
            "shop": [f"shop {row % 7}" for row in range(count)],
            "returned": ["yes" if row * 37 % 101 + row * 53 % 89 > 120 else "no" for row in range(count)],
        }
    )
    path = folder / "orders.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def test_guesses_are_taken_and_what_follows_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main.main(["init", str(orders(tmp_path)), "--yes", "--ci"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    lines = [" ".join(line.replace("|", " ").split()) for line in printed.splitlines()]
    assert "order_id text key unique, and its name" in lines
    assert "ordered_at time event time the only column of times, 2024-01-01 to" in lines
    assert "returned text target two values, last column" in lines
    assert "Partition: month, 8 partitions of about 124 rows." in lines
    end = lines[lines.index("Written:") :]
    assert end == [
        "Written:",
        "dags/models/orders.yaml",
        "tests/test_orders.py",
        ".github/workflows/models.yml",
        "dags/orders.py",
        "data/orders/ (8 partitions, 2024-01 to 2024-08, 900 rows)",
        "Next: look at the spec, then",
        "airflow-mlops spec check dags/models/orders.yaml",
        "airflow-mlops run dags/models/orders.yaml",
        "pytest tests/test_orders.py",
    ]
    main.main(["spec", "check", "dags/models/orders.yaml"])
    assert "dags/models/orders.yaml: orders is valid." in capsys.readouterr().out


def test_flags_answer_every_question(tmp_path: Path) -> None:
    flags = "--name refunds --target amount --key order_id,shop --time ordered_at --partition week --label-delay P3D"
    main.main(
        ["init", str(orders(tmp_path)), *flags.split(), "--dags", "my/dags", "--data-folder", "elsewhere"]
    )
    spec = ModelSpec.load("my/dags/models/refunds.yaml")
    assert (spec.target, spec.task, spec.key) == ("amount", "regression", ("order_id", "shop"))
    assert (spec.event_time, spec.partition, spec.labels.delay) == ("ordered_at", "week", timedelta(days=3))
    assert spec.source.files is not None
    assert spec.source.files.path == f"{tmp_path}/elsewhere/{{partition}}.parquet"
    assert len(list((tmp_path / "elsewhere").iterdir())) == 33


def test_nobody_to_ask_is_refused_with_every_flag_and_its_guess(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["init", str(orders(tmp_path)), "--key", "order_id"])
    message = str(ended.value)
    assert message.startswith(
        "nobody can be asked here; take the guesses with --yes, or give --target (returned: two"
    )
    for guess in ("--time (ordered_at:", "--partition (month: 8 partitions", "--label-delay (P0D:"):
        assert guess in message
    assert "--key" not in message
    assert not (tmp_path / "dags").exists()


def test_a_person_is_asked_with_a_guess_and_corrects_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["returnd", "", "ordered", "amount", "", "order-id", "none", "fortnight", "week", "a week", "P7D"]
    monkeypatch.setattr(sys, "stdin", Person("\n".join(typed) + "\n"))
    main.main(["init", str(orders(tmp_path))])
    printed = capsys.readouterr().out
    for sentence in (
        "What is predicted? returned: two values, last column",
        "target: there is no column 'returnd'; did you mean 'returned'?",
        "time: there is no column 'ordered'; did you mean 'ordered_at'?",
        "time: 'amount' holds numbers, and no times",
        "key: there is no column 'order-id'; did you mean 'order_id'?",
        "partition: one of hour, day, week, month, not 'fortnight'",
        "label delay: must be a duration",
    ):
        assert sentence in printed
    spec = ModelSpec.load("dags/models/orders.yaml")
    assert (spec.target, spec.event_time, spec.key) == ("returned", "ordered_at", ("row_digest",))
    assert (spec.partition, spec.labels.delay) == ("week", timedelta(days=7))


def test_a_person_who_goes_away_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Person("\n\n"))
    with pytest.raises(SystemExit, match="no answer; flags answer too"):
        main.main(["init", str(orders(tmp_path))])
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--target retuned", "target: there is no column 'retuned'; did you mean 'returned'?"),
        (
            "--key returned --target returned",
            "key: 'returned' is the target, which is unknown when a row is scored",
        ),
        ("--time ordered_at --as-of 2024-01-31", "--time and --as-of exclude each other"),
        ("--as-of yesterday", "--as-of must be a date such as 2024-01-31, not 'yesterday'"),
        ("--label-delay 7", "label delay: must be a duration"),
        ("--name Orders", "'Orders' cannot name DAGs .* for example orders"),
        (
            "--key shop",
            r"rows have the shop of an earlier one: line \d+ of orders.csv repeats line \d+ of orders.csv",
        ),
        ("--connection db", "name a file or folder of data, or a table by --connection and --table"),
    ],
)
def test_a_wrong_answer_is_refused(flags: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=message):
        main.main(["init", str(orders(tmp_path)), "--yes", *flags.split()])
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


def test_no_time_is_said_and_none_is_invented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    datasets.load_diabetes(as_frame=True).frame.to_csv(tmp_path / "diabetes.csv", index=False)
    with pytest.raises(
        SystemExit, match=r"no column with a time in each row, and none is invented: --as-of 2024-01-31"
    ):
        main.main(["init", "diabetes.csv", "--yes"])
    main.main(["init", "diabetes.csv", "--yes", "--as-of", "2023-05-01"])
    printed = capsys.readouterr().out
    assert "data/diabetes/ (1 partition, 2023-05-01, 442 rows)" in printed
    assert "nothing tells whether the data drifts until a later partition comes" in " ".join(printed.split())


def test_labels_that_come_late_are_guessed_from_the_rows_without(tmp_path: Path) -> None:
    frame = pd.read_csv(orders(tmp_path))
    frame.loc[frame.index[-50:], "returned"] = None
    frame.to_csv(tmp_path / "late.csv", index=False)
    main.main(["init", "late.csv", "--yes"])
    spec = ModelSpec.load("dags/models/late.yaml")
    assert spec.labels.delay == timedelta(days=13)
    assert "the rows of the last 13 days have no label" in Path("dags/models/late.yaml").read_text(
        encoding="utf-8"
    )


def test_a_key_that_repeats_here_and_there_is_named_in_the_guess(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(orders(tmp_path))
    frame.loc[frame.index[-1], "order_id"] = frame["order_id"].iloc[0]
    frame[["order_id", "ordered_at", "amount", "returned"]].to_csv(tmp_path / "twice.csv", index=False)
    main.main(["init", "twice.csv", "--yes", "--time", "ordered_at", "--target", "returned"])
    printed = " ".join(capsys.readouterr().out.split())
    # The cells of the table are narrower than the sentence.
    assert "together unique; 'order_id' alone nearly" in printed


def test_a_table_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        pd.read_csv(orders(tmp_path)).to_sql("orders", database, index=False)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f"sqlite:///{tmp_path}/shop.db")
    main.main(["init", "--connection", "shop", "--table", "orders", "--yes"])
    assert not (tmp_path / "data").exists()
    spec = ModelSpec.load("dags/models/orders.yaml")
    assert spec.source.sql is not None
    assert (spec.source.sql.conn_id, spec.start, spec.end) == ("shop", "2024-01", "2024-08")
    source = from_spec(spec.source)
    rows = sum(batch.num_rows for batch in source.batches(Partition.parse("2024-02", "month")))
    assert rows == 29 * 4
    with pytest.raises(SystemExit, match="--table must name a table"):
        main.main(
            ["init", "--connection", "shop", "--table", "orders; drop table orders", "--yes", "--name", "x"]
        )


def test_a_table_without_a_key_is_written_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        pd.read_csv(orders(tmp_path)).drop(columns="order_id").to_sql("orders", database, index=False)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f"sqlite:///{tmp_path}/shop.db")
    main.main(["init", "--connection", "shop", "--table", "orders", "--yes", "--key", "none"])
    assert len(list((tmp_path / "data" / "orders").iterdir())) == 8


@pytest.mark.slow
def test_neither_airflow_nor_mlflow_is_loaded(tmp_path: Path) -> None:
    words = ["init", str(orders(tmp_path)), "--yes"]
    ran = subprocess.run([sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=True)
    modules = ran.stdout.splitlines()[-1].split()
    assert "pyarrow" in modules
    assert not {"airflow", "mlflow", "great_expectations", "evidently"} & set(modules)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("_partition", "orders.csv has '_partition', which our tables add; rename it"),
        ("Amount", "orders.csv has 'Amount', 'amount', which differ only in capital letters"),
        (
            "a\tb",
            "the column 'a\\tb' has a tab, a line end or nothing else but blanks in its name; rename it",
        ),
    ],
)
def test_a_column_that_no_partition_or_spec_could_have_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, said: str
) -> None:
    path = orders(tmp_path)
    frame = pd.read_csv(path)
    frame.insert(2, name, range(len(frame)))
    frame.to_csv(path, index=False)
    with pytest.raises(SystemExit) as ended:
        main.main(["init", str(path), "--yes"])
    assert said in " ".join(str(ended.value).split())
    assert not (tmp_path / "dags").exists()


def test_times_that_are_not_likely_to_be_real_are_named(tmp_path: Path) -> None:
    path = orders(tmp_path)
    frame = pd.read_csv(path)
    frame.loc[0, "ordered_at"] = "2999-12-31 00:00"
    frame.to_csv(path, index=False)
    with pytest.raises(SystemExit) as ended:
        main.main(["init", str(path), "--yes"])
    said = " ".join(str(ended.value).split())
    assert "has times from 2024-01-01 to 2999-12-31 in 'ordered_at'" in said
    assert "name it with --time ordered_at" in said
