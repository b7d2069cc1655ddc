"""Tables of reports: the latest report on each partition, one row a partition."""

from __future__ import annotations

from airflow_mlops.domain.checks import Fact
from airflow_mlops.engines import tables


def record(uri: str, partition: str, report: Fact, **facts: str | int | None) -> None:
    """Keep a report; the same partition again replaces its row.

    :param report: kept as JSON, in the column ``report``.
    :param facts: columns beside it, to query by.
    """
    import pyarrow as pa

    row = {"partition": partition, **facts, "report": report.model_dump_json()}
    kinds = {name: pa.int64() if isinstance(value, int) else pa.string() for name, value in row.items()}
    tables.replace_partition(uri, pa.Table.from_pylist([row], pa.schema(list(kinds.items()))), partition)
