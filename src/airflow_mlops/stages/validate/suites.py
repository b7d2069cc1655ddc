"""Suites: expectations in a JSON file or a project of Great Expectations, read like those of a spec."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_mlops.domain.spec.data import Expectation, Rule, Suite
from airflow_mlops.domain.spec.loading import describe
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.exceptions import SpecError, SuiteUnreadable

LARGEST = 10_000_000
"""Maximum size of a suite's file, in bytes."""

_PROJECT = "great_expectations.yml"
_SEVERITIES = {"critical": "block", "warning": "warn", "info": "warn"}
_MOST = 20
"""Maximum number of problems that one error lists."""


class Rules(Section):
    """Expectations and suites, as a spec lists them."""

    expectations: tuple[Rule, ...]


def expand(rules: str | Sequence[Any], *, folder: str | Path | None = None) -> list[Expectation]:
    """Return expectations, with each suite replaced by the expectations in it.

    :param rules: the path of one suite, or expectations and suites as a spec has them, as objects or dicts.
    :param folder: folder in which a relative path is looked for before the current directory.
    :raises SpecError: if an expectation is wrong.
    :raises SuiteUnreadable: if a suite is missing, damaged, empty, or not the one that was pinned.
    """
    listed = [{"suite": rules}] if isinstance(rules, str) else list(rules)
    checked = Rules.from_dict({"expectations": listed}).expectations
    return [expectation for rule in checked for expectation in _expectations(rule, folder)]


def read(suite: Suite, *, folder: str | Path | None = None) -> list[Expectation]:
    """Return the expectations of one suite.

    A severity of Great Expectations becomes the nearest of ours: critical blocks, warning and info warn. A
    ``severity`` in an expectation's ``meta`` takes precedence, so that a suite can say ``quarantine``.

    :raises SuiteUnreadable: if it is missing, damaged, empty, or not the one that was pinned.
    """
    if suite.context:
        project = _find(suite.context, folder, _PROJECT)
        where = f"suite {suite.suite!r} of {project}"
        content = _of_project(project, suite.suite, where)
    else:
        path = _find(suite.suite, folder)
        where, content = str(path), _of_file(path, suite.sha256)
    entries = content.get("expectations") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise SuiteUnreadable(
            f"{where} is no suite of Great Expectations: it has no list `expectations`, but is {describe(content)}"
        )
    if not entries:
        raise SuiteUnreadable(f"{where} has no expectations; add some, or leave the suite out")
    problems: list[str] = []
    built = [expectation for expectation in _build(entries, problems) if expectation]
    if problems:
        more = [f"… and {len(problems) - _MOST} more"] if len(problems) > _MOST else []
        raise SuiteUnreadable("\n  ".join([f"{where} cannot be used:", *problems[:_MOST], *more]))
    return built


def check(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield a problem for each suite that cannot be read, without importing Great Expectations."""
    for suite in (rule for rule in rules if isinstance(rule, Suite)):
        try:
            _ = _find(suite.context, None, _PROJECT) if suite.context else read(suite)
        except SuiteUnreadable as error:
            yield str(error)


def _expectations(rule: Expectation | Suite, folder: str | Path | None) -> list[Expectation]:
    return read(rule, folder=folder) if isinstance(rule, Suite) else [rule]


def _find(path: str, folder: str | Path | None, holds: str = "") -> Path:
    folders = [Path(folder)] if folder else []
    candidates = list(dict.fromkeys(place / path for place in [*folders, Path.cwd()]))
    for candidate in candidates:
        if (candidate / holds).is_file():
            return candidate
    looked = " and ".join(str(candidate / holds) for candidate in candidates)
    what = f"project of Great Expectations (no {holds})" if holds else "suite"
    raise SuiteUnreadable(f"There is no {what} at {looked}; correct the path, or put it there.")


def _of_file(path: Path, pinned: str | None) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise SuiteUnreadable(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > LARGEST:
        raise SuiteUnreadable(f"{path} is larger than {LARGEST // 10**6} MB, which no suite needs")
    digest = hashlib.sha256(content).hexdigest()
    if pinned and digest != pinned:
        raise SuiteUnreadable(
            f"{path} is not the suite that was pinned: its sha256 is {digest}, not {pinned}; restore the file, or "
            "review what changed and pin the new digest"
        )
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SuiteUnreadable(f"{path} is no JSON: {error}; restore the file") from error


def _of_project(folder: Path, name: str, where: str) -> Any:
    from airflow_mlops.stages.validate.gx import quiet

    with quiet():
        import great_expectations as gx

        try:
            suite = gx.get_context(mode="file", context_root_dir=folder).suites.get(name)
            return {
                "expectations": [
                    expectation.configuration.to_json_dict() for expectation in suite.expectations
                ]
            }
        except Exception as error:  # it raises whatever its stores and YAML raise
            raise SuiteUnreadable(
                f"{where} cannot be read: {error}; correct the name or the project"
            ) from error


def _build(entries: list[Any], problems: list[str]) -> Iterator[Expectation | None]:
    for position, entry in enumerate(entries):
        name = entry.get("type") or entry.get("expectation_type") if isinstance(entry, dict) else None
        where = f"expectations[{position}]"
        if not isinstance(name, str) or not isinstance(entry.get("kwargs", {}), dict):
            problems.append(f"{where}: must be a mapping with `type` and `kwargs`, not {describe(entry)}")
            continue
        args = {key: value for key, value in (entry.get("kwargs") or {}).items() if value is not None}
        try:
            yield Expectation.from_dict({name: {**args, "severity": _severity(entry)}})
        except SpecError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]


def _severity(entry: dict[str, Any]) -> Any:
    meta = entry.get("meta")
    own = meta.get("severity") if isinstance(meta, dict) else None
    severity = own or entry.get("severity") or "critical"
    return _SEVERITIES.get(severity, severity) if isinstance(severity, str) else severity
