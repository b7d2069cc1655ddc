"""The gate ``serving``: what loading and predicting cost in a fresh process."""

from __future__ import annotations

from airflow_mlops.learning.bless.check import serving_checks
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Wait for the process, and judge its report.

    :raises DigestMismatch: if the model's bytes are not those that were trained; also UntrustedModel.
    """
    version = evidence.candidate.version
    return GateOutcome(serving_checks(evidence.gates.serving, version, evidence.size, evidence.blessing))
