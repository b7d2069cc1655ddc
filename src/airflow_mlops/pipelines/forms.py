"""The forms of the DAGs that people start by hand."""

from __future__ import annotations

from airflow.sdk import DAG, Param
from airflow.sdk.definitions.param import ParamsDict

from airflow_mlops.domain.spec.model import ModelSpec


def train(spec: ModelSpec) -> dict[str, Param]:
    """Return what a person may ask of a training run."""
    return {
        "reason": Param(
            None, type=["null", "string"], title="Reason", description="Why this run was started by hand."
        ),
        "force": Param(
            False,
            type="boolean",
            title="Train whatever the policy says",
            description="Without it, the retrain policy decides and says why.",
        ),
        "window": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Window",
            description=f"Train on this many partitions; empty means {spec.train.window}, as the spec says.",
        ),
    }


def rollback() -> dict[str, Param]:
    """Return what a person has to say to roll back."""
    return {
        "to": Param(
            None,
            type=["null", "string"],
            title="To version",
            description="A version of the registered model; empty means the one before the champion.",
        ),
        "reason": Param(
            type="string", minLength=3, title="Reason", description="Why; it is kept in the ledger."
        ),
    }


def attach(dag: DAG, form: dict[str, Param]) -> DAG:
    """Give a DAG its form, once its tasks are made.

    Tasks that are made afterwards would each take a copy, which is much of what parsing many models costs.
    """
    dag.params = ParamsDict(form)
    return dag
