from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

COST = """
import sys, time
import airflow.cli.cli_config
before, start = set(sys.modules), time.perf_counter()
from airflow_mlops.cli.definition import get_mlops_cli_commands
get_mlops_cli_commands()
print(time.perf_counter() - start, *sorted(set(sys.modules) - before))
"""

# Unit test mode writes to the output.
ENVIRONMENT = os.environ | {"AIRFLOW__CORE__UNIT_TEST_MODE": "False"}


def test_the_command_group_costs_other_commands_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-c", COST], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    seconds, *modules = run.stdout.split()
    ours = {name for name in modules if not name.startswith("airflow_mlops.cli")}
    assert ours <= {"airflow_mlops"}
    assert float(seconds) < 0.1
