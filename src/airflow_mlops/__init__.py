"""Continuous training for Apache Airflow 3: data in, gated models out, on a schedule and with reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.pipelines.continuous_training import continuous_training

__version__ = "0.1.0"
__all__ = ["ModelSpec", "__version__", "continuous_training"]

_LAZY = {
    "ModelSpec": "airflow_mlops.domain.spec.model",
    "continuous_training": "airflow_mlops.pipelines.continuous_training",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that the domain and the engines stay importable without Airflow (the blessing process needs that).
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
