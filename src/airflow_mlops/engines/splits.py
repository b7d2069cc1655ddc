"""Splits of a dataset version into rows to train on and rows to judge on."""

from __future__ import annotations

from datetime import timedelta

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.results import DatasetVersion, Split
from airflow_mlops.engines import learning, train
from airflow_mlops.exceptions import NotEnoughData


def of(dataset: DatasetVersion, holdout: int | float, window: int | str, delay: timedelta) -> Split:
    """Return the split of a dataset version, as of its partition.

    Where labels have a source of their own, only rows count that have their label by then.

    :param holdout: see :func:`airflow_mlops.engines.train.split`, as for ``window`` and ``delay``.
    :raises NotEnoughData: if there is too little to train or to judge on.
    """
    when, labels = dataset.event_time, dataset.labels
    rows = learning.read(dataset, columns=[when, labels.target] if labels else [when])
    if labels is not None:
        rows = rows.filter(rows[labels.target].is_valid())
    try:
        return train.split(
            rows[when],
            holdout=holdout,
            partition=Partition.parse(dataset.partition, dataset.grain),
            window="all" if window == "all" else int(window),
            delay=delay,
        )
    except NotEnoughData as error:
        if labels is None:
            raise
        raise NotEnoughData(
            f"{error}, with a label: labels.source has brought {rows.num_rows:,} by the end of {dataset.partition}. If labels "
            "take longer, say so in labels.delay"
        ) from error
