"""A model's partitions, versions and ledger, as the loop leaves them."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    ModelRef,
    PromotionDecision,
    TrainedModel,
)
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.stages.train.split import place_bounds
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import RowKind
from airflow_mlops.stores.tables import tables
from synthetic import make_client, make_rows, make_trained

MODEL = "flights"
# From the first of January to the twenty-second of April, some 270 rows a month.
ROWS = make_rows(1000, months=4)
STIFF = Candidate(estimator="sklearn.linear_model.LogisticRegression", params={"C": 0.001}, name="Stiff")


def month(key: str) -> Partition:
    return Partition.parse(key, "month")


def rows_of(key: str) -> pa.Table:
    """Return one month's flights."""
    times, partition = ROWS["departure"], month(key)
    return ROWS.filter(pc.and_(pc.greater_equal(times, partition.start), pc.less(times, partition.end)))


def changed(rows: pa.Table, **columns: Any) -> pa.Table:
    """Return the rows with other values in some columns."""
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows


def shifted(key: str, by: float = 5.0) -> pa.Table:
    """Return one month's flights in a stronger wind."""
    rows = rows_of(key)
    return changed(rows, wind=pc.add(rows["wind"], by))


def moved(uri: str, decision: PromotionDecision) -> None:
    """Leave in a ledger what a move of the champion leaves there."""
    for kind in (RowKind.INTENT, RowKind.DONE):
        ledger.record(uri, kind, decision, actor="test")


class History:
    """What is stored of one model under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = f"file://{folder}/storage"

    @cached_property
    def client(self) -> Any:
        return make_client(self.folder)

    def uri(self, table: str) -> str:
        return tables.uri_of(self.storage, MODEL, table)

    def publish(self, key: str, rows: pa.Table | None = None) -> DatasetVersion:
        return tables.publish(
            self.uri("data"),
            rows_of(key) if rows is None else rows,
            name=MODEL,
            grain="month",
            partition=key,
            key=["flight"],
            event_time="departure",
            source="test",
            run="test",
        )

    def train(self, dataset: DatasetVersion, **changes: Any) -> TrainedModel:
        """Train on a dataset version, the last month held out."""
        rows = tables.read(dataset.uri, version=dataset.version)
        split = place_bounds(
            rows["departure"],
            holdout=1,
            partition=month(dataset.partition),
            window="all",
            delay=timedelta(0),
        )
        key = f"{dataset.partition}/{sorted(changes.items())}"
        return make_trained(self.client, rows, key, dataset=dataset, split=split, **changes)

    def crown(self, trained: TrainedModel, key: str) -> ModelRef:
        """Leave what a promotion at a partition leaves."""
        before = registry.champion_version(self.client, MODEL)
        registry.set_champion(self.client, MODEL, trained.version)
        promoted = make_decision(
            key, Action.PROMOTED, before=before, after=trained.version, digest=trained.digest
        )
        moved(self.uri("ledger"), promoted)
        return registry.version(self.client, MODEL, trained.version)

    def put_beside(self, trained: TrainedModel) -> ModelRef:
        """Leave what a person leaves who has put a challenger beside the champion."""
        champion = registry.champion_version(self.client, MODEL)
        registry.set_challenger(self.client, MODEL, trained.version)
        put = make_decision(
            trained.dataset.partition, Action.BESIDE, before=champion, after=champion, candidate=trained.version,
            digest=trained.digest, key=f"beside/{trained.version}",
        )  # fmt: skip
        moved(self.uri("ledger"), put)
        return registry.version(self.client, MODEL, trained.version)

    def decide(self, partition: str, action: Action = Action.KEPT, /, **changes: Any) -> PromotionDecision:
        """Leave a decision on a partition."""
        decision = make_decision(partition, action, **changes)
        ledger.record_decision(self.uri("ledger"), decision, actor="test")
        return decision


def make_decision(partition: str, action: Action = Action.KEPT, /, **changes: Any) -> PromotionDecision:
    facts: dict[str, Any] = {
        "model": MODEL,
        "partition": partition,
        "action": action,
        "before": None,
        "after": None,
        "reason": f"{action} in a test",
        "key": f"test/{partition}",
    }
    return PromotionDecision(**facts | changes)
