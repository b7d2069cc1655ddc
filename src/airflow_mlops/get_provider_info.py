"""What Airflow knows of this package before it loads any of it."""

from __future__ import annotations

from typing import Any

_NAME = "MLOps"
_ADDED = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-mlops",  # the distribution's name, or no provider at all loads
        "name": _NAME,
        "description": "Continuous training: ingest, validate, train, gate, promote, score and monitor models.",
        "integrations": [
            {"integration-name": _NAME, "external-doc-url": "https://mlflow.org/docs/latest/", "tags": ["ml"]}
        ],
        "operators": _modules(
            "operators",
            "ingest",
            "validate",
            "decide",
            "suggest",
            "train",
            "elsewhere",
            "evaluate",
            "approve",
            "promote",
            "record",
            "score",
            "drift",
            "performance",
            "monitor",
            "guard",
            "watch",
            "shadow",
            "alert",
            "announce",
        ),
        "sensors": _modules("sensors", "alias", "decision", "drift", "partition"),
        "triggers": _modules("triggers", "alias", "check", "decision", "new_data", "partition"),
        "hooks": _modules("hooks", "mail", "mlflow", "outputs", "source_files", "source_sql", "sources"),
        "notifications": ["airflow_mlops.notifications.alert.MlopsNotifier"],
        "connection-types": [_mlflow_connection()],
        "extra-links": ["airflow_mlops.links.MlflowRunLink", "airflow_mlops.links.ReportLink"],
        "config": {"mlops": {"description": "Continuous training of models.", "options": _options()}},
        "cli": ["airflow_mlops.cli.definition.get_mlops_cli_commands"],
    }


def _modules(layer: str, *names: str) -> list[dict[str, Any]]:
    return [
        {"integration-name": _NAME, "python-modules": [f"airflow_mlops.{layer}.{name}" for name in names]}
    ]


def _mlflow_connection() -> dict[str, Any]:
    return {
        "connection-type": "mlflow",
        "hook-class-name": "airflow_mlops.hooks.mlflow.MlflowHook",
        "hook-name": "MLflow",
        "ui-field-behaviour": {
            "hidden-fields": [],
            "relabeling": {"schema": "Scheme", "login": "User name"},
            "placeholders": {
                "host": "mlflow.example.com, or https://mlflow.example.com/path",
                "schema": "https (the default) or http",
                "port": "443",
            },
        },
        "conn-fields": {
            "token": {
                "label": "Bearer token",
                "description": "Instead of user name and password.",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
            "timeout": {"label": "Seconds to wait for a reply", "schema": {"type": ["integer", "null"]}},
            "max_retries": {"label": "Retries of a request", "schema": {"type": ["integer", "null"]}},
            "server_cert_path": {
                "label": "Server certificate",
                "description": "File of the authority that signed the server's certificate.",
                "schema": {"type": ["string", "null"]},
            },
            "client_cert_path": {"label": "Client certificate", "schema": {"type": ["string", "null"]}},
        },
    }


def _options() -> dict[str, dict[str, Any]]:
    return {
        "storage": _option(
            "URI of the folder or bucket that holds data, predictions, quarantine, monitoring history and the "
            "promotion ledger as Delta tables. Every task process must reach it under this name.",
            default="file://{AIRFLOW_HOME}/mlops",
            example="s3://bucket/mlops",
        ),
        "reports": _option(
            "URI of the folder or bucket of validation and monitoring pages, which the API server shows. "
            "Empty: the folder reports under storage.",
            default="",
            example="s3://bucket/reports",
        ),
        "tracking_uri": _option(
            "MLflow tracking and registry URI that is used while the connection mlflow_default does not exist.",
            default="sqlite:///{AIRFLOW_HOME}/mlops/mlflow.db",
            example="http://127.0.0.1:5000",
            sensitive=True,  # the URI of a database may hold its password
        ),
        "mlflow_conn_id": _option(
            "MLflow connection of tasks that name none. Another one than mlflow_default must exist.",
            default="mlflow_default",
            example="mlflow_production",
        ),
        "mlflow_url": _option(
            "Address at which people open MLflow, for links from tasks to their runs. Empty: no links.",
            default="",
            example="https://mlflow.example.com",
        ),
        "smtp_conn_id": _option(
            "SMTP connection that alerts are mailed through, of tasks that name none. See docs/alerts.md.",
            default="smtp_default",
            example="smtp_production",
        ),
        "dask_scheduler": _option(
            "Address of the scheduler of a Dask cluster on which the trials of a search are fitted. Empty: in the task. "
            "The workers need airflow-mlops[dask] in the same version.",
            default="",
            example="tcp://dask.example.com:8786",
        ),
        "preload": _option(
            "Import the heavy libraries once in the process that tasks are forked from: the scheduler with "
            "LocalExecutor, or a Celery worker. See docs/warm-workers.md.",
            type="boolean",
            default="False",
            example="True",
        ),
        "decision_timeout": _option(
            "Seconds that a stage waits for the decision on the partition before, until its try fails.",
            type="integer",
            default="21600",
            example="3600",
        ),
    }


def _option(
    description: str, *, default: str, example: str, type: str = "string", sensitive: bool = False
) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": _ADDED,
        "type": type,
        "default": default,
        "example": example,
        "sensitive": sensitive,
    }
