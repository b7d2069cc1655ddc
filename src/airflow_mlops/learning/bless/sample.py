"""The sample of rows that a fresh process must predict alike."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, RegistryUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.stores.registry.client import Client

SAMPLE = "blessing/sample.parquet"
"""Run artifact: rows with the predictions that the training process made of them."""
PREDICTION = "_prediction"
"""Column of :data:`SAMPLE`."""
ROWS = 200
"""Most rows of a sample."""
DIGEST_TAG = "mlops.sample"
"""Tag of versions: the sha256 of the sample that they were logged with."""


def predicted(fitted: Pipeline, rows: pa.Table, task: str) -> pa.Table:
    """Return the last of some rows, with what a model predicts of them in column :data:`PREDICTION`."""
    import pyarrow as pa

    from airflow_mlops.learning.models import models

    rows = rows.slice(max(0, rows.num_rows - ROWS))
    predictions = models.predict(fitted, rows, task)
    column = pa.array(predictions if predictions.ndim == 1 else predictions.tolist())
    return rows.append_column(PREDICTION, column)


def keep(client: Client, run_id: str, rows: pa.Table) -> str:
    """Log a sample, and return its digest.

    :param rows: rows with their predictions in column :data:`PREDICTION`.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    import pyarrow.parquet as pq

    from airflow_mlops.stores.registry import artifacts

    content = BytesIO()
    pq.write_table(rows, content)
    artifacts.write(client, run_id, SAMPLE, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def fetch(client: Client, ref: ModelRef, folder: Path) -> tuple[Path, Path]:
    """Download a version's model and the sample that it was logged with.

    :raises ModelNotFound: if either does not exist.
    :raises DigestMismatch: if the sample is not what was logged.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    from airflow_mlops.learning.models import models
    from airflow_mlops.stores.registry import artifacts, registry

    path = models.download(client, ref.run_id, folder)
    try:
        registered = registry.short_tags(client, ref).get(DIGEST_TAG)
        sample = artifacts.download(client, ref.run_id, SAMPLE, folder)
    except RegistryUnavailable as error:
        if error.silent:
            raise  # a retry can help, which it cannot where a sample is missing
        raise ModelNotFound(f"Run {ref.run_id} of {ref.model!r} has no {SAMPLE}: {error}") from error
    digest = hashlib.sha256(sample.read_bytes()).hexdigest()
    # Versions of earlier releases have no such tag.
    if registered and digest != registered:
        raise DigestMismatch(
            f"{SAMPLE} of {ref.model!r} version {ref.version} has the digest {digest[:12]}…; the version was "
            f"registered with {registered[:12]}…: it proves nothing. Train again."
        )
    return path, sample
