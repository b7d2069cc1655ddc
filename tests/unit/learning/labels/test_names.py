from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.learning.labels.matching import in_type
from airflow_mlops.learning.labels.names import ClassNames

KINDS = [pa.string(), pa.large_string(), pa.string_view()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_among_numbers_is_told_whatever_holds_the_texts(
    kind: pa.DataType, caplog: pytest.LogCaptureFixture
) -> None:
    names = ClassNames("late")
    names.add(pa.table({"late": pa.array(["0", "1", "", "maybe", None, "1"], kind)}))
    names.tell(None, Partition.parse("2013-01", "month"), "the labels")
    assert "'maybe'" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_text_become_numbers_whatever_holds_the_texts(kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.array([" 7", None, "12 "], kind)])
    assert in_type(column, "id", pa.int64(), "labels").to_pylist() == [7, None, 12]
