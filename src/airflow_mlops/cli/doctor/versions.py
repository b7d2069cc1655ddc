"""Versions: of Airflow and the libraries, against what this release was made for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distributions, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, failed, passed, warned

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_NAME = "airflow-mlops"
_CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def look() -> list[Diagnosis]:
    """Hold what is installed to the metadata of this distribution, and to known traps."""
    try:
        requirements = requires(_NAME) or []
    except PackageNotFoundError:
        return [
            failed(
                "versions",
                f"The distribution {_NAME} is not installed; its code was found by its folder alone",
                "Airflow learns of provider, plugin and configuration from the installed distribution only",
                "pip install airflow-mlops in the environment that Airflow runs in",
            )
        ]
    return [
        requirements_line(requirements, installed),
        *conflicts(distributions(), requirements),
        *traps(installed),
        *_code(),
    ]


def installed(name: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def requirements_line(requirements: Iterable[str], version_of: Callable[[str], str | None]) -> Diagnosis:
    """Hold versions to requirements; those of extras count only where the package is installed.

    :param requirements: as the metadata of a distribution writes them.
    """
    from packaging.requirements import Requirement

    wrong, names = [], []
    for requirement in map(Requirement, requirements):
        there = version_of(requirement.name)
        if not _counts(requirement, there):
            continue
        names.append(requirement.name)
        if there is None or not requirement.specifier.contains(there, prereleases=True):
            wrong.append(
                f"{requirement.name} {there or 'is missing'} (needs {requirement.specifier or 'any'})"
            )
    wrong = list(dict.fromkeys(wrong))
    if wrong:
        return failed(
            "versions",
            f"Out of the range that this release works with: {', '.join(wrong)}",
            "Tasks fail where they use them, or behave otherwise than tested",
            "pip install -c constraints.txt airflow-mlops, with the constraints.txt beside the package",
        )
    others = [
        f"{name} {there} ({tested})" for name, there, tested in _untested(dict.fromkeys(names), version_of)
    ]
    note = f"; other than the tested versions: {', '.join(others)}" if others else ""
    airflow = version_of("apache-airflow")
    return passed("versions", f"Airflow {airflow} and {len(set(names)) - 1} libraries are in range{note}")


def _counts(requirement: Requirement, there: str | None) -> bool:
    """Tell whether a requirement is of this environment: always, or of an extra whose package is there."""
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        return True
    of_tests = requirement.marker.evaluate({"extra": "dev"})
    return there is not None and "extra" in str(requirement.marker) and not of_tests


def _untested(
    names: Iterable[str], version_of: Callable[[str], str | None]
) -> Iterable[tuple[str, str, str]]:
    if not _CONSTRAINTS.is_file():
        return
    lines = (line.partition("==") for line in _CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    tested = {_canonical(name.strip()): exact.split()[0] for name, _, exact in lines if exact.strip()}
    for name in names:
        there, exact = version_of(name), tested.get(_canonical(name))
        if there is not None and exact is not None and there != exact:
            yield name, there, exact


def conflicts(others: Iterable[Distribution], requirements: Iterable[str]) -> list[Diagnosis]:
    """Return what other packages say of the libraries that this one needs, where it does not hold.

    :param others: installed distributions.
    :param requirements: of this distribution.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    ours = {_canonical(Requirement(text).name) for text in requirements}
    lines = []
    for other in others:
        for text in other.requires or ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            there = installed(requirement.name) if _canonical(requirement.name) in ours else None
            if there is not None and not requirement.specifier.contains(there, prereleases=True):
                lines.append(
                    warned(
                        "versions",
                        f"{other.name} {other.version} needs {requirement.name}{requirement.specifier}, and {there} is "
                        "installed",
                        f"{other.name} may fail where it uses it",
                        f"give {other.name} an environment of its own, or another version",
                    )
                )
    return lines


def traps(version_of: Callable[[str], str | None]) -> list[Diagnosis]:
    """Return what no metadata rules out, and does not work."""
    both = [f"{name} {there}" for name in ("xgboost", "xgboost-cpu") if (there := version_of(name))]
    if len(both) < 2:
        return []
    return [
        failed(
            "versions",
            f"{' and '.join(both)} are installed",
            "Both bring the module xgboost, so that files of one replace files of the other",
            "pip uninstall both, and install one of them again",
        )
    ]


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name))


def _code() -> list[Diagnosis]:
    from airflow_mlops import __version__

    there = installed(_NAME)
    if there == __version__:
        return []
    return [
        warned(
            "versions",
            f"The code that runs is {__version__}, and the installed distribution is {there}",
            "Something before it on the path is loaded instead, or an editable installation is of an older checkout",
            "pip install it again, and look for another folder airflow_mlops on PYTHONPATH, among the DAG files and plugins",
        )
    ]
