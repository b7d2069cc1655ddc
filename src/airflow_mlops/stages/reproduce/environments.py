"""The environment of a training, compared with this one: packages, Python, processor, code of transform and candidate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.learning import provenance
from airflow_mlops.learning.models import code, models, own_metrics, transform
from airflow_mlops.stages.train import jobs

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


def compare(
    client: Client, run_id: str, tags: Mapping[str, str], folders: tuple[Path, ...]
) -> Iterator[Check]:
    """Compare the environment of a training with this one.

    :param tags: of the version.
    :param folders: where code is looked for.
    """
    for name, before, now in _packages(client, run_id):
        reason = f"{now} is installed" if now else "it is not installed"
        yield same(name, before == now, before, reason + ("" if before == now else f", and was {before}"))
    yield _processor(client, run_id)
    # The table holds the features that a transform has prepared, so this training does not run the transform.
    for name, tag in (("transform", transform.VERSION_TAG), ("candidate", jobs.FUNCTION)):
        if tag in tags:
            yield _code(name, tags[tag], folders)
    for name, before in json.loads(tags.get(own_metrics.VERSIONS, "{}")).items():
        yield _code(f"metric {name}", before, folders)


def _processor(client: Client, run_id: str) -> Check:
    before = provenance.read(client, run_id).get("environment", {}).get("processor")
    now = provenance.processor()
    if before is None:
        reason = f"it was not recorded; here it is {now}, and the last bits of a model depend on it"
        expected = "the processor of the training"
        return Check(name="processor", verdict=Verdict.INCONCLUSIVE, expected=expected, reason=reason)
    return same("processor", before == now, before, now if before == now else f"{now}, and was {before}")


def _packages(client: Client, run_id: str) -> Iterator[tuple[str, str, str]]:
    """Yield each package that the model needs, with the version that it was trained with and the installed one."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    with TemporaryDirectory() as folder:
        python = models.download(client, run_id, Path(folder), "python_env.yaml").read_text()
        packages = models.download(client, run_id, Path(folder), "requirements.txt").read_text()
    yield "python", python.partition("python: ")[2].partition("\n")[0], platform.python_version()
    for line in packages.splitlines():
        name, _, before = line.partition("==")
        if before:
            try:
                now = version(name)
            except PackageNotFoundError:
                now = ""
            yield name, before, now


def _code(name: str, before: str, folders: tuple[Path, ...]) -> Check:
    path = before.partition("@")[0]
    if why := code.outside(path, folders):
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, expected=before, reason=f"{path}: {why}")
    try:
        now = code.find(path).version
    except ImportError as error:
        return same(name, False, before, str(error))
    reason = f"the code is that of {before}" if now == before else f"the code is {now} now, and was {before}"
    return same(name, now == before, before, reason)


def same(name: str, alike: bool, expected: str, reason: str) -> Check:
    """Return the check of whether something is as it was."""
    verdict = Verdict.PASS if alike else Verdict.FAIL
    return Check(name=name, verdict=verdict, expected=expected, reason=reason)
