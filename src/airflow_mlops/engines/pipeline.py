"""scikit-learn pipelines: preprocessing inside, built from a candidate of the spec."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.spec import Features
from airflow_mlops.exceptions import SchemaMismatch, TrainingFailed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.spec import Candidate

# Trees order values and never measure distances, so a scale means nothing to them.
_UNSCALED = ("sklearn.tree", "sklearn.ensemble", "sklearn.dummy")
_MOST_CATEGORIES = 50
# Histogram gradient boosting splits categories directly, but at most as many as it has bins.
_MOST_BINS = 255


def build(candidate: Candidate, features: Features, task: str, seed: int) -> Pipeline:
    """Build an unfitted pipeline of the steps ``prepare`` and ``model``.

    Missing numbers become the median, except where the estimator treats them itself. Categories that were not seen
    in training count as missing, or as none of the known ones.

    :param task: ``classification`` or ``regression``.
    :param seed: ``random_state`` of the estimator, if it has one and the candidate does not set it.
    :raises TrainingFailed: if the estimator or one of its parameters does not exist or does not suit the task.
    """
    from sklearn.pipeline import Pipeline

    kind = _estimator_class(candidate, task)
    known = kind._get_param_names()
    for parameter in [*candidate.params, *candidate.search]:
        if parameter not in known:
            raise TrainingFailed(
                f"Candidate {candidate.name!r}: {kind.__name__} has no parameter {parameter!r}{_hint(parameter, known)}"
            )
    settings: dict[str, Any] = {"random_state": seed} if "random_state" in known else {}
    if _is_hist(kind):
        settings["categorical_features"] = [*range(len(features.numeric), _count(features))] or None
    try:
        model = kind(**{**settings, **candidate.params})
    except TypeError as error:
        raise TrainingFailed(f"Candidate {candidate.name!r}: {error}") from error
    if task == "classification" and not hasattr(model, "predict_proba"):
        raise TrainingFailed(
            f"Candidate {candidate.name!r}: {kind.__name__} with these parameters gives no probabilities."
        )
    return Pipeline([("prepare", _prepare(candidate, model, features)), ("model", model)])


def _estimator_class(candidate: Candidate, task: str) -> type[BaseEstimator]:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    place, _, name = candidate.estimator.rpartition(".")
    if place.partition(".")[0] != "sklearn":
        raise TrainingFailed(
            f"Candidate {candidate.name!r}: {candidate.estimator} is not part of scikit-learn."
        )
    try:
        module = import_module(place)
    except ImportError as error:
        raise TrainingFailed(f"Candidate {candidate.name!r}: {error}") from error
    mixin = ClassifierMixin if task == "classification" else RegressorMixin
    fitting = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, mixin) and issubclass(value, BaseEstimator)
    }
    if name not in fitting:
        hint = _hint(name, fitting)
        raise TrainingFailed(f"Candidate {candidate.name!r}: {place} has no {name!r} for {task}{hint}")
    return fitting[name]


def _hint(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; it has {', '.join(sorted(known))}."


def _is_hist(kind: type) -> bool:
    return kind.__name__.startswith("HistGradientBoosting")


def _count(features: Features) -> int:
    return len(features.numeric) + len(features.categorical)


def _prepare(candidate: Candidate, model: BaseEstimator, features: Features) -> Any:
    from sklearn.compose import ColumnTransformer

    numbers, categories = _hist_steps(candidate) if _is_hist(type(model)) else _steps(candidate)
    steps = [
        ("numeric", numbers, list(features.numeric)),
        ("categorical", categories, list(features.categorical)),
    ]
    takes_sparse = model.__sklearn_tags__().input_tags.sparse
    return ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0.3 if takes_sparse else 0)


def _steps(candidate: Candidate) -> tuple[Any, Any]:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    scaled = not candidate.estimator.startswith(_UNSCALED)
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_MOST_CATEGORIES)
    return make_pipeline(impute, StandardScaler()) if scaled else impute, encode


def _hist_steps(candidate: Candidate) -> tuple[Any, Any]:
    from sklearn.preprocessing import OrdinalEncoder

    bins = [candidate.params.get("max_bins", _MOST_BINS), *candidate.search.get("max_bins", ())]
    missing = float("nan")
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=missing,
        encoded_missing_value=missing,
        max_categories=min(bins),
    )
    return "passthrough", encode


def features_of(model: Pipeline) -> Features:
    """Return the features that a pipeline of :func:`build` takes."""
    columns = {name: tuple(names) for name, _, names in model["prepare"].transformers}
    return Features(numeric=columns.get("numeric", ()), categorical=columns.get("categorical", ()))


def frame(rows: pa.Table | pd.DataFrame, features: Features) -> pd.DataFrame:
    """Return the features as a data frame: numbers as float64, categories as text, both with NaN for missing.

    Infinite numbers count as missing: scikit-learn takes none.

    :raises SchemaMismatch: if a feature is missing or of a type that cannot be converted.
    """
    import pandas as pd
    import pyarrow as pa

    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
    absent = [name for name in (*features.numeric, *features.categorical) if name not in table.column_names]
    if absent:
        raise SchemaMismatch(
            f"The data has no column {', '.join(absent)}; it has {', '.join(table.column_names)}."
        )
    columns = {name: _numbers(table, name) for name in features.numeric}
    columns |= {name: _categories(table, name) for name in features.categorical}
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})


def labelled(table: pa.Table, target: str, task: str) -> tuple[pa.Table, np.ndarray]:
    """Return the rows that have a label, and their labels: 0 and 1 for classification, or numbers.

    :raises SchemaMismatch: if there is no such column, or it holds anything but numbers, or classes other than
        0 and 1, or false and true.
    """
    import numpy as np

    if target not in table.column_names:
        raise SchemaMismatch(
            f"The data has no target column {target!r}; it has {', '.join(table.column_names)}."
        )
    values = _numbers(table, target)
    known = ~np.isnan(values)
    table, values = table.filter(known), values[known]
    if task == "classification":
        strange = np.setdiff1d(values, [0, 1])
        if strange.size:
            raise SchemaMismatch(
                f"Target {target!r} must be 0 or 1, or false or true; it is also {strange[0]:g}."
            )
        values = values.astype(np.int64)
    return table, values


def _cast(table: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    try:
        return table[name].cast(kind).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatch(f"Column {name!r} is {table[name].type}, which is no {kind}: {error}") from error


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    values = _cast(table, name, pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


def _categories(table: pa.Table, name: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    encoded = _cast(table, name, pa.string()).dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names = np.array([*encoded.dictionary.to_pylist(), np.nan], dtype=object)
    values: np.ndarray = names[encoded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)]
    return values
