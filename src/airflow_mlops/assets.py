"""Assets by which the DAGs of a model start each other: one for each stage, whose events carry the stage's facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.checks import Fact

EXTRA = "airflow_mlops"
"""The one key of an asset event's extra that holds our facts."""


def data(model: str) -> Asset:
    """Return the asset of published data."""
    return _asset(model, "data")


def predictions(model: str) -> Asset:
    """Return the asset of predictions."""
    return _asset(model, "predictions")


def health(model: str) -> Asset:
    """Return the asset of the champion's health."""
    return _asset(model, "health")


def champion(model: str) -> Asset:
    """Return the asset of the champion; it has an event for each move of the alias."""
    return _asset(model, "model")


def emit(context: Context, asset: Asset, **facts: Fact | None) -> None:
    """Put facts into the event of an outlet, if the task has that outlet.

    :param facts: facts by name; one that is None is left out.
    """
    if asset in context["task"].outlets:
        extra: dict[str, Any] = {name: fact.to_dict() for name, fact in facts.items() if fact is not None}
        context["outlet_events"][asset].extra = {EXTRA: extra}


def _asset(model: str, stage: str) -> Asset:
    # A URI of our own scheme: storage may differ between processes that parse the same DAG.
    return Asset(name=f"{model}/{stage}", uri=f"mlops://{model}/{stage}", group="mlops")
