"""scikit-learn pipelines: preprocessing inside, built from a candidate of the spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.spec.candidates import ENSEMBLE
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import combine, estimators, outliers, preprocess
from airflow_mlops.stores.arrow import is_beyond_exact
from airflow_mlops.stores.sources.hints import Looks

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.spec.model import Candidate

_SECONDS_A_DAY = 86_400
_EARLIEST = 0.2


def build(
    candidate: Candidate,
    features: Features,
    task: str,
    seed: int,
    *,
    params: Mapping[str, Any] | None = None,
    categories: Mapping[str, int] | None = None,
    classes: int = 2,
) -> Pipeline:
    """Build an unfitted pipeline of the steps ``prepare`` and ``model``, with every parameter set.

    Preprocessing is derived from the features (see :func:`airflow_mlops.learning.models.preprocess.derive`), unless the
    candidate names a function: the estimator that it returns gets a data frame of the features, made by :func:`frame`. In
    a calibrated model or an ensemble it lies within: what is predicted for rows apart must not have seen their labels.

    :param task: ``classification`` or ``regression``.
    :param seed: of everything random, unless the candidate sets a ``random_state``.
    :param params: parameters of a trial, which override or join the candidate's; None if there are none.
    :param categories: what :func:`categories` counted in the training rows; None means that categories are few, times
        span years, and every number has values.
    :param classes: number of classes of a classification.
    :raises TrainingFailed: if the estimator or one of its parameters does not exist or does not suit the task, or its
        library is not installed.
    :raises UntrustedModel: if a function returns an estimator that cannot be stored.
    """
    parts = _Parts(features, task, seed, categories, classes)
    return parts.build(candidate, params or {})


class _Parts(NamedTuple):
    """What the parts of a model have in common; see :func:`build`."""

    features: Features
    task: str
    seed: int
    categories: Mapping[str, int] | None
    classes: int

    def build(self, candidate: Candidate, params: Mapping[str, Any]) -> Pipeline:
        if candidate.estimator == ENSEMBLE:
            model: Any = combine.ensemble(self._members(candidate, params), str(candidate.method), self.task)
        elif not candidate.calibrate:
            return self._plain(candidate, params)
        else:
            model = self._plain(candidate, params)
        if candidate.calibrate:
            model = combine.calibrated(model, candidate.calibrate)
        return self._unprepared(model)

    def _members(self, candidate: Candidate, params: Mapping[str, Any]) -> list[tuple[str, Pipeline]]:
        members = estimators.members(candidate, params)
        return [(member.name, self.build(member, chosen)) for member, chosen in members]

    def _plain(self, candidate: Candidate, params: Mapping[str, Any]) -> Pipeline:
        from sklearn.pipeline import Pipeline

        model = estimators.build(candidate, self.task, self.seed, params, self.classes)
        if estimators.is_function(candidate):
            return self._unprepared(outliers.scored(model))
        prepare, codes = preprocess.derive(
            model, self.features, self.task, self.seed, self.categories, self.classes
        )
        if codes and "categorical_features" not in {**candidate.params, **params}:
            first = len(self.features.numeric)
            model.set_params(categorical_features=[*range(first, first + codes)])
        return Pipeline([("prepare", prepare), ("model", outliers.scored(model))])

    def _unprepared(self, model: BaseEstimator) -> Pipeline:
        from sklearn.pipeline import Pipeline

        return Pipeline([("prepare", preprocess.untouched(self.features)), ("model", model)])


def categories(frame: pd.DataFrame, features: Features) -> dict[str, int]:
    """Count, for each feature, what its preprocessing depends on.

    For a category these are its distinct values, for a time the whole days that it spans. A number is included, as 0,
    only if the earliest rows have no value of it, since the first fold of a search is fitted on them alone.

    :param frame: training rows in order of event time, as :func:`frame` prepares them.
    """
    import numpy as np

    earliest = frame[: max(1, int(_EARLIEST * len(frame)))]
    counts = {name: 0 for name in features.numeric if not earliest[name].notna().any()}
    counts |= {name: int(frame[name].nunique()) for name in features.categorical}
    for name in features.dates:
        span = frame[name].max() - frame[name].min()
        counts[name] = int(np.nan_to_num(span) // _SECONDS_A_DAY)
    return counts


def features_of(model: Pipeline) -> Features:
    """Return the features that a pipeline of :func:`build` takes."""
    return Features.model_validate({kind: tuple(names) for kind, _, names in model["prepare"].transformers})


def frame(rows: pa.Table | pd.DataFrame, features: Features) -> pd.DataFrame:
    """Return the features as a data frame: numbers as float64, categories as text, times as seconds since 1970, texts.

    Missing is NaN in all of them, and the empty text in texts. So are numbers that are infinite or beyond a 32-bit float (3.4e38): scikit-learn
    takes none. Times without a zone count as UTC, dates as their midnight.

    :raises SchemaMismatch: if a feature is missing or of a type that cannot be converted.
    """
    import pandas as pd
    import pyarrow as pa

    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
    there = set(table.column_names)
    absent = [name for name in features.names if name not in there]
    if absent:
        raise SchemaMismatch(
            f"The data has no column {', '.join(absent)}; it has {', '.join(table.column_names)}."
        )
    columns = {name: _numbers(table, name) for name in features.numeric}
    columns |= {name: _categories(table, name) for name in features.categorical}
    columns |= {name: _seconds(table, name) for name in features.dates}
    columns |= {name: _texts(table, name) for name in features.kinds.get("text", ())}
    # The arrays were made here, so they need not be copied.
    series = {name: pd.Series(values, dtype=values.dtype, copy=False) for name, values in columns.items()}
    return pd.DataFrame(series, copy=False)


def labelled(
    table: pa.Table, target: str, task: str, classes: Sequence[str] = BINARY
) -> tuple[pa.Table, np.ndarray]:
    """Return the rows that have a label, and their labels: codes of classes for classification, or numbers.

    :param classes: in the order of their codes; see :func:`airflow_mlops.learning.models.classes.coded`.
    :raises SchemaMismatch: if there is no such column, or it holds what is no label of the task.
    """
    rows, values = labels(table, target, task)
    if task != "classification":
        return rows, values
    return rows, label_classes.coded(values, classes, target)


def labels(table: pa.Table, target: str, task: str) -> tuple[pa.Table, np.ndarray]:
    """Return the rows that have a label, and their labels as they are: numbers, or the texts of classes.

    :raises SchemaMismatch: if there is no such column, or it holds anything but numbers, or, for classification, texts.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if target not in table.column_names:
        raise SchemaMismatch(
            f"The data has no target column {target!r}; it has {', '.join(table.column_names)}."
        )
    if task == "classification" and _holds_names(table[target]):
        names = table[target].cast(pa.string())
        # An empty text is a label that is missing, and no class could be named so.
        has_label = pc.fill_null(pc.not_equal(names, ""), False).to_numpy(zero_copy_only=False)
        values = names.filter(pa.array(has_label)).to_numpy(zero_copy_only=False)
    else:
        numbers = _numbers(table, target)
        has_label = ~np.isnan(numbers)
        values = numbers[has_label]
    return table if has_label.all() else table.filter(pa.array(has_label)), values


def _holds_names(column: pa.ChunkedArray) -> bool:
    """Tell whether labels are texts, or whole numbers that a fraction cannot hold."""
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind):
        return is_beyond_exact(column)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _cast(table: pa.Table, name: str, kind: pa.DataType, *, exact: bool = True) -> pa.Array:
    import pyarrow as pa

    try:
        return table[name].cast(kind, safe=exact).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatch(
            f"Column {name!r} is {table[name].type}, which is no {kind}: {error}{_hint(table, name)}"
        ) from error


def _hint(table: pa.Table, name: str) -> str:
    looks = Looks()
    looks.add(table.select([name]))
    return "".join(
        f"; {hint.sentence()}; write {hint.written()} if it is read from CSV" for hint in looks.hints()
    )


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    # Whole numbers beyond 2**53 lose their last digits.
    values = _cast(table, name, pa.float64(), exact=False).to_numpy(zero_copy_only=False)
    return np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan)


def _seconds(table: pa.Table, name: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    kind = table[name].type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_null(kind)):
        raise SchemaMismatch(f"Column {name!r} is {kind}, which is no time{_hint(table, name)}.")
    # Nanoseconds are cut off.
    micros = _cast(table, name, pa.timestamp("us"), exact=False).to_numpy(zero_copy_only=False)
    return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6)


def _texts(table: pa.Table, name: str) -> np.ndarray:
    import pyarrow as pa

    kind = table[name].type
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_null(plain) or pa.types.is_string(plain) or pa.types.is_large_string(plain)):
        raise SchemaMismatch(f"Column {name!r} is {kind}, which is no text: features.text takes texts.")
    values: np.ndarray = _cast(table, name, pa.large_string()).fill_null("").to_numpy(zero_copy_only=False)
    return values


def _categories(table: pa.Table, name: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    encoded = _cast(table, name, pa.string()).dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names = np.array([*encoded.dictionary.to_pylist(), np.nan], dtype=object)
    values: np.ndarray = names[encoded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)]
    return values
