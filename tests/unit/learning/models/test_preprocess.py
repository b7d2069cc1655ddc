from __future__ import annotations

import resource
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits

from airflow_mlops.domain.spec.model import Candidate, Features
from airflow_mlops.learning.models import models, pipeline, skops_file
from synthetic import FEATURES, LOGISTIC, make_rows

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

NAMES = [
    "sklearn.linear_model.LogisticRegression",
    "sklearn.neighbors.KNeighborsClassifier",
    "sklearn.naive_bayes.GaussianNB",
    "sklearn.naive_bayes.MultinomialNB",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.GradientBoostingClassifier",
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "lightgbm.LGBMClassifier",
    "xgboost.XGBClassifier",
]
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    # So that threads of OpenMP do not wait for each other on a busy machine.
    with threadpool_limits(1, "openmp"):
        yield


def candidate(path: str, **params: object) -> Candidate:
    small = (
        {"n_estimators": 5} if path.endswith(("ForestClassifier", "LGBMClassifier", "XGBClassifier")) else {}
    )
    return Candidate(estimator=path, params={**small, **params})


def fitted(path: str, rows: pa.Table, features: Features, target: str = "late", **params: object) -> Any:
    known, labels = pipeline.labelled(rows, target, "classification")
    frame = pipeline.frame(known, features)
    built = pipeline.build(
        candidate(path, **params),
        features,
        "classification",
        0,
        categories=pipeline.categories(frame, features),
    )
    with warnings.catch_warnings():
        # Of linear models that did not converge, and of neighbours that tie.
        warnings.simplefilter("ignore")
        return built.fit(frame, labels)


def predicted(model: Any, rows: pa.Table) -> np.ndarray:
    return models.predict(model, rows, "classification")


@pytest.mark.parametrize(
    ("path", "imputed", "scaled"),
    [
        ("linear_model.LogisticRegression", True, "StandardScaler"),
        ("neural_network.MLPClassifier", True, "StandardScaler"),
        ("neighbors.KNeighborsClassifier", True, "StandardScaler"),
        ("naive_bayes.MultinomialNB", True, "MinMaxScaler"),
        ("ensemble.GradientBoostingClassifier", True, None),
        ("ensemble.RandomForestClassifier", False, None),
        ("tree.DecisionTreeClassifier", False, None),
        ("ensemble.HistGradientBoostingClassifier", False, None),
    ],
)
def test_numbers_are_imputed_and_scaled_only_where_the_estimator_needs_it(
    path: str, imputed: bool, scaled: str | None
) -> None:
    built = pipeline.build(candidate(f"sklearn.{path}"), FEATURES, "classification", 0)
    numbers = repr({name: step for name, step, _ in built["prepare"].transformers}["numeric"])
    assert ("SimpleImputer" in numbers, "Scaler" in numbers) == (imputed, scaled is not None)
    assert scaled is None or scaled in numbers


@pytest.mark.parametrize("path", NAMES)
def test_unseen_categories_missing_values_and_infinity_are_predicted_for(path: str) -> None:
    features = Features(numeric=FEATURES.numeric, categorical=FEATURES.categorical, dates=("departure",))
    model = fitted(path, make_rows(300), features)
    strange = pa.table(
        {
            "origin": ["XXX", None, "EWR"],
            "carrier": pa.array([None, None, None], pa.null()),
            "wind": [float("inf"), None, 1e300],
            "distance": pa.array([1, 2, None], pa.int8()),
            "departure": pa.array([None, MONDAY, MONDAY - timedelta(days=40_000)]),
        }
    )
    found = predicted(model, strange)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("path", NAMES)
def test_constant_and_empty_columns_and_more_columns_than_rows_are_fitted(path: str) -> None:
    random = np.random.default_rng(0)
    wide = {f"x{number}": random.normal(size=60) for number in range(100)}
    odd = {
        "constant": pa.array([1.0] * 60),
        "empty": pa.array([None] * 60, pa.float64()),
        "same": pa.array(["a"] * 60),
        "none": pa.array([None] * 60, pa.string()),
        "never": pa.array([None] * 60, pa.timestamp("us")),
        "once": pa.array([MONDAY] * 60),
    }
    rows = pa.table({**wide, **odd, "late": random.random(60) > 0.5})
    features = Features(
        numeric=(*wide, "constant", "empty"), categorical=("same", "none"), dates=("never", "once")
    )
    assert np.isfinite(predicted(fitted(path, rows, features), rows)).all()


@pytest.mark.parametrize("path", [NAMES[0], NAMES[4], *NAMES[6:]])
def test_a_column_of_many_categories_is_learnt_from_in_one_column(path: str) -> None:
    random = np.random.default_rng(0)
    effect = random.normal(size=400)
    customer = random.integers(0, 400, 12_000)
    rows = pa.table(
        {
            "customer": pa.array([f"c{number}" for number in customer]),
            "colour": pa.array(random.choice(["red", "blue"], 12_000)),
            "late": 2 * effect[customer] + random.normal(size=12_000) > 0,
        }
    )
    model = fitted(path, rows[:9000], Features(categorical=("customer", "colour")))
    assert "TargetEncoder" in repr(model)
    assert model["prepare"].transform(pipeline.frame(rows, pipeline.features_of(model))).shape[1] <= 3
    truth, found = rows["late"].to_numpy()[9000:], predicted(model, rows[9000:])
    assert found[truth].mean() - found[~truth].mean() > 0.2


def test_a_category_that_was_never_seen_among_many_stands_for_all() -> None:
    random = np.random.default_rng(0)
    rows = pa.table(
        {"customer": [f"c{number % 60}" for number in range(600)], "late": random.random(600) > 0.7}
    )
    features = Features(categorical=("customer",))
    model = fitted(NAMES[4], rows, features)
    strange = pipeline.frame(pa.table({"customer": ["nobody", None]}), features)
    assert model["prepare"].transform(strange).ravel() == pytest.approx([rows["late"].to_numpy().mean()] * 2)


def test_a_number_that_comes_late_can_be_searched_and_fitted() -> None:
    rows = make_rows(300)
    rows = rows.set_column(3, "wind", pa.array([None] * 200 + [1.0, 2.0] * 50))
    frame = pipeline.frame(rows, FEATURES)
    counts = pipeline.categories(frame, FEATURES)
    assert counts["wind"] == 0
    boosting = pipeline.build(candidate(NAMES[6]), FEATURES, "classification", 0, categories=counts)
    boosting.fit(frame[:60], rows["late"].to_numpy()[:60])
    assert np.isfinite(models.predicted(boosting, frame, "classification")).all()
    boosting.fit(frame, rows["late"].to_numpy())
    assert boosting["model"].is_categorical_.tolist() == [False, False, True, True]


def test_whole_numbers_of_a_regression_are_no_classes() -> None:
    random = np.random.default_rng(0)
    rows = pa.table(
        {"shop": [f"s{number % 60}" for number in range(600)], "sold": random.integers(0, 5, 600)}
    )
    features = Features(categorical=("shop",))
    frame = pipeline.frame(rows, features)
    ridge = Candidate(estimator="sklearn.linear_model.Ridge")
    counts = pipeline.categories(frame, features)
    model = pipeline.build(ridge, features, "regression", 0, categories=counts)
    model.fit(frame, rows["sold"].to_numpy().astype(float))
    assert model["model"].coef_.shape == (1,)


@pytest.mark.slow
def test_a_column_of_a_hundred_thousand_categories_takes_seconds_and_megabytes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    count = 110_000
    customers = np.array([f"customer {number}" for number in range(100_000)], dtype=object)
    rows = pa.table(
        {"customer": customers[random.integers(0, 100_000, count)], "late": random.random(count) > 0.5}
    )
    began, before = monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = fitted(NAMES[0], rows, Features(categorical=("customer",)))
    path = tmp_path / "model.skops"
    skops_file.save(model, path)
    loaded = skops_file.load(path, skops_file.digest(path))
    assert np.array_equal(predicted(loaded, rows), predicted(model, rows))
    # One column for each would be 120 GB; on a quiet machine it is 5 s and 0.5 GB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2e6
    assert monotonic() - began < 60


def make_times(days: int, signal: str) -> pa.Table:
    """Build rows of some days, whose label follows from the hour, the day of the week or the season."""
    random = np.random.default_rng(0)
    times = [MONDAY + timedelta(days=float(day)) for day in np.sort(random.random(4000) * days)]
    late = {
        "hour": [time.hour >= 12 for time in times],
        "weekday": [time.weekday() >= 5 for time in times],
        "season": [4 <= time.month <= 9 for time in times],
    }[signal]
    return pa.table({"at": pa.array(times), "late": late})


@pytest.mark.parametrize("path", [NAMES[0], NAMES[4], *NAMES[6:]])
@pytest.mark.parametrize(("signal", "days"), [("hour", 30), ("weekday", 60), ("season", 730)])
def test_models_learn_the_time_of_day_the_day_of_the_week_and_the_season(
    path: str, signal: str, days: int
) -> None:
    model = fitted(path, make_times(days, signal), Features(dates=("at",)))
    # The same cycle goes on.
    later = make_times(days, signal)
    shifted = pa.table({"at": pa.array([at + timedelta(days=7 * 52) for at in later["at"].to_pylist()])})
    truth = later["late"].to_numpy()
    assert ((predicted(model, shifted) > 0.5) == truth).mean() > 0.9


def test_a_cycle_that_the_data_do_not_span_is_not_made_up() -> None:
    for days, columns in ((3, 11), (30, 11 + 6), (400, 11 + 6 + 11)):
        model = fitted(NAMES[0], make_times(days, "hour"), Features(dates=("at",)))
        assert model["model"].coef_.shape == (1, columns), days


def test_histogram_boosting_gets_categories_as_categories_and_missing_numbers_as_they_are() -> None:
    model = fitted(NAMES[6], make_rows(300), FEATURES, max_iter=3)
    assert model["model"].is_categorical_.tolist() == [False, False, True, True]
    assert np.isnan(model["prepare"].transform(pipeline.frame(make_rows(300), FEATURES))).any()


def test_more_categories_than_bins_are_means() -> None:
    rows = make_rows(600)
    rows = rows.set_column(4, "carrier", pa.array([f"C{number % 20}" for number in range(600)]))
    model = fitted(NAMES[6], rows, FEATURES, max_bins=15, max_iter=3)
    assert model["model"].is_categorical_.tolist() == [False, False, True, False]
    assert predicted(model, rows).shape == (600,)


def test_without_counts_rare_categories_are_grouped() -> None:
    rows = make_rows(600)
    rows = rows.set_column(4, "carrier", pa.array([f"C{number % 300}" for number in range(600)]))
    frame = pipeline.frame(rows, FEATURES)
    model = pipeline.build(LOGISTIC, FEATURES, "classification", 0).fit(frame, rows["late"].to_numpy())
    assert model["prepare"].transform(frame).shape == (600, 2 + 50 + 3)


@pytest.mark.parametrize("path", NAMES)
def test_the_same_rows_and_seed_give_the_same_model_and_it_is_stored_whole(path: str, tmp_path: Path) -> None:
    rows = make_rows(300)
    rows = rows.set_column(4, "carrier", pa.array([f"C{number % 299}" for number in range(300)]))
    features = Features(numeric=FEATURES.numeric, categorical=FEATURES.categorical, dates=("departure",))
    found = set()
    for number in range(2):
        file = tmp_path / f"{number}.skops"
        skops_file.save(model := fitted(path, rows, features), file)
        found.add(skops_file.digest(file))
    assert len(found) == 1
    loaded = skops_file.load(file, found.pop())
    assert np.array_equal(predicted(loaded, rows), predicted(model, rows))
