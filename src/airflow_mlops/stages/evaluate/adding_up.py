"""Evidence that adds up: what the rows of this partition add to what earlier ones have said."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.learning.statistics import sequential
from airflow_mlops.learning.statistics.sequential import Gains
from airflow_mlops.stages.evaluate.rival import Rival

if TYPE_CHECKING:
    from airflow_mlops.stages.evaluate.gates.evidence import Evidence


class AddedUp(NamedTuple):
    """Evidence after this partition.

    :param looks: number of partitions that it is of.
    :param first: whether no earlier one is among them.
    :param score: that was compared, in words.
    """

    evidence: float
    looks: int
    first: bool
    score: str


def added_up(evidence: Evidence, rival: Rival) -> AddedUp | None:
    """Return the evidence after this partition; None if nothing can be added, as the two cannot be compared.

    Only rows that do not count in it already are added, all that have become known since as one look.
    """
    import numpy as np

    judged, best = evidence.judged, evidence.candidate
    gains, score = _gains(evidence, rival)
    if gains is None or rival.problem:
        return None
    so_far = evidence.retrain.evidence if evidence.retrain else None
    value, looks, first = (so_far.value, so_far.looks, False) if so_far else (1.0, 0, True)
    new = np.ones(judged.truth.size, bool)
    if so_far is not None:
        until = np.datetime64(int(so_far.until.timestamp() * 1_000_000), "us")
        new = judged.rows[best.dataset.event_time].to_numpy().astype("datetime64[us]") >= until
    if new.any():
        rows = Gains(gains.gains[new], gains.variances[new])
        factor = sequential.factor(rows, judged.blocks.codes[new], judged.weights_of(new))
        value, looks = sequential.added(value, looks, [factor]), looks + 1
    return AddedUp(value, looks, first, score)


def _gains(evidence: Evidence, rival: Rival) -> tuple[Gains | None, str]:
    judged = evidence.judged
    if rival.predicted is None:
        return None, ""
    if evidence.candidate.task == "classification":
        return sequential.brier(judged.truth, judged.predicted, rival.predicted), "the Brier score"
    learned = evidence.learned()
    if learned is None:
        return None, ""
    spread = learned.spread
    score = f"the squared error, where an error counts up to {sequential.CLIP * spread:.4g}"
    return sequential.squared(judged.truth, judged.predicted, rival.predicted, spread), score
