"""The forms of the DAGs that people start by hand."""

from __future__ import annotations

from airflow.sdk import DAG, Param
from airflow.sdk.definitions.param import ParamsDict

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.windows import phrase


def train(spec: ModelSpec) -> dict[str, Param]:
    """Return the form of a training run that a person starts."""
    if spec.train.elsewhere:
        return _judge(spec)
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
        "record": Param(
            False,
            type="boolean",
            title="For the record",
            description="Of a partition before others that were decided already: a candidate is trained and judged as of that "
            "partition, and the champion stays.",
        ),
        "window": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Window",
            description=f"Train on this many partitions; empty means {phrase(spec.train.window)}, as the spec says.",
        ),
    }


def _judge(spec: ModelSpec) -> dict[str, Param]:
    """Return the form of a run that judges a version that was trained elsewhere."""
    return {
        "reason": Param(
            None, type=["null", "string"], title="Reason", description="Why this run was started by hand."
        ),
        "version": Param(
            None,
            type=["null", "string"],
            title="Version",
            pattern="^[0-9]{0,10}$",
            description=f"Version of {spec.train.elsewhere} to judge, also if it was judged before; empty means the newest, if it "
            "was not judged yet.",
        ),
        "record": Param(
            False,
            type="boolean",
            title="For the record",
            description="Of a partition before others that were decided already: the version is judged as of that partition, and "
            "the champion stays.",
        ),
    }


def rollback(spec: ModelSpec) -> dict[str, Param]:
    """Return the form of a rollback that a person starts.

    It cannot list the versions: it is made when the DAG file is parsed, where no ledger may be read.
    """
    return {
        "to": Param(
            None,
            type=["null", "string"],
            title="To version",
            pattern="^[0-9]{0,10}$",
            description=f"A version that was champion before: `airflow mlops history {spec.name}` lists them, and so does the "
            "error if another one is named. Empty means the one before the champion.",
        ),
        "reason": Param(
            type="string", minLength=3, title="Reason", description="Why; it is kept in the ledger."
        ),
    }


def attach(dag: DAG, form: dict[str, Param]) -> DAG:
    """Give a DAG its form, after its tasks were made.

    Each task that is made later would copy the form, which takes much of the time of parsing many models.
    """
    dag.params = ParamsDict(form)
    return dag
