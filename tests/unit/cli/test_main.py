from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.cli.cli_config import ActionCommand, CLICommand, GroupCommand

from airflow_mlops import __version__
from airflow_mlops.cli import main
from airflow_mlops.cli.commands.command import Command, Group
from airflow_mlops.cli.commands.everything import everything
from airflow_mlops.cli.definition import get_mlops_cli_commands

IMPORTED = """
import sys
from airflow_mlops.cli.main import main
try:
    main({words!r})
finally:
    print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def paths(command: Command | Group, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    place = (*above, command.name)
    if isinstance(command, Group):
        for below in command.commands:
            yield from paths(below, place)
    else:
        yield place


def paths_of_airflow(command: CLICommand, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    place = (*above, command.name)
    if isinstance(command, GroupCommand):
        for below in command.subcommands:
            yield from paths_of_airflow(below, place)
    else:
        assert isinstance(command, ActionCommand)
        yield place


def test_airflow_has_the_same_commands() -> None:
    (group,) = get_mlops_cli_commands()
    commands = list(paths(everything()))
    assert len(commands) == len(set(commands))
    assert list(paths_of_airflow(group)) == commands


@pytest.mark.parametrize("place", paths(everything()), ids=" ".join)
def test_every_command_says_what_it_takes(place: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([*place[1:], "--help"])
    assert ended.value.code == 0
    assert f"usage: airflow-mlops {' '.join(place[1:])}" in " ".join(capsys.readouterr().out.split())


def test_a_command_runs_with_its_arguments(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"there is no such file; looked for {tmp_path}/none.yaml"):
        main.main(["spec", "check", f"{tmp_path}/none.yaml"])


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_a_command_without_a_traceback() -> None:
    program = [sys.executable, "-c", "from airflow_mlops.cli.main import main; main(['spec', 'schema'])"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.slow
def test_a_command_that_needs_no_airflow_loads_none() -> None:
    program = IMPORTED.format(words=["spec", "schema"])
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    modules = output.splitlines()[-1].split()
    assert "pydantic" in modules
    assert not {"airflow", "sklearn", "pandas", "mlflow", "deltalake", "pyarrow"} & set(modules)
