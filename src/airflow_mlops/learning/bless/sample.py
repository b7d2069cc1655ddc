"""The sample of rows that a fresh process must predict alike."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import DigestMismatch, ModelNotFound

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.stores.registry.client import Client

SAMPLE = "blessing/sample.parquet"
"""Run artifact: rows with the predictions that the training process made of them."""
PREDICTION = "_prediction"
"""Column of :data:`SAMPLE`."""
DIGEST_TAG = "mlops.sample"
"""Tag of versions: the sha256 of the sample that they were logged with."""


def fetch(client: Client, ref: ModelRef, folder: Path) -> tuple[Path, Path]:
    """Download a version's model and the sample that it was logged with.

    :raises ModelNotFound: if either does not exist.
    :raises DigestMismatch: if the sample is not what was logged.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    from airflow_mlops.learning.models import models
    from airflow_mlops.stores.registry import tracking

    path = models.download(client, ref.run_id, folder)
    try:
        with tracking.errors(client):
            wanted = client.get_model_version(ref.model, ref.version).tags.get(DIGEST_TAG)
            sample = Path(client.download_artifacts(ref.run_id, SAMPLE, str(folder)))
    except OSError as error:
        raise ModelNotFound(f"Run {ref.run_id} of {ref.model!r} has no {SAMPLE}: {error}") from error
    # Versions of earlier releases have no such tag.
    if wanted and sha256(sample) != wanted:
        raise DigestMismatch(
            f"{SAMPLE} of {ref.model!r} version {ref.version} has the digest {sha256(sample)[:12]}…; the version was "
            f"registered with {wanted[:12]}…: it proves nothing. Train again."
        )
    return path, sample


def sha256(sample: Path | str) -> str:
    """Return what a version's tag :data:`DIGEST_TAG` must be."""
    return hashlib.sha256(Path(sample).read_bytes()).hexdigest()
