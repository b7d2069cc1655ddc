"""The labels that a candidate has learned from: their constant, and how far they spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.learning.labels import weights
from airflow_mlops.learning.models import pipeline

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.facts.results import TrainedModel


@dataclass(frozen=True)
class Learned:
    """The labels of training rows.

    :param labels: codes of classes, or numbers; one at least.
    :param weights: how much each row counts; None means that all count alike.
    :param classes: those that are told apart, in the order of their codes; none for a regression.
    """

    labels: np.ndarray
    weights: np.ndarray | None
    classes: tuple[str, ...]

    @classmethod
    def of(cls, rows: pa.Table, candidate: TrainedModel, classes: Sequence[str]) -> Learned | None:
        """Return the labels of a candidate's training rows; None if none of these rows has one.

        :param rows: the training rows, with at least their key, label and weight.
        """
        labelled, labels = pipeline.labelled(rows, candidate.target, candidate.task, classes)
        counted = weights.of(labelled, candidate.weights, candidate.dataset.key)
        if not labels.size or (counted is not None and not counted.any()):
            return None
        return cls(labels, counted, tuple(classes))

    def constant(self, count: int) -> np.ndarray:
        """Return the prediction that is the same for each of some rows: the mean label, or the share of each class.

        Each class counts as one row more than there are, as one that no row had would be ruled out: Laplace's rule of succession.
        """
        import numpy as np

        if not self.classes:
            return np.full(count, np.average(self.labels, weights=self.weights))
        # Each row of a class weighs as much as the mean row.
        each = np.ones(self.labels.size) if self.weights is None else self.weights / self.weights.mean()
        kinds = len(self.classes)
        told_apart = (self.labels >= 0) & (self.labels < kinds)
        codes = self.labels[told_apart].astype(int)
        shares = 1 + np.bincount(codes, weights=each[told_apart], minlength=kinds)
        shares = shares / shares.sum()
        return np.full(count, shares[1]) if kinds == 2 else np.tile(shares, (count, 1))

    @property
    def spread(self) -> float:
        """Standard deviation of the labels of a regression."""
        import numpy as np

        mean = np.average(self.labels, weights=self.weights)
        return float(np.sqrt(np.average((self.labels - mean) ** 2, weights=self.weights)))
