"""Preprocessing that is derived from the schema: what an estimator needs done to numbers, categories and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.estimators import PACKAGES, EstimatorPackage

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.compose import ColumnTransformer

    from airflow_mlops.domain.spec.data import TextFeature
    from airflow_mlops.domain.spec.model import Features

_MISSING = float("nan")
# A category with more values than these does not get a column for each: rows × columns × 8 bytes are held if dense.
_FEW_SPARSE, _FEW_DENSE = 50, 20
# What a text becomes for an estimator that takes no sparse columns.
_DIRECTIONS = 50
_DAY = 86_400.0
# Seconds of each cycle, its bumps, and the days that data must span to show it. A year is the mean one of the Gregorian
# calendar. There are as many bumps as in scikit-learn's example of time-related features: one for two hours, a day, a
# month.
_CYCLES = (("day", _DAY, 12, 0), ("week", 7 * _DAY, 7, 7), ("year", 365.2425 * _DAY, 12, 365))


def untouched(features: Features) -> ColumnTransformer:
    """Return a step that passes the features on as a data frame, for an estimator that prepares them itself."""
    from sklearn.compose import ColumnTransformer

    steps = [(kind, "passthrough", names) for kind, names in _used_kinds(features)]
    # Columns keep their names, as no step changes them.
    return ColumnTransformer(steps, verbose_feature_names_out=False).set_output(transform="pandas")


def derive(
    model: BaseEstimator,
    features: Features,
    task: str,
    seed: int,
    counts: Mapping[str, int] | None = None,
    classes: int = 2,
) -> tuple[ColumnTransformer, int]:
    """Return the step that prepares features for an estimator, and how many of its columns are codes of categories.

    Those columns follow the numeric ones.

    * Numbers: the median in place of missing ones, then scaled; each only if the estimator needs it.
    * Categories: one column for each value, or for all but the rare ones; for histogram gradient boosting, codes. A
      column with more values than that becomes the mean target of each value, fitted across folds and shrunk to the
      common mean: regularised target encoding, which Pargent et al., "Regularized target encoding outperforms
      traditional methods in supervised machine learning with high cardinality features", Computational Statistics
      2022, found best. A value that was not seen in training counts as missing, as rare or as the mean. An outlier detector
      sees no label, so it gets one column for all rare values instead.
    * Times: periodic splines over the day, the week and the year (in UTC), zero where missing.
    * Texts: words and their neighbours, hashed to columns, which so are never more than asked for and keep no word of anybody,
      and weighted by TF-IDF. Estimators that take no sparse columns get the 50 strongest directions of these: latent
      semantic analysis, Deerwester and others, Indexing by Latent Semantic Analysis (1990).

    :param counts: see :func:`airflow_mlops.learning.models.pipeline.categories`; None means that categories are few, times
        span years, and every number has values.
    :param classes: number of classes of a classification.
    """
    from sklearn.base import is_outlier_detector
    from sklearn.compose import ColumnTransformer

    tags = model.__sklearn_tags__().input_tags
    counts = counts or {}
    place = type(model).__module__
    package = PACKAGES.get(place.partition(".")[0], EstimatorPackage(()))
    dense = not tags.sparse or place.startswith(package.dense)
    codes = hasattr(model, "categorical_features")
    most = model.max_bins if codes else _FEW_DENSE if dense else _FEW_SPARSE
    blind = is_outlier_detector(model)
    few = [name for name in features.categorical if blind or counts.get(name, 0) <= most]
    many = [name for name in features.categorical if name not in few]
    scale = [] if place.startswith(package.unscaled) else [_scaler(tags.positive_only)]
    takes_missing = tags.allow_nan and (dense or package.sparse_missing)
    fill = _gaps(features.numeric, counts) if takes_missing else _imputer(features.missing is not None)
    encoders = _used(
        [
            ("few", _codes(most) if codes else _columns(most), few),
            ("many", _chain([_means(task, seed, classes), *scale]), many),
        ]
    )
    steps = {
        "numeric": _chain([fill, *scale]),
        # Whether the output is sparse is decided once, for all columns together.
        "categorical": ColumnTransformer(encoders, sparse_threshold=1),
        "dates": _cycles(features.dates, counts),
    }
    if features.text:
        words = [
            (f"{place}", _words(text, scale if dense else None, seed), [text.column])
            for place, text in enumerate(features.text)
        ]
        steps["text"] = ColumnTransformer(words, sparse_threshold=1)
    prepare = ColumnTransformer(
        [(kind, steps[kind], names) for kind, names in _used_kinds(features)],
        sparse_threshold=0 if dense else 0.3,
    )
    return prepare, len(few) if codes else 0


def _used_kinds(features: Features) -> list[tuple[str, list[str]]]:
    return [(kind, list(names)) for kind, names in features.kinds.items() if names]


def _used(steps: list[tuple[str, Any, list[str]]]) -> list[tuple[str, Any, list[str]]]:
    return [step for step in steps if step[2]]


def _chain(steps: list[Any]) -> Any:
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps) if len(steps) > 1 else steps[0]


def _gaps(names: tuple[str, ...], counts: Mapping[str, int]) -> Any:
    """Return a step that leaves numbers as they are, but fills columns that may have no value at all.

    scikit-learn's histogram gradient boosting (1.9) cannot be fitted on such a column.
    """
    from sklearn.compose import ColumnTransformer

    empty = [name for name in names if counts.get(name, 1) == 0]
    if not empty:
        return "passthrough"
    return ColumnTransformer([("empty", _imputer(), empty)], remainder="passthrough")


def _imputer(indicate: bool = False) -> Any:
    from sklearn.impute import SimpleImputer

    return SimpleImputer(strategy="median", keep_empty_features=True, add_indicator=indicate)


def _words(text: TextFeature, scale: list[Any] | None, seed: int) -> Any:
    """Return the step that turns one column of texts into numbers.

    :param scale: what follows for an estimator that takes no sparse columns; None for one that does.
    """
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import FunctionTransformer

    steps = [
        # What MLflow hands a model of ours has gaps, which our own frames have not.
        SimpleImputer(strategy="constant", fill_value=""),
        FunctionTransformer(np.ravel),
        HashingVectorizer(
            n_features=text.max_features, ngram_range=(1, text.ngrams), alternate_sign=False, norm=None
        ),
        TfidfTransformer(sublinear_tf=True),
    ]
    if scale is not None:
        steps += [TruncatedSVD(_DIRECTIONS, random_state=seed), *scale]
    return _chain(steps)


def _scaler(positive: bool) -> Any:
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    return MinMaxScaler(clip=True) if positive else StandardScaler()


def _columns(most: int) -> Any:
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=most)


def _codes(most: int) -> Any:
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=_MISSING,
        encoded_missing_value=_MISSING,
        max_categories=most,
    )


def _means(task: str, seed: int, classes: int) -> Any:
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import TargetEncoder

    # By itself it would take whole numbers of a regression for classes.
    kind = "binary" if task == "classification" else "continuous"
    # The early rows that a search fits to may hold only two of many classes.
    kind = "auto" if classes > 2 else kind
    return TargetEncoder(target_type=kind, cv=KFold(5, shuffle=True, random_state=seed))


def _cycles(names: tuple[str, ...], counts: Mapping[str, int]) -> Any:
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import SplineTransformer

    def splines(length: float, bumps: int, columns: int) -> SplineTransformer:
        knots = np.linspace(0, length, bumps + 1)
        return SplineTransformer(
            degree=3,
            knots=np.repeat(knots[:, None], columns, axis=1),
            extrapolation="periodic",
            include_bias=False,
            handle_missing="zeros",
        )

    # A season that the data do not cover cannot be learned from other parts of the year.
    shown = [
        (cycle, length, bumps, [name for name in names if counts.get(name, days) >= days])
        for cycle, length, bumps, days in _CYCLES
    ]
    return ColumnTransformer(
        _used(
            [
                (cycle, splines(length, bumps, len(columns)), columns)
                for cycle, length, bumps, columns in shown
            ]
        )
    )
