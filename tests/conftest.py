"""What has to stand in the environment before Airflow, MLflow or Great Expectations is imported."""

from __future__ import annotations

import os
import shutil
import tempfile

HOME = tempfile.mkdtemp(prefix="airflow-mlops-tests-")

# A developer's own deployment must neither change what the tests see nor be changed by them.
for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MLFLOW_"))]:
    del os.environ[name]

os.environ.update(
    AIRFLOW_HOME=HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    DO_NOT_TRACK="true",
    GX_ANALYTICS_ENABLED="false",
    MLFLOW_DISABLE_TELEMETRY="true",
)

import pytest  # noqa: E402

# Before Airflow is: skops asks every module that is loaded for the functions of SciPy, and Airflow's would answer with
# warnings, which are errors here.
import skops.io  # noqa: E402, F401


# First: what hands the tests out reads the marks in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A file stays with one worker, as its fixtures cost more than its tests; all of e2e do, which share one Airflow.
    for item in items:
        item.add_marker(pytest.mark.xdist_group("e2e" if item.path.parent.name == "e2e" else str(item.path)))


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
