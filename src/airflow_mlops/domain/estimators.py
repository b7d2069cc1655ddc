"""The packages that estimators may come from: a new one is one entry, and a line in pyproject.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class EstimatorPackage:
    """What has to be known of a package whose estimators follow scikit-learn's protocol.

    :param distributions: names that it is installed under; any of them will do.
    :param types: qualified names of the types that a fitted estimator holds, beyond what skops trusts. They may hold
        indices that are followed without checking bounds: a model's digest is checked before it is loaded.
    :param unscaled: modules of estimators that order values and never measure distances, so that no scale is needed.
    :param dense: modules of estimators that are to have no sparse columns.
    :param sparse_missing: whether its estimators tell a missing value in a sparse column from a zero.
    :param inherits_parameters: whether its constructors take parameters that only classes above them name.
    :param aliases: function that returns other names of its parameters, by name, as ``module:attribute``; None without.
    :param settings: parameters of every estimator of it, where a candidate sets nothing else.
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
            # Its types are in learning/models/skops_file.py: parts of it stand in every pipeline.
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
            # With them the same data give the same trees on any number of threads, as its documentation of
            # `deterministic` says. 0 leaves their number to OpenMP, which a task limits; LightGBM would count processors
            # otherwise. The last keeps it from printing.
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
            # It takes a zero that is not stored for missing.
            dense=("xgboost",),
            inherits_parameters=True,
        ),
    }
)
"""By the name that they are imported under."""


def distributions(package: str) -> tuple[str, ...]:
    """Return the names that a package may be installed under; none for one that estimators may not come from."""
    return PACKAGES[package].distributions if package in PACKAGES else ()
