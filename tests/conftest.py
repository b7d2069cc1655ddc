"""What has to stand in the environment before Airflow, MLflow or Great Expectations is imported."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

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
from xdist.scheduler import LoadFileScheduling  # noqa: E402


class Stories(LoadFileScheduling):
    """Hand tests out by file, as fixtures cost more than tests, and those that share one Airflow as if they were a file."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/e2e" if file.startswith("tests/e2e/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Stories:
    return Stories(config, log)


@pytest.fixture(scope="module")
def blessed_here() -> Iterator[Callable[..., Any]]:
    """Load and predict in this process, since the fresh one takes seconds to start; for modules in which it is not the matter.

    Yields what starts the fresh one.
    """
    from airflow_mlops.learning.bless import process

    fresh = process.start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "start", lambda *model, **limits: fresh(*model, **{**limits, "fresh": False}))
        yield fresh


@pytest.fixture
def fresh_process(blessed_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Bless as in production, in a module that does not."""
    from airflow_mlops.learning.bless import process

    monkeypatch.setattr(process, "start", blessed_here)


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
