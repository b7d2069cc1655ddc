from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

COST = """
import sys
import airflow.cli.cli_config
before = set(sys.modules)
from airflow_mlops.cli.definition import get_mlops_cli_commands
get_mlops_cli_commands()
print(*set(sys.modules) - before)
"""

# Unit test mode writes to the output.
ENVIRONMENT = os.environ | {"AIRFLOW__CORE__UNIT_TEST_MODE": "False"}


def test_the_command_group_costs_other_commands_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-c", COST], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    # What is loaded is what it costs: parsers, and no command.
    ours = {
        "airflow_mlops",
        "airflow_mlops.cli",
        "airflow_mlops.cli.definition",
        "airflow_mlops.cli.commands",
    }
    assert {name for name in run.stdout.split() if not name.startswith("airflow_mlops.cli.commands.")} <= ours
