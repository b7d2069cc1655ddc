"""Continuous training for Apache Airflow 3: data in, gated models out, on a schedule and with reasons.

The names of this module are what DAG files, services and notebooks are written with. Beside them, operators, sensors,
triggers, notifiers, hooks and assets are imported from the modules called so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import Evaluation
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.spec.approval import Approval
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.domain.spec.intervals import PredictionIntervals
    from airflow_mlops.domain.spec.model import (
        Alerts,
        AutoRollback,
        Budget,
        Candidate,
        ClassCosts,
        ClassGates,
        Costs,
        Decision,
        DriftPolicy,
        Expectation,
        Fairness,
        Features,
        Gates,
        KofN,
        Labels,
        ModelSpec,
        Monitor,
        PerformancePolicy,
        Range,
        Rescue,
        Retrain,
        RetrainWhen,
        SchemaPolicy,
        Score,
        Serving,
        Shadow,
        Skew,
        Slices,
        Stability,
        Suite,
        Train,
        VersusChampion,
    )
    from airflow_mlops.domain.spec.monitoring import MonitoringSpec
    from airflow_mlops.domain.spec.own_metrics import OwnMetric
    from airflow_mlops.domain.spec.predictions import Predictions
    from airflow_mlops.domain.spec.specs import load_spec
    from airflow_mlops.hooks.source_files import FileSource
    from airflow_mlops.hooks.source_sql import SqlSource
    from airflow_mlops.hooks.sources import DatasetSource
    from airflow_mlops.learning.models.asof import as_of
    from airflow_mlops.learning.models.intervals import predict_intervals
    from airflow_mlops.learning.models.models import load_version, predict
    from airflow_mlops.learning.models.transform import of_model as load_transform
    from airflow_mlops.pipelines.continuous_training import continuous_training
    from airflow_mlops.reporting.alerts.channel import Channel, Receipt
    from airflow_mlops.reporting.alerts.notice import Notice
    from airflow_mlops.reporting.card.card import write as write_card
    from airflow_mlops.stages.replay.policies import replay_policies
    from airflow_mlops.stages.reproduce.reproduce import reproduce
    from airflow_mlops.stages.validate.validate import frame as validate_frame
    from airflow_mlops.stages.validate.validate import raise_for as raise_for_verdict
    from airflow_mlops.stores.registry.champions import champion
    from airflow_mlops.stores.sources.delta import DeltaSource
    from airflow_mlops.stores.sources.python import PythonSource

__version__ = "0.1.0"
__all__ = [
    "Alerts",
    "Approval",
    "AutoRollback",
    "Budget",
    "Candidate",
    "Channel",
    "ClassCosts",
    "ClassGates",
    "Costs",
    "DataSpec",
    "DatasetSource",
    "Decision",
    "DeltaSource",
    "DriftPolicy",
    "Evaluation",
    "Expectation",
    "Fairness",
    "Features",
    "FileSource",
    "Gates",
    "KofN",
    "Labels",
    "ModelSpec",
    "Monitor",
    "MonitoringSpec",
    "Notice",
    "OwnMetric",
    "Partition",
    "PerformancePolicy",
    "PredictionIntervals",
    "Predictions",
    "PythonSource",
    "Range",
    "Receipt",
    "Rescue",
    "Retrain",
    "RetrainWhen",
    "SchemaPolicy",
    "Score",
    "Serving",
    "Shadow",
    "Skew",
    "Slices",
    "SqlSource",
    "Stability",
    "Suite",
    "Train",
    "VersusChampion",
    "__version__",
    "as_of",
    "champion",
    "continuous_training",
    "load_spec",
    "load_transform",
    "load_version",
    "predict",
    "predict_intervals",
    "raise_for_verdict",
    "replay_policies",
    "reproduce",
    "validate_frame",
    "write_card",
]

_SPEC = "airflow_mlops.domain.spec.model"
"""Where a name is defined that :data:`_ELSEWHERE` does not have: the spec and its sections."""
_ELSEWHERE = {
    "Approval": "airflow_mlops.domain.spec.approval:Approval",
    "Channel": "airflow_mlops.reporting.alerts.channel:Channel",
    "DataSpec": "airflow_mlops.domain.spec.dataset:DataSpec",
    "DatasetSource": "airflow_mlops.hooks.sources:DatasetSource",
    "DeltaSource": "airflow_mlops.stores.sources.delta:DeltaSource",
    "Evaluation": "airflow_mlops.domain.facts.results:Evaluation",
    "FileSource": "airflow_mlops.hooks.source_files:FileSource",
    "MonitoringSpec": "airflow_mlops.domain.spec.monitoring:MonitoringSpec",
    "Notice": "airflow_mlops.reporting.alerts.notice:Notice",
    "OwnMetric": "airflow_mlops.domain.spec.own_metrics:OwnMetric",
    "Partition": "airflow_mlops.domain.partitions:Partition",
    "PredictionIntervals": "airflow_mlops.domain.spec.intervals:PredictionIntervals",
    "Predictions": "airflow_mlops.domain.spec.predictions:Predictions",
    "PythonSource": "airflow_mlops.stores.sources.python:PythonSource",
    "Receipt": "airflow_mlops.reporting.alerts.channel:Receipt",
    "SqlSource": "airflow_mlops.hooks.source_sql:SqlSource",
    "as_of": "airflow_mlops.learning.models.asof:as_of",
    "champion": "airflow_mlops.stores.registry.champions:champion",
    "continuous_training": "airflow_mlops.pipelines.continuous_training:continuous_training",
    "load_spec": "airflow_mlops.domain.spec.specs:load_spec",
    "load_transform": "airflow_mlops.learning.models.transform:of_model",
    "load_version": "airflow_mlops.learning.models.models:load_version",
    "predict": "airflow_mlops.learning.models.models:predict",
    "predict_intervals": "airflow_mlops.learning.models.intervals:predict_intervals",
    "raise_for_verdict": "airflow_mlops.stages.validate.validate:raise_for",
    "replay_policies": "airflow_mlops.stages.replay.policies:replay_policies",
    "reproduce": "airflow_mlops.stages.reproduce.reproduce:reproduce",
    "validate_frame": "airflow_mlops.stages.validate.validate:frame",
    "write_card": "airflow_mlops.reporting.card.card:write",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that a DAG file loads only what it names, and all below `config` stays importable without Airflow (the
    # blessing process needs that).
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _ELSEWHERE.get(name, f"{_SPEC}:{name}").partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    # Python takes its "Did you mean" from here, and editors what they offer.
    return sorted({*globals(), *__all__})
