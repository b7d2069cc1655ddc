from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.exceptions import LeakedRows
from airflow_mlops.stages.evaluate import leakage
from synthetic import make_dataset, make_rows, make_split

ROWS = make_rows(1200)
SPLIT = make_split(ROWS)
HOLDOUT = ROWS.filter(pc.greater_equal(ROWS["departure"], SPLIT.cut))
SEEN = ROWS.select(["flight", "departure"])
DATASET = make_dataset(ROWS)


def test_rows_of_other_keys_and_later_times_are_untouched() -> None:
    check = leakage.untouched(HOLDOUT, SEEN, DATASET, SPLIT)
    assert (check.verdict, check.observed, check.n) == (Verdict.PASS, 0, HOLDOUT.num_rows)
    assert f"{SPLIT.train_rows} training rows" in check.reason


def test_a_row_of_an_earlier_time_is_refused() -> None:
    with pytest.raises(LeakedRows, match="1,200 rows are not of the holdout from"):
        leakage.untouched(ROWS, SEEN, DATASET, SPLIT)


def test_a_key_of_a_training_row_is_found_and_named() -> None:
    again = HOLDOUT.set_column(
        0, "flight", pc.if_else(pc.equal(HOLDOUT["flight"], 1199), 7, HOLDOUT["flight"])
    )
    check = leakage.untouched(again, SEEN, DATASET, SPLIT)
    assert (check.verdict, check.observed) == (Verdict.FAIL, 1)
    assert "such as 7:" in check.reason


def test_a_row_before_the_window_was_not_learned_from() -> None:
    late = SPLIT.model_copy(update={"start": SPLIT.cut})
    again = HOLDOUT.set_column(0, "flight", pc.subtract(HOLDOUT["flight"], 669))
    assert leakage.untouched(again, SEEN, DATASET, late).verdict is Verdict.PASS


def test_what_another_model_learned_from_is_counted_by_time_and_by_key() -> None:
    later = SPLIT.model_copy(update={"cut": SPLIT.end})
    assert leakage.learned_from(HOLDOUT, SEEN, DATASET, SPLIT) == 0
    assert leakage.learned_from(HOLDOUT, SEEN, DATASET, later) == HOLDOUT.num_rows
    again = HOLDOUT.set_column(
        0, "flight", pc.if_else(pc.equal(HOLDOUT["flight"], 1199), 7, HOLDOUT["flight"])
    )
    assert leakage.learned_from(again, SEEN, DATASET, SPLIT) == 1


def alone(task: str = "classification", *, truth: Any, **columns: Any) -> dict[str, float]:
    frame = pd.DataFrame(columns)
    numeric = tuple(name for name in frame if frame[name].dtype.kind == "f")
    features = Features(numeric=numeric, categorical=tuple(name for name in frame if name not in numeric))
    return leakage.alone(frame, features, np.asarray(truth), task) or {}


RANDOM = np.random.default_rng(0)
TRUTH = (RANDOM.random(4000) < 0.2).astype(int)


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("a copy", TRUTH.astype(float)),
        ("its opposite", 5.0 - 3.0 * TRUTH),
        ("a number beyond a limit", TRUTH * 10 + RANDOM.normal(size=4000)),
        ("a band of numbers", np.where(TRUTH, RANDOM.uniform(4, 5, 4000), RANDOM.choice([1.0, 9.0], 4000))),
        ("missing where it is 1", np.where(TRUTH, np.nan, RANDOM.normal(size=4000))),
        ("a name", np.where(TRUTH, "yes", "no").astype(object)),
        ("missing name", np.where(TRUTH, None, "no").astype(object)),
    ],
)
def test_a_feature_that_gives_a_class_away_is_found(what: str, values: np.ndarray) -> None:
    assert alone(truth=TRUTH, feature=values)["feature"] > 0.99, what


def test_honest_features_are_not_taken_for_copies() -> None:
    found = alone(
        truth=TRUTH,
        signal=TRUTH + RANDOM.normal(size=4000),
        noise=RANDOM.normal(size=4000),
        constant=np.ones(4000),
        empty=np.full(4000, np.nan),
        key=np.array([f"row {place}" for place in range(4000)], dtype=object),
    )
    assert 0.6 < found["signal"] < 0.9
    assert all(found[name] < 0.56 for name in ("noise", "constant", "empty", "key"))


@pytest.mark.parametrize("factor", [1, -2])
def test_a_feature_that_gives_a_number_away_is_found_also_with_far_outliers(factor: int) -> None:
    truth = RANDOM.lognormal(sigma=2, size=4000)
    found = alone("regression", truth=truth, copy=3 + factor * truth, noise=RANDOM.normal(size=4000))
    assert found["copy"] > 0.99
    assert found["noise"] < 0.1


@pytest.mark.parametrize("truth", [[1], [0, 0, 0], [1, 1]])
def test_of_one_label_nothing_can_be_told(truth: list[int]) -> None:
    frame = pd.DataFrame({"x": np.ones(len(truth))})
    assert leakage.alone(frame, Features(numeric=("x",)), np.array(truth), "classification") is None


def test_a_million_rows_are_looked_at_in_part() -> None:
    truth = np.tile(TRUTH, 250)
    found = alone(truth=truth, copy=truth.astype(float))
    assert found["copy"] == 1.0


@pytest.mark.parametrize("positives", [10, 30])
def test_a_copy_of_a_rare_target_is_found_among_many_rows(positives: int) -> None:
    truth = np.zeros(100_000)
    truth[np.random.default_rng(1).choice(truth.size, positives, replace=False)] = 1
    noise = np.random.default_rng(2).normal(size=truth.size)
    found = alone(truth=truth, copy=truth.copy(), opposite=1 - truth, noise=noise)
    assert (found["copy"], found["opposite"]) == (1.0, 1.0)
    assert found["noise"] < 0.9


def test_of_a_few_rows_of_one_label_nothing_can_be_told() -> None:
    truth = (np.arange(1000) < 9).astype(float)
    assert alone(truth=truth, copy=truth.copy()) == {}
