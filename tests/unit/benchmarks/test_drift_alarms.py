from __future__ import annotations

from benchmarks import drift_alarms


def test_every_shifted_column_is_measured_so_a_large_shift_fails_nearly_all_tables() -> None:
    found = drift_alarms.alarms(5, 500, 0.5, 5)
    assert found.table == 1.0
    assert found.interval[0] > 0.5


def test_samples_hold_each_kind_of_column_unless_they_are_to_be_shifted() -> None:
    import numpy as np

    random = np.random.default_rng(0)
    kinds = {name.split()[0] for name in drift_alarms._sample(random, 5, 100, 5)}
    assert kinds == {"normal", "pareto", "poisson", "category"}
    assert {name.split()[0] for name in drift_alarms._sample(random, 5, 100, 1)} == {"normal"}
