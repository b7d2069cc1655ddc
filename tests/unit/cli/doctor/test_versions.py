from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path

import pytest

from airflow_mlops.cli.doctor import versions
from airflow_mlops.cli.doctor.diagnosis import Condition

INSTALLED = {"apache-airflow": "3.3.2", "pandas": "3.0.6", "celery": "5.7.1", "ruff": "0.1"}
NEEDS = [
    "apache-airflow<3.4,>=3.3",
    "pandas<3.1,>=3.0",
    "celery<5.8; extra == 'celery'",
    "ruff>=0.17; extra == 'dev'",
]


def test_versions_in_range_are_fine() -> None:
    diagnosis = versions.requirements_line([*NEEDS, "redis; extra == 'celery'"], INSTALLED.get)
    assert diagnosis.status is Condition.PASS
    assert diagnosis.observation.startswith("Airflow 3.3.2 and 2 libraries are in range")


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("pandas", "3.1.0", "pandas 3.1.0 (needs <3.1,>=3.0)"),
        ("apache-airflow", "3.2.0", "apache-airflow 3.2.0"),
        ("pandas", None, "pandas is missing"),
        ("celery", "5.8.0", "celery 5.8.0 (needs <5.8)"),
    ],
)
def test_a_version_out_of_range_is_named(name: str, version: str | None, words: str) -> None:
    diagnosis = versions.requirements_line(NEEDS, (INSTALLED | {name: version}).get)
    assert diagnosis.status is Condition.FAIL
    assert words in diagnosis.observation


def test_versions_that_were_not_tested_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(versions, "_CONSTRAINTS", tmp_path / "constraints.txt")
    (tmp_path / "constraints.txt").write_text("# tested\nPandas==3.0.5\napache-airflow==3.3.2\n")
    diagnosis = versions.requirements_line(NEEDS, INSTALLED.get)
    assert diagnosis.status is Condition.PASS
    assert diagnosis.observation.endswith("other than the tested versions: pandas 3.0.6 (3.0.5)")


def test_a_package_that_needs_another_version_of_a_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\nRequires-Dist: pandas<3\nRequires-Dist: sheep<0\n"
        "Requires-Dist: pandas<2; extra == 'old'\n"
    )
    (diagnosis,) = versions.conflicts([Distribution.at(tmp_path)], NEEDS)
    assert diagnosis.status is Condition.WARN
    assert diagnosis.observation.startswith("shop 1.0 needs pandas<3, and 3.")


def test_two_packages_of_one_module_are_named() -> None:
    assert versions.traps({"xgboost-cpu": "3.2"}.get) == []
    (diagnosis,) = versions.traps({"xgboost-cpu": "3.2", "xgboost": "3.2"}.get)
    assert diagnosis.status is Condition.FAIL


def test_code_without_its_distribution_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_NAME", "airflow-mlops-that-is-not-installed")
    (diagnosis,) = versions.look()
    assert diagnosis.status is Condition.FAIL
    assert "is not installed" in diagnosis.observation


def test_what_is_installed_here_is_fine() -> None:
    assert [diagnosis for diagnosis in versions.look() if diagnosis.status is Condition.FAIL] == []
