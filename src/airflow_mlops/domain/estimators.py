"""The packages that estimators may come from: a new one is one entry, and a line in pyproject.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

KEEP_ROWS = frozenset(
    {
        "GaussianProcessClassifier",
        "GaussianProcessRegressor",
        "KNeighborsClassifier",
        "KNeighborsRegressor",
        "KernelRidge",
        "LabelPropagation",
        "LabelSpreading",
        "LocalOutlierFactor",
        "NuSVC",
        "NuSVR",
        "OneClassSVM",
        "RadiusNeighborsClassifier",
        "RadiusNeighborsRegressor",
        "SVC",
        "SVR",
    }
)
"""Estimators of scikit-learn that keep rows they were fitted to, all or some, as what they predict by."""


def may_keep_rows(estimator: str) -> bool:
    """Tell whether a fitted estimator holds rows that it was fitted to; one that a function builds may.

    :param estimator: as a candidate names it.
    """
    return ":" in estimator or estimator.rpartition(".")[2] in KEEP_ROWS


@dataclass(frozen=True)
class EstimatorPackage:
    """What we need to know about a package whose estimators follow scikit-learn's protocol.

    :param distributions: names of the distributions that contain it; one of them is enough.
    :param types: qualified names of the types that a fitted estimator holds, beyond what skops trusts. They may hold
        indices that are followed without checking bounds: a model's digest is checked before it is loaded.
    :param unscaled: modules of estimators that only order values and never measure distances, so that columns need no scaling.
    :param dense: modules of estimators that must not be given sparse columns.
    :param sparse_missing: whether its estimators can tell a missing value in a sparse column from a zero.
    :param inherits_parameters: whether its constructors take parameters that only their base classes name.
    :param aliases: function that maps each parameter to its other names, as ``module:attribute``; None if there are none.
    :param settings: parameters that each of its estimators gets unless a candidate sets them otherwise.
    """

    distributions: tuple[str, ...]
    types: tuple[str, ...] = ()
    unscaled: tuple[str, ...] = ()
    dense: tuple[str, ...] = ()
    sparse_missing: bool = False
    inherits_parameters: bool = False
    aliases: str | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


PACKAGES: Mapping[str, EstimatorPackage] = MappingProxyType(
    {
        "sklearn": EstimatorPackage(
            distributions=("scikit-learn",),
            # Its types are listed in learning/models/skops_file.py, because every pipeline has parts of scikit-learn.
            unscaled=("sklearn.tree", "sklearn.ensemble", "sklearn.dummy"),
            # Its trees are several times slower on sparse columns.
            dense=("sklearn.tree", "sklearn.ensemble"),
        ),
        "lightgbm": EstimatorPackage(
            distributions=("lightgbm",),
            types=(
                "lightgbm.basic.Booster",
                "lightgbm.sklearn.LGBMClassifier",
                "lightgbm.sklearn.LGBMRegressor",
            ),
            unscaled=("lightgbm",),
            sparse_missing=True,
            aliases="lightgbm.basic:_ConfigAliases._get_all_param_aliases",
            # The first two give the same trees for the same data on any number of threads, as LightGBM documents under
            # `deterministic`. n_jobs 0 leaves the number of threads to OpenMP, which a task limits; otherwise LightGBM
            # counts processors. verbosity -1 keeps it from printing.
            settings=MappingProxyType(
                {"deterministic": True, "force_col_wise": True, "n_jobs": 0, "verbosity": -1}
            ),
        ),
        "xgboost": EstimatorPackage(
            distributions=("xgboost", "xgboost-cpu"),
            types=(
                "xgboost.core.Booster",
                "xgboost.sklearn.XGBClassifier",
                "xgboost.sklearn.XGBRFClassifier",
                "xgboost.sklearn.XGBRFRegressor",
                "xgboost.sklearn.XGBRegressor",
            ),
            unscaled=("xgboost",),
            # In a sparse column, XGBoost takes a zero that is not stored for a missing value.
            dense=("xgboost",),
            inherits_parameters=True,
        ),
    }
)
"""The packages by the name under which they are imported."""

QUANTILE_LOSSES: Mapping[str, tuple[Mapping[str, str], str]] = MappingProxyType(
    {
        "sklearn.ensemble.HistGradientBoostingRegressor": ({"loss": "quantile"}, "quantile"),
        "sklearn.ensemble.GradientBoostingRegressor": ({"loss": "quantile"}, "alpha"),
        "sklearn.linear_model.QuantileRegressor": ({}, "quantile"),
        "lightgbm.LGBMRegressor": ({"objective": "quantile"}, "alpha"),
    }
)
"""Estimators that can be fitted to a quantile: the parameters that this takes, and the parameter for which quantile."""


def distributions(package: str) -> tuple[str, ...]:
    """Return the distributions that may contain a package; none if estimators may not come from that package."""
    return PACKAGES[package].distributions if package in PACKAGES else ()
