from __future__ import annotations

import traceback

import pytest

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.stores.sources.delta import DeltaSource

JANUARY = Partition.parse("2013-01", "month")


def test_a_table_is_named_without_a_password_or_a_signature() -> None:
    assert DeltaSource("s3://ada:se-cret@lake/parcels", version=3).describe(None) == "s3://***@lake/parcels@3"
    assert DeltaSource("az://lake/parcels?sig=se-cret").describe(JANUARY) == "az://lake/parcels?sig=***"
    kept = "abfss://lake@account.dfs.core.windows.net/parcels"
    assert DeltaSource(kept).describe(None) == kept


@pytest.mark.parametrize(
    "uri",
    [
        "nope://ada:se-cret@lake/parcels",
        "https://ada:se-cret@127.0.0.1:1/parcels",
        "file:///nowhere/parcels?token=se-cret",
        "http://ada:se-cret@[lake",
    ],
)
def test_no_error_about_a_table_shows_a_password_in_its_address_nor_does_what_caused_it(uri: str) -> None:
    with pytest.raises((SourceMissing, SourceUnreadable)) as failed:
        list(DeltaSource(uri).batches(JANUARY))
    assert "***" in str(failed.value)
    assert "se-cret" not in "".join(traceback.format_exception(failed.value))
