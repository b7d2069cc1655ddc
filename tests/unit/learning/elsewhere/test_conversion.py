from __future__ import annotations

import pickle  # noqa: TID251 - as others write models
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin

from airflow_mlops.exceptions import ModelRefused, SchemaMismatch, UntrustedModel
from airflow_mlops.learning.elsewhere.conversion import convert
from airflow_mlops.learning.models import models
from foreign_models import NUMBERS, TEXTS, fitted, frame_of
from synthetic import make_rows

pytestmark = pytest.mark.slow  # fits

ROWS = make_rows(400)
KINDS = {**dict.fromkeys(NUMBERS, "numeric"), **dict.fromkeys(TEXTS, "categorical"), "gate": "numeric"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    gates = pa.array(np.arange(ROWS.num_rows) % 7)
    pq.write_table(ROWS.append_column("gate", gates), tmp_path / "rows.parquet")
    return tmp_path


def taken(folder: Path, model: Any, **changes: Any) -> dict[str, Any]:
    """Pickle a model and take it in."""
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    request: dict[str, Any] = {
        "file": str(folder / "model.pkl"), "out": str(folder / "model.skops"), "form": "pickle", "task": "classification",
        "columns": [], "kinds": KINDS, "classes": [], "sample": str(folder / "rows.parquet"),
    }  # fmt: skip
    return convert(request | changes)


def ours(folder: Path) -> Any:
    path = folder / "model.skops"
    return models.load(path, models.digest(path))


def test_a_model_that_was_pickled_is_stored_as_ours_and_predicts_the_same(folder: Path) -> None:
    model = fitted(ROWS)
    report = taken(folder, model)
    assert report["features"] == {"numeric": ["wind", "distance"], "categorical": ["origin", "carrier"]}
    assert report["classes"] == ["0", "1"]
    assert "sklearn.linear_model._logistic.LogisticRegression" in report["estimators"]
    expected = model.predict_proba(frame_of(ROWS))[:, 1]
    assert models.predict(ours(folder), ROWS, "classification") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("path", ["lightgbm.LGBMClassifier", "xgboost.XGBClassifier"])
def test_boosters_of_other_packages_are_taken_in_too(folder: Path, path: str) -> None:
    package, _, name = path.partition(".")
    booster = getattr(import_module(package), name)(
        n_estimators=5, verbosity=0 if package == "xgboost" else -1
    )
    model = booster.fit(frame_of(ROWS, ["wind", "distance"]), ROWS["late"].to_numpy(zero_copy_only=False))
    assert taken(folder, model)["features"] == {"numeric": ["wind", "distance"]}
    expected = model.predict_proba(frame_of(ROWS, ["wind", "distance"]))[:, 1]
    assert models.predict(ours(folder), ROWS, "classification") == pytest.approx(expected)


def test_columns_come_in_the_order_in_which_the_model_has_learned_them(folder: Path) -> None:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(5, random_state=0).fit(
        frame_of(ROWS, ["wind", "distance"]).fillna(0), ROWS["delay"].to_numpy()
    )
    whole = ROWS.set_column(
        ROWS.column_names.index("wind"), "wind", ROWS["wind"].combine_chunks().fill_null(0.0)
    )
    pq.write_table(whole, folder / "rows.parquet")
    taken(folder, forest, task="regression", kinds={"distance": "numeric", "wind": "numeric"})
    expected = forest.predict(frame_of(whole, ["wind", "distance"]))
    assert models.predict(ours(folder), whole, "regression") == pytest.approx(expected)


def test_a_model_that_was_fitted_to_an_array_takes_the_columns_of_its_signature(folder: Path) -> None:
    from sklearn.tree import DecisionTreeRegressor

    rows = ROWS.set_column(
        ROWS.column_names.index("wind"), "wind", ROWS["wind"].combine_chunks().fill_null(0.0)
    )
    pq.write_table(rows, folder / "rows.parquet")
    values = frame_of(rows, ["wind", "distance"]).to_numpy()
    tree = DecisionTreeRegressor(max_depth=3).fit(values, ROWS["delay"].to_numpy())
    kinds = {"distance": "numeric", "wind": "numeric"}
    taken(folder, tree, task="regression", columns=["wind", "distance"], kinds=kinds)
    assert models.predict(ours(folder), rows, "regression") == pytest.approx(tree.predict(values))
    with pytest.raises(SchemaMismatch, match="no signature"):
        taken(folder, tree, task="regression", kinds=kinds)
    with pytest.raises(SchemaMismatch, match="names 1 columns, and it was fitted to 2"):
        taken(folder, tree, task="regression", columns=["wind"], kinds=kinds)


def test_classes_come_in_the_order_of_the_spec(folder: Path) -> None:
    names = np.where(ROWS["late"].to_numpy(zero_copy_only=False), "yes", "maybe")
    model = fitted(ROWS, labels=names)
    assert taken(folder, model)["classes"] == ["maybe", "yes"]
    second = model.predict_proba(frame_of(ROWS))
    assert models.predict(ours(folder), ROWS, "classification") == pytest.approx(second[:, 1])
    assert taken(folder, model, classes=["yes", "maybe"])["classes"] == ["yes", "maybe"]
    assert models.predict(ours(folder), ROWS, "classification") == pytest.approx(second[:, 0])
    with pytest.raises(
        SchemaMismatch, match="tells apart maybe, yes, and `classes` of the spec names no, yes"
    ):
        taken(folder, model, classes=["no", "yes"])


def test_a_number_that_is_used_as_a_text_is_told_by_its_name(folder: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pq.read_table(folder / "rows.parquet")
    gates = rows.select(["gate"]).to_pandas()
    late = gates["gate"].to_numpy() > 3
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(gates, late)
    with pytest.raises(SchemaMismatch, match=r"predicts otherwise.*gate \(int64, used as categorical\)"):
        taken(folder, model, kinds={"gate": "categorical"})
    assert taken(folder, model, kinds={"gate": "numeric"})["features"] == {"numeric": ["gate"]}


@pytest.mark.parametrize(
    ("make", "task", "kind", "problem"),
    [
        (lambda: {"not": "a model"}, "classification", ModelRefused, "it is a dict, and no estimator"),
        ("unfitted", "classification", ModelRefused, "it is not fitted"),
        ("classifier", "regression", ModelRefused, "a model of classification .*task is regression"),
        ("regressor", "classification", ModelRefused, "a model of regression .*task is classification"),
        ("svc", "classification", ModelRefused, "has no predict_proba"),
        ("table", "regression", ModelRefused, "it answers a table"),
        ("needs", "classification", SchemaMismatch, "it needs origin, wind, carrier, which the spec has no feature of; there are distance"),
        ("own", "classification", UntrustedModel, "the model holds .*_Own"),
        ("gaps", "regression", SchemaMismatch, "cannot predict 400 rows of the data: ValueError: Input X contains NaN"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_in_says_why(
    folder: Path, make: Any, task: str, kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        taken(folder, MODELS[make]() if isinstance(make, str) else make(), **CHANGES.get(make, {}), task=task)


def test_a_model_that_answers_text_is_refused(folder: Path) -> None:
    with pytest.raises(ModelRefused, match="it answers .* such as 'late', and no numbers"):
        taken(folder, _Texts().fit(frame_of(ROWS, NUMBERS), None), task="regression")


def test_a_missing_package_and_code_that_fails_are_told(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"cnot_installed_here\nModel\n.")
    request = {
        "file": str(folder / "model.pkl"), "out": str(folder / "x"), "form": "cloudpickle", "task": "regression", "columns": [],
        "kinds": KINDS, "classes": [], "sample": str(folder / "rows.parquet"),
    }  # fmt: skip
    with pytest.raises(ModelRefused, match="needs not_installed_here, which is not installed here"):
        convert(request)
    (folder / "model.pkl").write_bytes(b"broken")
    with pytest.raises(ModelRefused, match="cannot be loaded here: UnpicklingError"):
        convert(request)


def _regressor() -> Any:
    from sklearn.linear_model import Ridge

    return fitted(ROWS, Ridge(), target="delay")


def _unfitted() -> Any:
    from foreign_models import pipeline

    return pipeline()


def _svc() -> Any:
    from sklearn.svm import LinearSVC

    return fitted(ROWS, LinearSVC())


def _table() -> Any:
    from sklearn.linear_model import Ridge

    return fitted(ROWS, Ridge(), labels=np.stack([ROWS["delay"], ROWS["delay"]], axis=1))


def _gaps() -> Any:
    from sklearn.linear_model import Ridge

    filled = frame_of(ROWS, NUMBERS).fillna(0)
    return Ridge().fit(filled, ROWS["delay"].to_numpy())


def _own() -> Any:
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_Own(), fitted(ROWS)).fit(
        frame_of(ROWS), ROWS["late"].to_numpy(zero_copy_only=False)
    )


MODELS: dict[str, Any] = {
    "classifier": lambda: fitted(ROWS), "regressor": _regressor, "unfitted": _unfitted, "svc": _svc, "table": _table,
    "needs": lambda: fitted(ROWS), "own": _own, "gaps": _gaps,
}  # fmt: skip
CHANGES: dict[Any, dict[str, Any]] = {"needs": {"kinds": {"distance": "numeric"}}}


class _Own(TransformerMixin, BaseEstimator):
    """A step of somebody's own."""

    def fit(self, X: Any, y: Any = None) -> _Own:
        self.n_features_in_, self.feature_names_in_ = X.shape[1], X.columns.to_numpy()
        return self

    def transform(self, X: Any) -> Any:
        return X


class _Texts(RegressorMixin, BaseEstimator):
    """A regressor that answers text."""

    def fit(self, X: Any, y: Any) -> _Texts:
        self.n_features_in_, self.feature_names_in_ = X.shape[1], X.columns.to_numpy()
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), "late", dtype=object)
