"""Links from a task to its MLflow run and to its report.

Airflow asks for them in the task's own process, after the task has run, and keeps the answers as XComs; an empty
answer is shown as no link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_mlops import config

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class MlflowRunLink(BaseOperatorLink):
    """Open the MLflow run whose id the task has pushed as XCom ``mlflow_run``, if ``[mlops] mlflow_url`` is set."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the run; MLflow finds the experiment by itself."""
        run, url = _xcom(ti_key, "mlflow_run"), config.mlflow_url()
        return f"{url}/#/runs/{run}" if run and url else ""


class ReportLink(BaseOperatorLink):
    """Open the page under ``[mlops] reports`` whose path the task has pushed as XCom ``report``."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the place of the page on the API server that shows the link.

        It is relative: a link is kept for as long as its task, and must not be bound to the address that a worker had for
        Airflow on that day. The UI's pages have a base, so that the browser completes it also behind a path.
        """
        report = _xcom(ti_key, "report")
        return f"mlops/reports/{report}" if report else ""


def _xcom(ti_key: TaskInstanceKey, key: str) -> Any:
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_value(ti_key=ti_key, key=key)
