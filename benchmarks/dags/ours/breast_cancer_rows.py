"""The rows of scikit-learn's breast cancer data, as if they had all been taken in one partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from airflow_mlops import Partition


def read(partition: Partition) -> pd.DataFrame:
    """Return all 569 rows, their times spread over a partition."""
    import pandas as pd
    from sklearn.datasets import load_breast_cancer

    rows = load_breast_cancer(as_frame=True).frame
    rows.columns = [name.replace(" ", "_") for name in rows.columns]
    # The data is sorted by nothing that matters, but a holdout is the latest share of it.
    step = (partition.end - partition.start) / len(rows)
    return rows.assign(
        sample=[f"{partition.key}-{number}" for number in range(len(rows))],
        taken=pd.Series([partition.start + number * step for number in range(len(rows))]),
    )
