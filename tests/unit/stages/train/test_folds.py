from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_mlops.exceptions import NotEnoughData
from airflow_mlops.stages.train.fitting import Data
from airflow_mlops.stages.train.folds import folds


def make_data(times: list[int], labels: list[int] | None = None) -> Data:
    return Data(
        pd.DataFrame({"x": np.zeros(len(times))}),
        np.array(labels or [0, 1] * (len(times) // 2)),
        np.array(times, dtype="datetime64[s]"),
    )


def test_one_fold_is_the_latest_fifth() -> None:
    assert folds(make_data(list(range(100))), 1, "classification") == [(80, 100)]


def test_several_folds_are_the_latest_fifths_the_earliest_first_each_up_to_the_next() -> None:
    assert folds(make_data(list(range(100))), 3, "classification") == [(40, 60), (60, 80), (80, 100)]
    assert [fold.cut for fold in folds(make_data(list(range(100))), 4, "classification")] == [20, 40, 60, 80]


def test_rows_of_one_time_are_in_one_fold() -> None:
    times = [0] * 30 + [1] * 25 + [2] * 25 + [3] * 20
    for fold in folds(make_data(times), 3, "classification"):
        assert times[fold.cut - 1] < times[fold.cut]


def test_fewer_times_than_folds_make_fewer_folds_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert folds(make_data([0] * 50 + [1] * 50), 4, "classification") == [(50, 100)]
    assert "Only 1 of 4 folds" in caplog.text


def test_rows_of_a_single_time_are_validated_on_by_their_order() -> None:
    assert folds(make_data([7] * 100), 2, "classification") == [(80, 100)]


def test_a_fold_before_which_there_is_one_class_is_left_out_for_a_classifier_only() -> None:
    data = make_data(list(range(100)), [0] * 50 + [0, 1] * 25)
    assert folds(data, 3, "classification") == [(60, 80), (80, 100)]
    assert len(folds(data, 3, "regression")) == 3


def test_without_two_classes_before_any_fold_there_is_not_enough_data() -> None:
    with pytest.raises(NotEnoughData, match="earliest 80 of 100 rows .* have the label 1"):
        folds(make_data(list(range(100)), [1] * 90 + [0] * 10), 1, "classification")
