"""Other names that parameters of an estimator have: LightGBM has several for most."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any

from airflow_mlops.domain.estimators import PACKAGES, EstimatorPackage


def of(package: EstimatorPackage) -> dict[str, list[str]]:
    """Return the other names of a package's parameters."""
    if package.aliases is None:
        return {}
    module, _, path = package.aliases.partition(":")
    names: dict[str, list[str]] = attrgetter(path)(import_module(module))()
    return names


def but(settings: Mapping[str, Any], names: Collection[str], package: EstimatorPackage) -> dict[str, Any]:
    """Return settings but those that are set by another name, since LightGBM would take one of both and warn.

    :param names: what is set, by whatever name.
    """
    groups = [{main, *others} for main, others in of(package).items()]
    replaced = {name for group in groups if group & set(names) for name in group}
    if "force_row_wise" in replaced:
        replaced.add("force_col_wise")
    return {name: value for name, value in settings.items() if name not in replaced}


def without(params: Mapping[str, Any], names: Collection[str], estimator: str) -> dict[str, Any]:
    """Return parameters of an estimator but some, by whatever name they are written: those of LightGBM have several.

    :param estimator: its dotted path.
    """
    package = PACKAGES[estimator.partition(".")[0]]
    return but({key: value for key, value in params.items() if key not in names}, names, package)
