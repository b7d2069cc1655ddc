from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops.domain.spec.model import Candidate, Features
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.models import models, pipeline, skops_file
from synthetic import FEATURES, LOGISTIC, make_rows

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def candidate(path: str, **params: object) -> Candidate:
    return Candidate(estimator=f"sklearn.{path}", params=params)


def fitted(chosen: Candidate, rows: pa.Table, target: str = "late", task: str = "classification") -> object:
    known, labels = pipeline.labelled(rows, target, task)
    return pipeline.build(chosen, FEATURES, task, 0).fit(pipeline.frame(known, FEATURES), labels)


def test_a_data_frame_and_an_arrow_table_give_the_same_predictions() -> None:
    rows = make_rows(300)
    model = fitted(LOGISTIC, rows)
    from_frame = models.predict(model, rows.to_pandas(), "classification")
    assert np.array_equal(from_frame, models.predict(model, rows, "classification"))


def test_features_are_read_back_from_the_pipeline() -> None:
    assert pipeline.features_of(pipeline.build(LOGISTIC, FEATURES, "classification", 0)) == FEATURES
    numbers = Features(numeric=("wind",))
    assert pipeline.features_of(pipeline.build(LOGISTIC, numbers, "classification", 0)) == numbers


def test_features_are_read_back_in_their_order_however_they_are_prepared() -> None:
    features = Features(numeric=("b", "a"), categorical=("many", "few", "lots"), dates=("at", "on"))
    counts = {"many": 900, "few": 2, "lots": 1000, "a": 0, "at": 3, "on": 900}
    for path in ("linear_model.LogisticRegression", "ensemble.HistGradientBoostingClassifier"):
        built = pipeline.build(candidate(path), features, "classification", 0, categories=counts)
        assert pipeline.features_of(built) == features


def test_a_function_gets_the_features_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_features.py").write_text(
        "from sklearn.compose import make_column_transformer\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier\n"
        "from sklearn.pipeline import make_pipeline\n"
        "def wind_only(leaves):\n"
        "    chosen = make_column_transformer(('passthrough', ['wind', 'departure']))\n"
        "    return make_pipeline(chosen, HistGradientBoostingClassifier(max_leaf_nodes=leaves, max_iter=5))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = Candidate(estimator="named_features:wind_only", search={"leaves": [3, 5]})
    features = Features(numeric=("distance", "wind"), categorical=("carrier",), dates=("departure",))
    rows = make_rows(300)
    known, labels = pipeline.labelled(rows, "late", "classification")
    frame = pipeline.frame(known, features)
    model = pipeline.build(chosen, features, "classification", 0, params={"leaves": 3}).fit(frame, labels)
    assert pipeline.features_of(model) == features
    skops_file.save(model, tmp_path / "model.skops")
    loaded = skops_file.load(tmp_path / "model.skops", skops_file.digest(tmp_path / "model.skops"))
    without = rows.set_column(2, "distance", pa.array([None] * 300, pa.float64()))
    found = models.predict(loaded, without, "classification")
    assert np.array_equal(found, models.predict(model, rows, "classification"))
    assert np.isin(labels, [0, 1]).all()
    assert found[labels == 1].mean() > found[labels == 0].mean() + 0.2


def test_what_preprocessing_depends_on_is_counted() -> None:
    frame = pipeline.frame(
        pa.table(
            {
                "wind": [None] * 4 + [1.0] * 6,
                "rain": [1.0] + [None] * 9,
                "carrier": ["AA", "DL", None, "AA", None, "DL", "AA", "AA", "AA", "AA"],
                "at": [NEW_YEAR + timedelta(days=1.5 * day) for day in range(10)],
                "never": pa.array([None] * 10, pa.timestamp("us")),
            }
        ),
        features := Features(numeric=("wind", "rain"), categorical=("carrier",), dates=("at", "never")),
    )
    assert pipeline.categories(frame, features) == {"wind": 0, "carrier": 2, "at": 13, "never": 0}


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(SchemaMismatch, match="no column wind, carrier"):
        pipeline.frame(make_rows(60).drop_columns(["wind", "carrier"]), FEATURES)


def test_text_where_a_number_is_expected_is_named() -> None:
    rows = make_rows(60).set_column(3, "wind", pa.array(["calm"] * 60))
    with pytest.raises(SchemaMismatch, match="'wind' is string"):
        pipeline.frame(rows, FEATURES)


def test_numbers_and_categories_have_one_type_whatever_they_came_as() -> None:
    rows = pa.table(
        {"a": pa.array([True, None]), "b": pa.array([1, 2], pa.uint8()), "c": pa.array([7, None], pa.int64())}
    )
    frame = pipeline.frame(rows, Features(numeric=("a", "b"), categorical=("c",)))
    wanted = {"a": [1.0, np.nan], "b": [1.0, 2.0], "c": np.array(["7", np.nan], dtype=object)}
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame({k: pd.Series(v, dtype=getattr(v, "dtype", float)) for k, v in wanted.items()})
    )


def test_times_of_every_kind_become_seconds_since_1970() -> None:
    rows = pa.table(
        {
            "zoned": pa.array([NEW_YEAR, None], pa.timestamp("ns", "America/New_York")),
            "plain": pa.array([NEW_YEAR.replace(tzinfo=None), None], pa.timestamp("ms")),
            "day": pa.array([NEW_YEAR.date(), None]),
            "before": pa.array([datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC), None]),
            "never": pa.array([None, None], pa.null()),
        }
    )
    wanted = {"zoned": 1_704_067_200.0, "plain": 1_704_067_200.0, "day": 1_704_067_200.0, "before": -0.5}
    for given in (rows, rows.to_pandas()):
        frame = pipeline.frame(given, Features(dates=tuple(rows.column_names)))
        assert frame.iloc[0, :4].to_dict() == wanted
        assert frame.iloc[1].isna().all()
        assert frame["never"].isna().all()


@pytest.mark.parametrize("values", [[1.7e9], [1_700_000_000], ["2024-01-01"], [True]])
def test_what_is_no_time_is_named(values: list[object]) -> None:
    with pytest.raises(SchemaMismatch, match=r"'at' is .*, which is no time"):
        pipeline.frame(pa.table({"at": values}), Features(dates=("at",)))


def test_numbers_that_no_32_bit_float_holds_count_as_missing() -> None:
    rows = pa.table({"x": [1e39, -1e39, float("-inf"), 3e38], "id": [2**53 + 1, 1, None, -5]})
    frame = pipeline.frame(rows, Features(numeric=("x", "id")))
    assert frame["x"].isna().tolist() == [True, True, True, False]
    assert frame["id"].tolist()[::3] == [float(2**53), -5.0]


def test_rows_without_a_label_are_left_out() -> None:
    rows = pa.table({"x": [1, 2, 3, 4], "y": [1.0, None, float("nan"), 0.0]})
    known, labels = pipeline.labelled(rows, "y", "classification")
    assert (known["x"].to_pylist(), labels.tolist()) == ([1, 4], [1, 0])


def test_labels_other_than_two_classes_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="'y' must be 0 or 1, or false or true; it is also 2"):
        pipeline.labelled(pa.table({"y": [0, 1, 2]}), "y", "classification")
    with pytest.raises(SchemaMismatch, match="'y' must be 0 or 1, or false or true; it is also no"):
        pipeline.labelled(pa.table({"y": ["yes", "no"]}), "y", "classification")
    with pytest.raises(SchemaMismatch, match="no target column 'z'"):
        pipeline.labelled(pa.table({"y": [0, 1]}), "z", "classification")
