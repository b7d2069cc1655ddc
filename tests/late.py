"""A model whose data has no target, and whose labels come days later from a source of their own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.learning.labels import labelled, labels
from airflow_mlops.stores.sources import python
from history import ROWS, History, month, rows_of

WEEK, LATER = timedelta(days=7), timedelta(days=10)


def known_in(partition: Any) -> pa.Table:
    """Return the labels that become known during a partition: each ten days after its flight."""
    at = pc.add(ROWS["departure"], pa.scalar(LATER, pa.duration("us")))
    found = ROWS.select(["flight", "departure", "late"]).append_column(labels.LABELLED_AT, at)
    return found.filter(pc.and_(pc.greater_equal(at, partition.start), pc.less(at, partition.end)))


class Late(History):
    """What is stored of such a model under a folder."""

    def month(self, key: str) -> DatasetVersion:
        """Publish a month, and bring the labels that became known in it."""
        found = self.publish(key, rows_of(key).drop_columns(["late", "delay"]))
        self.bring(key)
        return labelled.with_labels(found, self.uri("labels"), "late")

    def bring(self, key: str, rows: pa.Table | None = None) -> None:
        source = python.PythonSource(known_in if rows is None else lambda partition: rows)
        labels.ingest(
            source, month(key), uri=self.uri("labels"), key=["flight"], event_time="departure", target="late",
            task="classification",
        )  # fmt: skip
