from __future__ import annotations

from math import ceil, floor

import pytest

from airflow_mlops.stages.validate import learned


@pytest.mark.parametrize("value", [0.1, -0.1, 123456.789, 1e-12, -9.99e20, 4503599627370497.5])
def test_bounds_are_only_ever_rounded_outward(value: float) -> None:
    assert learned._outward(value, floor) <= value <= learned._outward(value, ceil)
    assert learned._outward(value, floor, 1e-3) <= value <= learned._outward(value, ceil, 1e-3)
