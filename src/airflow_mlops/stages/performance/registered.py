"""What the registry says of the versions that have predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.domain.predictions import Predictor
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound
from airflow_mlops.learning.models import intervals
from airflow_mlops.stages.performance import estimates, evaluated
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.facts.performance import Measured
    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.learning.labels.coding import Coding
    from airflow_mlops.learning.statistics.resampling import Estimate
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training


@dataclass(frozen=True)
class RegisteredVersions:
    """The versions of a model in the registry.

    :param estimated: whether their metrics are estimated before labels come.
    """

    client: Client
    model: str
    estimated: bool = True

    def training(self, predictor: Predictor) -> tuple[ModelRef, Training] | None:
        """Return a version and its training; None if the version was deleted or has another digest, or records none."""
        if predictor.digest is None:
            return None
        try:
            ref = registry.version(self.client, self.model, predictor.version, predictor.digest)
            return ref, registry.training(self.client, ref)
        except (ModelNotFound, DigestMismatch):
            return None

    def estimates(
        self, ref: ModelRef, training: Training, coding: Coding, rows: pa.Table
    ) -> dict[str, Measured]:
        """Estimate the metrics of a version's predictions, by a calibration on its holdout."""
        if not self.estimated:
            return {}
        return estimates.of(self.client, ref, training, coding, rows)

    def evaluation(
        self, ref: ModelRef, training: Training, coding: Coding, metrics: Sequence[str]
    ) -> dict[str, Estimate]:
        """Measure metrics of a version on its own holdout, with standard errors."""
        return evaluated.of(self.client, ref, training, coding, metrics)

    def coverage(self, ref: ModelRef) -> float | None:
        """Return the share of values that a version's bounds should hold; None if it has no bounds."""
        return intervals.nominal(self.client, ref)
