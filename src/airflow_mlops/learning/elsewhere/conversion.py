"""What is done in the process that loads a model from elsewhere: check it, put it into a pipeline of ours, store it."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - to read what others have written, where the spec says so
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.classes import class_name
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.exceptions import ModelRefused, SchemaMismatch
from airflow_mlops.learning.models import classes, models, pipeline, preprocess
from airflow_mlops.learning.models.skops_file import digest, load, save, skops_io, trusted_types

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

_TOLERANCE = 1e-9


def convert(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what :func:`airflow_mlops.learning.elsewhere.process.convert` asks for, and return its report."""
    import pyarrow.parquet as pq

    task, out = request["task"], Path(request["out"])
    rows = pq.read_table(request["sample"])
    model = _loaded(Path(request["file"]), request["form"])
    _refuse_other_task(model, task)
    columns = _columns(model, request["columns"], request["kinds"])
    kinds = request["kinds"]
    features = Features.model_validate(
        {
            kind: tuple(name for name in columns if kinds[name] == kind)
            for kind in ("numeric", "categorical", "dates", "text")
        }
    )
    names, seen = _classes(model, task, request["classes"])
    fitted = wrapped(model, features, columns, pipeline.frame(rows, features))
    classes.keep(fitted, names, seen)
    predicted = _predicted(fitted, rows, task)
    _refuse_other_columns(model, features, columns, rows, task)
    save(fitted, out)
    again = models.predict(load(out, digest(out)), rows, task)
    if (difference := _difference(again, predicted)) > _TOLERANCE:
        raise ModelRefused(
            f"stored as skops it predicts otherwise, by up to {difference:g}, on {rows.num_rows} rows"
        )
    return {
        "features": {kind: list(taken) for kind, taken in features.kinds.items() if taken},
        "classes": list(names),
        "estimators": sorted(_estimators(model)),
    }


def wrapped(
    model: BaseEstimator, features: Features, columns: Sequence[str], frame: pd.DataFrame
) -> Pipeline:
    """Return a fitted pipeline, as training here makes them, around a fitted estimator.

    :param columns: the features in the order in which the estimator takes them.
    :param frame: rows as :func:`airflow_mlops.learning.models.pipeline.frame` prepares them.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    steps: list[tuple[str, Any]] = [("prepare", preprocess.untouched(features).fit(frame))]
    named = hasattr(model, "feature_names_in_")
    if list(columns) != list(frame.columns) or not named:
        order = ColumnTransformer([("all", "passthrough", list(columns))], verbose_feature_names_out=False)
        # An estimator that was fitted to arrays takes arrays.
        order.set_output(transform="pandas" if named else "default")
        steps.append(("order", order.fit(frame)))
    return Pipeline([*steps, ("model", model)])


def _loaded(file: Path, form: str) -> BaseEstimator:
    from sklearn.exceptions import InconsistentVersionWarning
    from sklearn.utils.validation import check_is_fitted

    io = skops_io()
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            if form == "skops":
                model = io.load(file, trusted=trusted_types())
            else:
                # Only where the spec says so: see airflow_mlops.learning.elsewhere.stored.refuse.
                model = pickle.loads(file.read_bytes())  # noqa: S301
        except ImportError as error:
            raise ModelRefused(
                f"it needs {error.name or error}, which is not installed here: install it where tasks run, or train without it ({error})"
            ) from error
        except Exception as error:  # whatever its code raises
            raise ModelRefused(f"it cannot be loaded here: {type(error).__name__}: {error}") from error
    if not hasattr(model, "fit") or not hasattr(model, "predict"):
        raise ModelRefused(f"it is a {type(model).__name__}, and no estimator of scikit-learn")
    try:
        check_is_fitted(model)
    except Exception as error:
        raise ModelRefused(f"it is not fitted: {error}") from error
    fitted: BaseEstimator = model
    return fitted


def _refuse_other_task(model: BaseEstimator, task: str) -> None:
    from sklearn.base import is_classifier, is_regressor

    own = "classification" if is_classifier(model) else "regression" if is_regressor(model) else "neither"
    if own != task:
        raise ModelRefused(f"it is a model of {own} ({type(model).__name__}), and the spec's task is {task}")
    if task == "classification" and not hasattr(model, "predict_proba"):
        raise ModelRefused(
            f"{type(model).__name__} has no predict_proba: what is judged are probabilities; fit it within a CalibratedClassifierCV"
        )


def _columns(model: BaseEstimator, signature: Sequence[str], kinds: Mapping[str, str]) -> list[str]:
    """Return the columns that an estimator takes, in its order."""
    columns = [str(name) for name in getattr(model, "feature_names_in_", signature)]
    if not columns:
        raise SchemaMismatch(
            "it names no columns, and has no signature that does: fit it to a data frame, or log it with a signature"
        )
    if (count := getattr(model, "n_features_in_", None)) not in (None, len(columns)):
        raise SchemaMismatch(f"its signature names {len(columns)} columns, and it was fitted to {count}")
    if absent := [name for name in columns if name not in kinds]:
        raise SchemaMismatch(
            f"it needs {', '.join(absent)}, which the spec has no feature of; there are {', '.join(kinds) or 'none'}: name them in "
            "`features` if they are in the data, or make them by `transform`"
        )
    return columns


def _classes(model: BaseEstimator, task: str, named: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """Return the classes in the order of the spec, and the place in it of each column of probabilities."""
    import numpy as np

    if task != "classification":
        return (), []
    labels = np.asarray(model.classes_)
    if labels.ndim != 1 or labels.dtype.kind not in "iubfOU":
        raise ModelRefused("it has several targets, or classes that are neither texts nor whole numbers")
    values = labels.tolist()
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        raise ModelRefused(f"its classes are no whole numbers: {values}")
    own = [class_name(value) for value in values]
    order = tuple(named) or tuple(own)
    if set(order) != set(own):
        raise SchemaMismatch(
            f"it tells apart {', '.join(own)}, and `classes` of the spec names {', '.join(order)}"
        )
    return order, [order.index(name) for name in own]


def _predicted(fitted: Pipeline, rows: pa.Table, task: str) -> np.ndarray:
    import numpy as np

    try:
        values = np.asarray(
            fitted.predict(pipeline.frame(rows, pipeline.features_of(fitted)))
            if task == "regression"
            else models.predict(fitted, rows, task)
        )
    except SchemaMismatch:
        raise
    except Exception as error:
        raise SchemaMismatch(
            f"it cannot predict {rows.num_rows} rows of the data: {type(error).__name__}: {error}"
        ) from error
    if values.dtype.kind not in "fiub":
        raise ModelRefused(f"it answers {values.dtype.name} such as {values.ravel()[0]!r}, and no numbers")
    if task == "regression" and values.ndim != 1:
        raise ModelRefused("it answers a table: fit it to a target of one dimension, such as y.to_numpy()")
    return values.astype(float)


def _refuse_other_columns(
    model: BaseEstimator, features: Features, columns: Sequence[str], rows: pa.Table, task: str
) -> None:
    """Refuse a model that predicts otherwise from columns as the data has them than as they are used here.

    A category that was learned as a number is unknown as a text, and most encoders then say nothing.
    """
    ours = pipeline.frame(rows, features)[list(columns)]
    theirs = rows.select(list(columns)).to_pandas()
    answer = _answer(model, task)
    try:
        expected = answer(theirs)
    except Exception:  # noqa: BLE001 - it was fitted to other types than the data has, such as floats for decimals
        return
    if _difference(answer(ours), expected) <= _TOLERANCE:
        return
    kinds = {name: kind for kind, names in features.kinds.items() for name in names}
    culprits = [
        f"{name} ({rows[name].type}, used as {kinds[name]})"
        for name in columns
        if _difference(answer(theirs.assign(**{name: ours[name]})), expected) > _TOLERANCE
    ]
    raise SchemaMismatch(
        f"it predicts otherwise from columns as the data has them than as `features` uses them: {', '.join(culprits) or 'several'}. "
        "Use them as it has learned them: numbers under numeric, texts under categorical"
    )


def _answer(model: BaseEstimator, task: str) -> Callable[[pd.DataFrame], np.ndarray]:
    import numpy as np

    ask: Any = getattr(model, "predict_proba" if task == "classification" else "predict")
    named = hasattr(model, "feature_names_in_")
    return lambda frame: np.asarray(ask(frame if named else frame.to_numpy()), dtype=float)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    import numpy as np

    if one.shape != other.shape:
        return float("inf")
    apart = np.abs(one - other) / np.maximum(1, np.abs(other))
    apart = np.where(np.isnan(one) & np.isnan(other), 0, apart)
    return float("inf") if np.isnan(apart).any() else float(apart.max(initial=0))


def _estimators(model: BaseEstimator) -> set[str]:
    parts = [model, *model.get_params().values()]
    return {f"{type(part).__module__}.{type(part).__name__}" for part in parts if hasattr(part, "fit")}


def _main() -> int:
    output = sys.stdout
    # What its code prints must not be taken for the report.
    sys.stdout = sys.stderr
    try:
        report, code = convert(json.load(sys.stdin)), 0
    except Exception as error:  # noqa: BLE001 - every error is reported to the parent process
        report, code = {"error": type(error).__name__, "message": str(error)}, 1
    output.write(f"\n{json.dumps(report)}\n")
    output.flush()
    return code


if __name__ == "__main__":
    ended = _main()
    # Arrow's threads sometimes abort a process that exits normally; its report has been written by now.
    os._exit(ended)
