"""Serving: what loading and predicting costs, as checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies import gates
from airflow_mlops.exceptions import BlessingFailed

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import Serving
    from airflow_mlops.learning.bless.process import Blessing

BLESSING = "blessing"
"""Name of the check that a model loads and predicts alike in a fresh process."""


def serving_checks(gate: Serving, version: str, size: int, result: Callable[[], Blessing]) -> list[Check]:
    """Judge what a fresh process found.

    :param size: bytes of the model's file.
    :param result: waits for the process, as :func:`airflow_mlops.learning.bless.process.start` gives it.
    :raises DigestMismatch: if the model is not what was trained; also UntrustedModel.
    """
    found: Blessing | None = None
    try:
        found = result()
    except BlessingFailed as error:
        verdict, reason = Verdict.FAIL, f"version {version}: {error}"
    else:
        verdict = Verdict.PASS
        reason = (
            f"version {version} loaded and predicted {found.n} rows alike in {found.seconds:.1f} s with "
            f"{found.memory_mb:.0f} MiB; one row takes {found.latency_ms:.3g} ms"
        )
    blessing = Check(
        name=BLESSING,
        verdict=verdict,
        expected="the same predictions in a fresh process, by digest",
        observed=found.max_difference if found else None,
        n=found.n if found else None,
        reason=reason,
    )
    limits = []
    if gate.size is not None:
        limits.append(gates.at_most("serving.size", size / 2**20, gate.size, "MiB of the model's file"))
    if gate.latency is not None:
        latency = found.latency_ms if found else None
        limits.append(
            gates.at_most("serving.latency", latency, gate.latency, "milliseconds to predict one row")
        )
    return [blessing, *limits]
