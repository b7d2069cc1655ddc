from __future__ import annotations

import subprocess
import sys

COST = """
import sys, time
import airflow.cli.cli_config
before, start = set(sys.modules), time.perf_counter()
from airflow_mlops.cli.definition import get_mlops_cli_commands
get_mlops_cli_commands()
print(time.perf_counter() - start, *sorted(set(sys.modules) - before))
"""


def test_the_command_group_costs_other_commands_nothing() -> None:
    run = subprocess.run([sys.executable, "-c", COST], capture_output=True, text=True, check=True)
    seconds, *modules = run.stdout.split()
    assert set(modules) <= {"airflow_mlops", "airflow_mlops.cli", "airflow_mlops.cli.definition"}
    assert float(seconds) < 0.1
