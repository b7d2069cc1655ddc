"""Keys and features of every type: a row is scored once, found again by its key, and joined with its label."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.domain.spec.data import Features
from airflow_mlops.exceptions import BadRows, SchemaMismatch
from airflow_mlops.hooks.sources import PythonSource
from airflow_mlops.learning.labels import join, labels
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.models import pipeline
from airflow_mlops.learning.summaries import build
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stages.score import run
from airflow_mlops.stages.score.batches import Scorer
from airflow_mlops.stages.train.recipe import derive_features
from airflow_mlops.stores.outputs import sql
from airflow_mlops.stores.outputs.tables import ScoredPartition
from airflow_mlops.stores.tables import tables
from any_table import KINDS, columns, examples
from kept_values import meant

pytestmark = pytest.mark.slow

JANUARY = Partition.parse("2013-01", "month")
AT = datetime(2013, 1, 2, tzinfo=UTC)
CHAMPION = ModelRef(model="flights", version="1", digest="d" * 64, run_id="run", trained_through="2013-01")
QUESTION = Question(target="y", task="regression", metric="rmse")


def fitted() -> Pipeline:
    rows, features = pa.table({"z": [1.0, 2.0, 3.0]}), Features(numeric=("z",))
    model = pipeline.build(
        Candidate(estimator="sklearn.linear_model.LinearRegression"), features, "regression", 0
    )
    return model.fit(pipeline.frame(rows, features), [1.0, 2.0, 3.0])


SCORER = Scorer(CHAMPION, fitted(), "regression")


def publish(folder: str, rows: pa.Table, key: str) -> DatasetVersion | None:
    """Publish a partition; None if it is refused by name."""
    staging, data = (f"file://{folder}/{name}" for name in ("staging", "data"))
    try:
        staged = ingest.stage(
            PythonSource(lambda partition: rows), JANUARY, uri=staging, published=data, name="flights", key=[key],
            event_time="at", run="run",
        )  # fmt: skip
    except (SchemaMismatch, BadRows):
        return None
    return ingest.publish(staged, uri=data, run="run")


def distinct(x: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return each value once, and no null."""
    seen: list[Any] = [None, "NaN"]
    chunks = []
    for row, value in enumerate(meant(x)):
        if value not in seen:
            seen.append(value)
            chunks += x.slice(row, 1).chunks
    return pa.chunked_array(chunks, x.type)


@pytest.mark.parametrize("name", sorted({*KINDS} - {"durations", "intervals", "nulls"}))
def test_a_key_of_any_type_finds_its_prediction_and_its_label(name: str) -> None:
    @examples(2)
    @given(columns(KINDS[name], nulls=False).map(distinct))
    def finds(x: pa.ChunkedArray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            rows = pa.table({"x": x, "at": [AT] * len(x), "z": [float(row) for row in range(len(x))]})
            dataset = publish(folder, rows, "x") if len(x) else None
            if dataset is None:
                return
            plan = run.ScoringPlan(dataset, CHAMPION, f"file://{folder}/predictions")
            run.write(plan, SCORER, None, AT)
            assert run.is_done(plan)
            scores = tables.read(plan.uri).sort_by("score")
            assert meant(scores["x"]) == meant(x)
            assert scores["score"].to_pylist() == pytest.approx(range(len(x)))
            known = pa.table({"x": x, "at": rows["at"], "y": rows["z"]})
            uri = f"file://{folder}/labels"
            report = labels.write(
                uri,
                known,
                JANUARY,
                key=["x"],
                event_time="at",
                target="y",
                task="regression",
                data=dataset.uri,
            )
            assert (report.new, report.contradictory) == (len(x), 0)
            joined = join.join(plan.uri, join.Truth(dataset, QUESTION, uri), JANUARY, JANUARY)
            truth, predicted = Coding.of(QUESTION, ()).arrays(joined.labelled)
            assert joined.unknown == 0
            assert truth == pytest.approx(predicted)
            assert len(truth) == len(x)
            assert_in_a_database(plan, len(x), folder)

    finds()


def assert_in_a_database(plan: run.ScoringPlan, rows: int, folder: str) -> None:
    version = tables.open_table(plan.uri).version()
    predictions = ScoredPartition("flights", JANUARY, ("x",), plan.uri, version)
    engine = sqlalchemy.create_engine(f"sqlite:///{folder}/db")
    for _ in range(2):
        sql.write(predictions, engine, "scores", "the table scores")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from scores").scalar() == rows
    engine.dispose()


@examples(30)
@given(columns(), st.sampled_from(["numeric", "categorical", "dates"]))
def test_a_feature_of_any_type_is_prepared_and_summarised_or_refused_by_name(
    x: pa.ChunkedArray, role: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = publish(folder, pa.table({"id": range(len(x)), "at": [AT] * len(x), "x": x}), "id")
        if dataset is None:
            return
        rows = tables.read(dataset.uri)
        summary = build.summarise([rows], numeric=["x"], categorical=[])["x"]
        assert summary.rows == len(x)
        assert build.summarise([rows], numeric=[], categorical=["x"])["x"].rows == len(x)
        derived = derive_features(dataset.model_copy(update={"key": ()}), "")
        assert len(pipeline.frame(rows, derived)) == len(x)
        try:
            assert list(pipeline.frame(rows, Features(**{role: ("x",)}))) == ["x"]
        except SchemaMismatch as error:
            refusal = str(error)
        else:
            refusal = ""
        assert not refusal or ("'x'" in refusal and "x" not in getattr(derived, role))
