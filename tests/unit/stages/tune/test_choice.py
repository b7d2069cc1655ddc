from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from airflow_mlops.exceptions import NotEnoughData
from airflow_mlops.stages.tune import choice


class Part(NamedTuple):
    quality: dict[str, float | None]


def parts(*values: float | None, score: str = "roc_auc") -> list[Part]:
    return [Part({score: value}) for value in values]


HARD = [0.6, 0.8, 0.6, 0.8, 0.6, 0.8, 0.6, 0.8]


def test_the_fewest_trainings_within_noise_of_the_best_are_chosen() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.01, 8)
    steps = {
        "best": parts(*HARD),
        "alike": parts(*(np.array(HARD) - 0.001 + noise - noise.mean())),
        "worse": parts(*(np.array(HARD) - 0.05)),
    }
    distances = choice.distances(steps, "roc_auc")
    assert choice.best(distances) == "best"
    assert [name for name in steps if distances[name].close] == ["best", "alike"]
    assert choice.chosen(distances, {"best": 5, "alike": 2, "worse": 0}) == "alike"
    assert choice.chosen(distances, {"best": 2, "alike": 2, "worse": 0}) == "best"


def test_what_makes_partitions_hard_for_all_is_no_noise_between_policies() -> None:
    # The means differ by 0.02, and each has a standard error of more than that.
    steps = {"best": parts(*HARD), "behind": parts(*(np.array(HARD) - 0.02))}
    behind = choice.distances(steps, "roc_auc")["behind"]
    assert behind.behind == pytest.approx(0.02)
    assert not behind.close


def test_of_a_loss_the_least_is_best() -> None:
    steps = {"more": parts(0.5, 0.6, score="log_loss"), "less": parts(0.4, 0.5, score="log_loss")}
    assert choice.best(choice.distances(steps, "log_loss")) == "less"


def test_a_policy_that_left_partitions_without_a_model_is_not_compared() -> None:
    steps = {"served": parts(None, 0.6, 0.6, 0.6), "late": parts(None, None, 0.9, 0.9)}
    distances = choice.distances(steps, "roc_auc")
    assert distances["late"] == (None, None)
    assert choice.chosen(distances, {"served": 3, "late": 1}) == "served"
    with pytest.raises(
        NotEnoughData, match="1 of the partitions .* 2 are needed: let --choose-until name a later"
    ):
        choice.distances({"served": parts(None, 0.6)}, "roc_auc")


def test_a_difference_has_an_interval_where_there_are_enough_partitions() -> None:
    random = np.random.default_rng(0)
    theirs = random.normal(0.7, 0.05, 14)
    ours = theirs + random.normal(0.02, 0.005, 14)
    gain = choice.gain(parts(*ours), parts(*theirs), "roc_auc")
    assert gain.interval is not None
    assert gain.value == pytest.approx(0.02, abs=0.005)
    assert 0 < gain.interval[0] < gain.value < gain.interval[1]
    few = choice.gain(parts(*ours[:13], None), parts(*theirs), "roc_auc")
    assert (few.interval, few.n) == (None, 13)
    assert choice.NEEDED == 14
    assert choice.gain(parts(None), parts(0.7), "roc_auc") == (None, None, 0)


def test_gains_in_rmse_are_those_of_squared_errors() -> None:
    gain = choice.gain(parts(1.0, 2.0, score="rmse"), parts(2.0, 3.0, score="rmse"), "rmse")
    assert gain.value == pytest.approx((3 + 5) / 2)
