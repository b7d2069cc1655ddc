"""Shadow: a challenger that predicts the same rows as the champion, and how their predictions compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.domain.facts.scoring import ShadowReport
from airflow_mlops.domain.predictions import (
    CHAMPION_PREDICTION,
    CHAMPION_PROBABILITIES,
    CHAMPION_SCORE,
    CHAMPION_VERSION,
    DATASET_DIGEST,
    MODEL_DIGEST,
    MODEL_VERSION,
    PREDICTION,
    PROBABILITIES,
    SCORE,
)
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.ledger import Row

_NUMBERS = (CHAMPION_SCORE, SCORE)
_LISTS = (CHAMPION_PROBABILITIES, PROBABILITIES)
_CHOSEN = (CHAMPION_PREDICTION, PREDICTION)


def challenger_for(
    client: Client, *, model: str, partition: str, ledger_source: str | Sequence[Row], uri: str
) -> ModelRef | None:
    """Return the challenger that predicts a partition beside the champion; None if there is none.

    At the live edge this is the version that the ledger has made challenger, as long as it has the alias, and if it is known
    not to have learned from the partition. A partition that has been decided on already is being replayed, and gets the
    challenger that it had.

    :param ledger_source: the ledger's URI, or its rows if they were read before.
    :param uri: URI of the table of the challenger's predictions.
    :raises ModelNotFound: if the version has been deleted.
    :raises DigestMismatch: if it has another digest than was recorded, or if nothing in the ledger has made the version
        with the alias challenger.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    if ledger.reached(ledger_source, partition):
        recorded = origin(uri, partition)
        ref = registry.version(client, model, recorded.version, recorded.digest) if recorded else None
    else:
        ref = champions.challenger(client, ledger_source, model)
    if ref is None or ref.trained_through is None or ref.trained_through >= partition:
        return None
    return ref


class Origin(NamedTuple):
    """The models and the data that made the predictions of a partition; one pass writes all of them.

    :param version: the challenger's version.
    :param digest: digest of the challenger's content.
    :param champion: the champion's version.
    :param data: digest of the partition's content.
    """

    version: str
    digest: str
    champion: str
    data: str


def origin(uri: str, partition: str) -> Origin | None:
    """Return the origin of the predictions of a partition; None if there are none.

    :param uri: URI of the table of the challenger's predictions.
    """
    row = first(uri, partition, [MODEL_VERSION, MODEL_DIGEST, CHAMPION_VERSION, DATASET_DIGEST])
    return None if row is None else Origin(*row)


def first(uri: str, partition: str, columns: Sequence[str]) -> list[Any] | None:
    """Return some columns of the first row of a partition in a table of predictions; None if there is no row."""
    if not tables.exists(uri):
        return None
    batches = tables.batches(uri, partition=partition, columns=columns)
    batch = next((batch for batch in batches if len(batch)), None)
    return None if batch is None else [batch[name][0].as_py() for name in columns]


def shadow_report(uri: str, partition: str, challenger: ModelRef, task: str, served: int) -> ShadowReport:
    """Compare the predictions of challenger and champion for a partition.

    :param uri: URI of the table of the challenger's predictions.
    :param served: number of rows that the challenger serves.
    """
    import pyarrow.compute as pc

    pairs, rows, equal = _Pairs(), 0, 0
    there = tables.dataset(uri).schema.names
    columns = [name for name in (*_NUMBERS, *_LISTS, *_CHOSEN) if name in there]
    for batch in tables.batches(uri, partition=partition, columns=columns):
        both = [_numbers(batch, *names) for names in zip(_NUMBERS, _LISTS, strict=True)]
        pairs.add(*both)
        rows += batch.num_rows
        if task == "classification":
            # Predictions of former releases have no chosen class.
            classes = [batch[name] for name in _CHOSEN if name in there and not batch[name].null_count]
            same = pc.equal(*classes) if len(classes) == len(_CHOSEN) else _same_side(*both)
            equal += pc.sum(same, min_count=0).as_py()
    return ShadowReport(
        version=challenger.version, digest=challenger.digest, uri=uri, rows=rows, served=served,
        agreement=equal / rows if rows and task == "classification" else None, **pairs.measures(),
    )  # fmt: skip


def _numbers(batch: pa.RecordBatch, score: str, probabilities: str) -> np.ndarray:
    """Return the scores of one model, or its probabilities of all classes, one after the other."""
    names = batch.schema.names
    lists = batch[probabilities] if probabilities in names else None
    column = batch[score] if lists is None or lists.null_count else lists.flatten()
    numbers: np.ndarray = column.to_numpy(zero_copy_only=False)
    return numbers


def _same_side(ours: np.ndarray, theirs: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array((ours >= 0.5) == (theirs >= 0.5))


class _Pairs:
    """Moments of pairs of numbers, by the updates of Chan, Golub and LeVeque, Updating Formulae (1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.means = (0.0, 0.0)
        # Sums of (x - mean x)², (x - mean x)(y - mean y), (y - mean y)², |x - y| and (x - y)².
        self.sums = [0.0] * 5

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        import numpy as np

        if not x.size:
            return
        means = (float(x.mean()), float(y.mean()))
        dx, dy, apart = x - means[0], y - means[1], x - y
        sums = (dx @ dx, dx @ dy, dy @ dy, np.abs(apart).sum(), apart @ apart)
        total = self.count + x.size
        sx, sy = means[0] - self.means[0], means[1] - self.means[1]
        weight = self.count * x.size / total
        shift = (sx * sx * weight, sx * sy * weight, sy * sy * weight, 0.0, 0.0)
        self.sums = [float(a + b + c) for a, b, c in zip(self.sums, sums, shift, strict=True)]
        self.means = (self.means[0] + sx * x.size / total, self.means[1] + sy * x.size / total)
        self.count = total

    def measures(self) -> dict[str, Any]:
        xx, xy, yy, apart, square = self.sums
        return {
            "correlation": xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else None,
            "difference": apart / self.count if self.count else None,
            "divergence": math.sqrt(square / xx) if xx > 0 else None,
        }
