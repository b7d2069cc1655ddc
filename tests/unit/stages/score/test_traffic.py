from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.stages.score import traffic


def test_the_hash_of_a_key_is_the_documented_one() -> None:
    assert traffic.canonical(["AA", 17, None, True]) == '["AA",17,null,true]'
    # printf '%s' '["AA",17]' | sha256sum
    assert traffic.place(["AA", 17]) == 0x8F212F344AE028D1 / 2**64


def test_a_key_is_the_same_whatever_the_width_of_its_numbers_and_the_unit_of_its_times() -> None:
    at = datetime(2013, 1, 1, tzinfo=UTC)
    tables = [
        pa.table({"id": pa.array([1, 2], number), "at": pa.array([at, at], pa.timestamp(unit, "UTC"))})
        for number, unit in ((pa.int32(), "ms"), (pa.int64(), "us"))
    ]
    assert traffic.canonical([1, at]) == '[1,"2013-01-01T00:00:00+00:00"]'
    one, other = (traffic.chosen(rows, ["id", "at"], 0.5) for rows in tables)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_the_share_of_the_keys_is_the_one_that_is_asked_for(share: float) -> None:
    rows = pa.table({"id": np.arange(20_000)})
    chosen = traffic.chosen(rows, ["id"], share)
    # Four standard deviations.
    assert chosen.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 20_000) + 1e-12)
    assert not (chosen & ~traffic.chosen(rows, ["id"], min(1.0, share + 0.1))).any()
