from __future__ import annotations

import os
import subprocess
import sys

import pytest

from airflow_mlops.plugin.plugin import MlopsPlugin

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

COST = """
import sys
import airflow.plugins_manager
before = set(sys.modules)
import airflow_mlops.plugin.plugin
print(*set(sys.modules) - before)
"""
# Unit test mode writes to the output.
ENVIRONMENT = os.environ | {"AIRFLOW__CORE__UNIT_TEST_MODE": "False"}


def test_no_process_pays_for_the_plugin_by_loading_it() -> None:
    run = subprocess.run(
        [sys.executable, "-c", COST], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    # What is loaded is what it costs. Of Airflow it is what marks the functions of a listener.
    assert set(run.stdout.split()) <= {
        "airflow._shared.listeners", "airflow.listeners", "airflow_mlops", "airflow_mlops.plugin", "airflow_mlops.plugin.notes",
        "airflow_mlops.plugin.plugin", "airflow_mlops.reporting", "airflow_mlops.reporting.notes",
    }  # fmt: skip


def test_the_pages_are_made_at_the_first_request() -> None:
    (entry,) = MlopsPlugin.fastapi_apps
    assert entry["url_prefix"] == "/mlops"
    assert entry["app"].app is entry["app"].app
