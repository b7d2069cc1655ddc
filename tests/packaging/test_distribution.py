"""What people install: the wheel and the sdist that hold everything, and a new environment with the wheel in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import airflow_mlops

ROOT = Path(__file__).parents[2]
VERSION = airflow_mlops.__version__
SOURCES = sorted(
    path.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src" / "airflow_mlops").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)
pytestmark = pytest.mark.slow  # builds


def uv(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "uv", *map(str, words)], check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
    return folder


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    return folder / f"airflow_mlops-{VERSION}-py3-none-any.whl"


def test_the_wheel_holds_the_package_and_the_versions_that_it_was_tested_with(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == {*SOURCES, "airflow_mlops/constraints.txt"}
        assert archive.read("airflow_mlops/constraints.txt") == (ROOT / "constraints.txt").read_bytes()


def test_the_metadata_is_valid_and_says_where_airflow_finds_us(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        place = f"airflow_mlops-{VERSION}.dist-info"
        text = archive.read(f"{place}/METADATA").decode()
        entry_points = archive.read(f"{place}/entry_points.txt").decode()
    metadata = Metadata.from_email(text, validate=True)
    assert (metadata.name, str(metadata.version)) == ("airflow-mlops", VERSION)
    assert metadata.description_content_type == "text/markdown"
    assert message_from_string(text).get_payload() == (ROOT / "README.md").read_text()
    for name in ("apache_airflow_provider", "airflow.plugins", "console_scripts"):
        assert f"[{name}]" in entry_points


def test_the_sdist_holds_what_the_tests_and_the_docs_need(folder: Path) -> None:
    top = f"airflow_mlops-{VERSION}"
    with tarfile.open(folder / f"{top}.tar.gz") as archive:
        names = set(archive.getnames())
    kept = (
        "Makefile",
        "README.md",
        "CHANGELOG.md",
        "constraints.txt",
        "docs/model-spec.md",
        "tests/conftest.py",
    )
    for name in (
        *kept,
        "tools/spec_reference.py",
        "benchmarks/__main__.py",
        *(f"src/{path}" for path in SOURCES),
    ):
        assert f"{top}/{name}" in names


@pytest.mark.thorough
def test_the_wheel_works_in_a_new_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    uv("venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "-c", "constraints.txt", wheel)
    uv("pip", "check", "--quiet", "--python", python)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}

    def run(*words: str) -> str:
        return subprocess.run(
            [str(environment / "bin" / words[0]), *words[1:]],
            env={**clean, "AIRFLOW_HOME": str(tmp_path / "home")}, cwd=tmp_path,
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    assert run("airflow-mlops", "--version") == f"{VERSION}\n"
    assert f'"Version": "{VERSION}"' in run("airflow", "providers", "get", "airflow-mlops", "-o", "json")
    assert "airflow_mlops" in run("airflow", "plugins", "-o", "json")
