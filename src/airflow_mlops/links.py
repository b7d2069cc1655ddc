"""Links from a task to its MLflow run and to its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink, conf

from airflow_mlops import config

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


class MlflowRunLink(BaseOperatorLink):
    """Open the MLflow run of a task; there is no link while ``[mlops] mlflow_url`` is empty."""

    name = "MLflow run"

    @staticmethod
    def persist(context: Context, *, experiment_id: str, run_id: str) -> None:
        """Remember the run that the task's link opens."""
        context["ti"].xcom_push(key="mlflow_run", value={"experiment_id": experiment_id, "run_id": run_id})

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the run, or an empty text, which Airflow shows as no link."""
        run, url = _xcom(ti_key, "mlflow_run"), config.mlflow_url()
        return f"{url}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}" if run and url else ""


class ReportLink(BaseOperatorLink):
    """Open the page that a task wrote under ``[mlops] reports``."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the page on this Airflow, or an empty text, which Airflow shows as no link."""
        report = _xcom(ti_key, "report")
        return (
            f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/mlops/reports/{report}" if report else ""
        )


def _xcom(ti_key: TaskInstanceKey, key: str) -> Any:
    # Airflow asks for links in the task's own process, after the task has run, and keeps the answer as an XCom.
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_value(ti_key=ti_key, key=key)
