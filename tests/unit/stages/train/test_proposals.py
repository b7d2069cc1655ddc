from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.stages.train.proposals import Proposals
from airflow_mlops.stages.train.trials import Trial, TrialOutcome


def make_proposals(trials: int = 20, *, metric: str = "roc_auc", seed: int = 0, **space: Any) -> Proposals:
    candidate = Candidate(estimator="sklearn.tree.DecisionTreeClassifier", search=space)
    return Proposals(candidate.search, trials, metric, seed)


def shown(params: dict[str, Any], *values: float | None, outcome: TrialOutcome = TrialOutcome.DONE) -> Trial:
    return Trial(params, outcome, values, 1.0)


def good(params: dict[str, Any]) -> float:
    """Be best at a depth of 30."""
    return 1 - abs(30 - params["depth"]) / 100


def all_of(proposals: Proposals, together: int = 1) -> list[dict[str, Any]]:
    """Propose to the end, and tell that a quarter of it failed."""
    tried: list[dict[str, Any]] = []
    while batch := proposals.next(together):
        for each in batch:
            failed = TrialOutcome.FAILED if each.params["depth"] % 4 == 0 else TrialOutcome.DONE
            proposals.tell(each, shown(each.params, good(each.params), outcome=failed))
        tried += [each.params for each in batch]
    return tried


def test_all_combinations_are_tried_in_their_order_if_the_budget_allows() -> None:
    proposals = make_proposals(4, depth=[1, 2], leaves=[[5], None])
    assert proposals.total == 4
    assert all_of(proposals) == [
        {"depth": depth, "leaves": leaves} for depth in (1, 2) for leaves in ([5], None)
    ]


def test_without_a_search_there_is_one_combination_of_nothing() -> None:
    proposals = make_proposals()
    assert [each.params for each in proposals.next(5)] == [{}]
    assert proposals.next(1) == []


def test_a_value_that_is_listed_twice_is_tried_once() -> None:
    assert all_of(make_proposals(depth=[1, 1, 2])) == [{"depth": 1}, {"depth": 2}]


def test_no_more_is_proposed_than_the_budget_allows_and_nothing_twice() -> None:
    tried = all_of(make_proposals(20, depth=[*range(7)], leaves=[1, 2, 3]))
    assert len(tried) == 20
    assert len({str(each) for each in tried}) == 20


def test_ranges_keep_to_their_ends_and_whole_numbers_stay_whole() -> None:
    tried = all_of(
        make_proposals(30, depth={"low": 1, "high": 64, "log": True}, rate={"low": 0.5, "high": 1})
    )
    assert all(type(each["depth"]) is int and 1 <= each["depth"] <= 64 for each in tried)
    assert all(type(each["rate"]) is float and 0.5 <= each["rate"] <= 1 for each in tried)


def test_after_ten_trials_the_search_turns_to_what_did_well() -> None:
    space = {"depth": {"low": 1, "high": 1000}, "leaves": [1, 2]}
    tried = all_of(make_proposals(40, **space))
    errors = [abs(30 - each["depth"]) for each in tried]
    assert sum(errors[-10:]) / 10 < sum(errors[:10]) / 10 / 3


@pytest.mark.parametrize("together", [1, 3])
def test_the_same_seed_proposes_the_same_and_another_one_something_else(together: int) -> None:
    space = {"depth": {"low": 1, "high": 1000}, "rate": {"low": 0.1, "high": 1.0}}
    once = all_of(make_proposals(15, **space), together)
    assert all_of(make_proposals(15, **space), together) == once
    assert all_of(make_proposals(15, seed=1, **space), together) != once


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_a_trial_falls_behind_once_it_is_worse_than_most_of_five_before_it(metric: str) -> None:
    proposals = make_proposals(metric=metric, depth=[*range(10)])
    sign = 1 if metric == "roc_auc" else -1
    for value in (0.9, 0.8, 0.7, 0.6, 0.5):
        (each,) = proposals.next(1)
        assert not proposals.behind(each, shown(each.params, sign * value)), "too few to compare with"
        proposals.tell(each, shown(each.params, sign * value, sign * value))
    (each,) = proposals.next(1)
    assert proposals.behind(each, shown(each.params, sign * 0.6))


def test_one_good_fold_does_not_save_a_trial_whose_mean_is_worse() -> None:
    proposals = make_proposals(depth=[*range(10)])
    for _ in range(6):
        (each,) = proposals.next(1)
        for values in ((0.8,), (0.8, 0.8)):
            assert not proposals.behind(each, shown(each.params, *values))
        proposals.tell(each, shown(each.params, 0.8, 0.8, 0.8))
    (each,) = proposals.next(1)
    assert not proposals.behind(each, shown(each.params, 0.81))
    assert proposals.behind(each, shown(each.params, 0.81, 0.5))


def test_a_trial_that_does_as_well_as_half_of_the_others_goes_on() -> None:
    proposals = make_proposals(depth=[*range(10)])
    for value in (0.5, 0.6, 0.7, 0.8, 0.9):
        (each,) = proposals.next(1)
        assert not proposals.behind(each, shown(each.params, value))
        proposals.tell(each, shown(each.params, value, value))
    (each,) = proposals.next(1)
    assert not proposals.behind(each, shown(each.params, 0.7))
    assert not proposals.behind(each, shown(each.params, 0.7, None)), "an undefined fold says nothing"
