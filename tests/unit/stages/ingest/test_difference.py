from __future__ import annotations

import pyarrow as pa

from airflow_mlops.domain.facts.results import Difference
from airflow_mlops.stages.ingest.difference import difference


def make_rows(**rows: float | None) -> list[pa.RecordBatch]:
    return pa.table({"id": list(rows), "x": pa.array(rows.values(), pa.float64())}).to_batches(
        max_chunksize=2
    )


def test_rows_are_told_apart_by_key() -> None:
    before, after = make_rows(a=1, b=2, c=3), make_rows(d=4, c=3.5, b=2)
    assert difference(before, after, ["id"], 3) == Difference(added=1, removed=1, changed=1)


def test_from_nothing_all_is_new_and_to_nothing_all_is_gone() -> None:
    rows = make_rows(a=1, b=None)
    assert difference([], rows, ["id"], 0) == Difference(added=2, removed=0, changed=0)
    assert difference(rows, [], ["id"], 2) == Difference(added=0, removed=2, changed=0)
