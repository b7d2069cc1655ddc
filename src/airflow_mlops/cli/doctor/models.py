"""The specs beside the DAG files of this deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.domain.spec.dataset import DataSpec


class Specs(NamedTuple):
    """What the folders of DAG files hold.

    :param valid: the specs of YAML files; those that are written in Python are not seen.
    :param problems: what is wrong with the others.
    """

    valid: tuple[DataSpec, ...]
    problems: tuple[str, ...]


def specs() -> Specs:
    """Read every spec in the folders of DAG files, and in their folders ``models``."""
    from airflow_mlops.cli import places
    from airflow_mlops.cli.connect import find_code
    from airflow_mlops.domain.spec.specs import read
    from airflow_mlops.exceptions import SpecError

    valid: dict[str, DataSpec] = {}
    problems: list[str] = []
    for path in places.spec_files(find_code()):
        try:
            spec = read(path)
        except (SpecError, OSError) as error:
            problems.append(str(error))
        else:
            valid.setdefault(spec.name, spec)
    return Specs(tuple(valid.values()), tuple(problems))


def folders() -> list[Path]:
    """Return the folders with DAG files."""
    from airflow_mlops.cli.connect import dag_folders

    return dag_folders()
