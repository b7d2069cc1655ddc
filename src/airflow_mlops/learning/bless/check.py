"""The blessing of a version as checks: that it loads and predicts alike in a fresh process, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies import gates
from airflow_mlops.exceptions import BlessingFailed
from airflow_mlops.learning.bless import process
from airflow_mlops.learning.bless.process import Blessing
from airflow_mlops.learning.bless.sample import fetch
from airflow_mlops.learning.models import models

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.domain.spec.gates import Serving
    from airflow_mlops.stores.registry.client import Client

BLESSING = "blessing"
"""Name of the check that a model loads and predicts alike in a fresh process."""
_EXPECTED = "the same predictions in a fresh process, by digest"
_REQUIREMENTS = "requirements.txt"


@contextmanager
def blessing_of(
    client: Client, ref: ModelRef, task: str, limits: Serving, *, packages: bool = True, fresh: bool = True
) -> Iterator[tuple[Path, Callable[[], Blessing]]]:
    """Begin to bless a version; yield the path of its file, and a function that waits for the blessing.

    :param task: ``classification`` or ``regression``.
    :param limits: how long the fresh process may take, and how much memory.
    :param packages: whether this Python must meet the model's requirements.
    :param fresh: see :func:`airflow_mlops.learning.bless.process.start`.
    :raises ModelNotFound: if its file or its sample does not exist; also DigestMismatch, RegistryUnavailable.
    """
    with TemporaryDirectory() as folder:
        path, sample = fetch(client, ref, Path(folder))
        needed = models.download(client, ref.run_id, Path(folder), _REQUIREMENTS) if packages else None
        with process.start(
            path, ref.digest, sample, task=task, requirements=needed, seconds=limits.seconds, memory_mb=limits.memory,
            fresh=fresh,
        ) as wait:  # fmt: skip
            yield path, wait


def blessed(version: str, blessing: Blessing, more: str = "") -> Check:
    """Return the check of a version that loaded and predicted alike.

    :param more: text that is added to the reason.
    """
    return Check(
        name=BLESSING,
        verdict=Verdict.PASS,
        expected=_EXPECTED,
        observed=blessing.max_difference,
        n=blessing.n,
        reason=f"version {version} loaded and predicted {blessing.n} rows alike in {blessing.seconds:.1f} s of processor time with "
        f"{blessing.memory_mb:.0f} MiB{more}",
    )


def serving_checks(gate: Serving, version: str, size: int, wait: Callable[[], Blessing]) -> list[Check]:
    """Judge the blessing of a version, its size and its latency.

    :param size: bytes of the model's file.
    :param wait: waits for the blessing; :func:`blessing_of` yields it.
    :raises DigestMismatch: if the model is not what was trained; also UntrustedModel.
    :raises MachineBusy: if the machine left the process no time, which says nothing about the model.
    """
    latency: float | None = None
    try:
        blessing = wait()
    except BlessingFailed as error:
        checks = [
            Check(
                name=BLESSING,
                verdict=Verdict.FAIL,
                expected=_EXPECTED,
                reason=f"version {version}: {error}",
            )
        ]
    else:
        latency = blessing.latency_ms
        checks = [blessed(version, blessing, f"; one row takes {latency:.3g} ms")]
    if gate.size is not None:
        checks.append(gates.at_most("serving.size", size / 2**20, gate.size, "MiB of the model's file"))
    if gate.latency is not None:
        checks.append(
            gates.at_most(
                "serving.latency", latency, gate.latency, "milliseconds of processor time to predict one row"
            )
        )
    return checks
