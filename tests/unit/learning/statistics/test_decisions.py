from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.metrics import METRICS, OF_DECISIONS
from airflow_mlops.domain.spec.costs import CostMatrix, Costs
from airflow_mlops.domain.spec.decision import CHOOSING, Decision
from airflow_mlops.domain.spec.gates import RATES
from airflow_mlops.learning.statistics import decisions, measures, paired, resampling
from airflow_mlops.learning.statistics.statistic import statistic
from scores import make_scores, make_times

COSTS = Costs(false_positive=1, false_negative=20)
RULE = DecisionRule(threshold=0.13, costs=COSTS)
OF_CALLED: dict[str, Callable[..., float]] = {
    "accuracy": sk.accuracy_score,
    "f1": sk.f1_score,
    "f1_weighted": lambda t, c: sk.f1_score(t, c, average="weighted"),
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "matthews": sk.matthews_corrcoef,
    "quadratic_kappa": lambda t, c: sk.cohen_kappa_score(t, c, weights="quadratic"),
    "expected_cost": lambda t, c: float(np.sum(sk.confusion_matrix(t, c) * [[0, 1], [20, 0]])) / len(t),
}


def blocks(rows: int) -> resampling.Blocks:
    return resampling.blocks(make_times(rows), "day", "month")


def test_every_metric_of_decisions_is_tried_here() -> None:
    assert set(OF_CALLED) == set(OF_DECISIONS)


@pytest.mark.parametrize("name", OF_DECISIONS)
def test_metrics_of_decisions_are_those_of_scikit_learn_at_the_threshold(name: str) -> None:
    truth, scores = make_scores()
    expected = OF_CALLED[name](truth, scores >= RULE.threshold)
    assert measures.measure(name, truth, scores, rule=RULE) == pytest.approx(expected, rel=1e-12)
    drawn = statistic(name, truth, scores, blocks(truth.size), RULE).compute(np.ones(28, int))
    assert drawn == pytest.approx(expected, rel=1e-12)
    if name != "expected_cost":
        assert measures.measure(name, truth, scores) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "brier"])
def test_no_threshold_changes_metrics_of_probabilities_and_their_order(name: str) -> None:
    truth, scores = make_scores()
    assert measures.measure(name, truth, scores, rule=RULE) == measures.measure(name, truth, scores)


@pytest.mark.parametrize("name", RATES)
def test_rates_of_groups_are_those_of_the_threshold(name: str) -> None:
    truth, scores = make_scores()
    called = scores >= RULE.threshold
    expected = {
        "selection_rate": called.mean(),
        "true_positive_rate": called[truth == 1].mean(),
        "false_positive_rate": called[truth == 0].mean(),
    }[name]
    drawn = statistic(name, truth, scores, blocks(truth.size), RULE).compute(np.ones(28, int))
    assert drawn == pytest.approx(expected, rel=1e-12)


def test_a_cost_without_costs_is_undefined() -> None:
    truth, scores = make_scores()
    assert measures.measure("expected_cost", truth, scores) is None
    assert not METRICS["expected_cost"].greater_is_better


def test_two_models_are_compared_each_by_its_own_threshold() -> None:
    truth, scores = make_scores()
    doubled = 1 / (1 + (1 - scores) / (2 * scores))  # twice the odds
    same = DecisionRule(threshold=0.26 / 1.13, costs=COSTS)  # twice the odds of 0.13
    settings: dict[str, Any] = {"blocks": blocks(truth.size), "confidence": 0.95}
    own = paired.difference(truth, scores, doubled, "expected_cost", rules=(RULE, same), **settings)
    assert own.observed == own.baseline
    shared = paired.difference(truth, scores, doubled, "expected_cost", rules=(RULE, RULE), **settings)
    assert shared.baseline != shared.observed == own.observed
    mcnemar = paired.difference(
        truth, scores, doubled, "accuracy", rules=(RULE, same), confidence=0.95,
        blocks=resampling.blocks(make_times(truth.size), "none", "month"),
    )  # fmt: skip
    assert mcnemar.interval is not None
    assert mcnemar.interval[0] == -mcnemar.interval[1]


def test_a_model_of_two_of_three_classes_decides_between_its_own() -> None:
    predicted = np.array([[0.8, 0.0, 0.2], [0.95, 0.0, 0.05], [0.3, 0.0, 0.7]])
    rule = DecisionRule(threshold=0.1).among(("a", "c"), ("a", "b", "c"))
    assert decisions.chosen(predicted, rule).tolist() == [2, 0, 2]
    assert decisions.chosen(predicted).tolist() == [0, 0, 2]
    truth = np.array([2, 0, 1])
    assert measures.measure("accuracy", truth, predicted, rule=rule) == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", [*CHOOSING, None])
def test_no_other_threshold_is_better(metric: str | None, seed: int) -> None:
    truth, scores = make_scores(300, seed=seed)
    scores = scores.round(2)  # ties
    decision = Decision(metric=metric) if metric else Decision(costs=COSTS)
    cut = decisions.best(truth, scores, decision)
    name, sign = metric or "expected_cost", 1 if metric else -1
    values = {
        threshold: sign * OF_CALLED[name](truth, scores >= threshold) for threshold in np.unique([*scores, 1])
    }
    assert sign * cut.value == pytest.approx(max(values.values()), rel=1e-12)
    assert OF_CALLED[name](truth, scores >= cut.threshold) == pytest.approx(cut.value, rel=1e-12)
    assert cut.positive == pytest.approx((scores >= cut.threshold).mean())


def test_the_threshold_that_costs_imply_is_taken_where_the_rows_do_not_say_otherwise() -> None:
    truth, scores = np.array([0, 0, 1, 1]), np.array([0.01, 0.02, 0.6, 0.9])
    assert decisions.best(truth, scores, Decision(costs=COSTS)).threshold == 1 / 21
    assert decisions.best(truth, scores, Decision(metric="f1")).threshold == 0.5


def test_else_the_threshold_lies_in_the_middle_between_two_rows() -> None:
    truth, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    assert decisions.best(truth, scores, Decision(costs=COSTS)).threshold == pytest.approx(0.25)


@pytest.mark.parametrize(("third", "threshold"), [(0.75, 0.1875), (0.625, 0.75)])
def test_of_equally_good_cuts_the_nearest_to_the_usual_one_counts_or_the_lower(
    third: float, threshold: float
) -> None:
    # To call the last row positive, or the last three, is one mistake either way.
    truth, scores = np.array([0, 1, 0, 1]), np.array([0.125, 0.25, third, 0.875])
    even = Decision(costs=Costs(false_positive=1, false_negative=1))
    assert decisions.best(truth, scores, even).threshold == threshold


@pytest.mark.parametrize(
    ("scores", "decision", "positive"),
    [
        ([0.2, 0.9, 0.9], Decision(costs=Costs(false_positive=100, false_negative=1)), 0.0),
        ([0.0, 0.0, 0.0], Decision(costs=COSTS), 1.0),
        ([1.0, 1.0, 1.0], Decision(costs=Costs(false_positive=100, false_negative=1)), 1.0),
    ],
)
def test_all_rows_or_none_may_be_called_positive(
    scores: list[float], decision: Decision, positive: float
) -> None:
    truth, predicted = np.array([0, 0, 1]), np.array(scores)
    cut = decisions.best(truth, predicted, decision)
    assert cut.positive == positive == (predicted >= cut.threshold).mean()


def test_rows_of_one_class_leave_the_usual_threshold_where_a_metric_is_undefined() -> None:
    cut = decisions.best(np.zeros(4), np.array([0.1, 0.2, 0.6, 0.7]), Decision(metric="f1"))
    assert (cut.threshold, cut.positive) == (0.5, 0.5)
    assert np.isnan(cut.value)


def test_a_version_with_its_two_classes_the_other_way_round_decides_as_it_did() -> None:
    _, scores = make_scores()
    rule = DecisionRule(threshold=0.13).among(("yes", "no"), ("no", "yes"))
    called = decisions.chosen(1 - scores, rule)  # probabilities of the other class
    np.testing.assert_array_equal(called, scores < 0.13)


def test_an_f_measure_of_any_beta_chooses_and_is_cut_too() -> None:
    truth, scores = make_scores(100)
    cut = decisions.best(truth, scores, Decision(metric="f2"))
    values = [sk.fbeta_score(truth, scores >= value, beta=2) for value in scores]
    assert cut.value == pytest.approx(max(values), rel=1e-12)
    rule = DecisionRule(threshold=cut.threshold)
    assert measures.measure("f2", truth, scores, rule=rule) == pytest.approx(cut.value, rel=1e-12)


@pytest.mark.parametrize("metric", [*CHOOSING, "f2", None])
def test_weights_that_cannot_be_summed_without_rounding_choose_a_threshold_too(metric: str | None) -> None:
    random = np.random.default_rng(3)
    decision = (
        Decision(metric=metric) if metric else Decision(costs=Costs(false_positive=1, false_negative=20))
    )
    for rows in range(20, 60):
        truth, scores = (random.random(rows) < 0.3).astype(int), random.random(rows)
        weights = random.random(rows) * (random.random(rows) < 0.8)
        cut = decisions.best(truth, scores, decision, weights)
        rule = DecisionRule(threshold=cut.threshold, costs=decision.costs)
        value = measures.measure(metric or "expected_cost", truth, scores, rule=rule, weights=weights)
        assert cut.value == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert cut.positive == pytest.approx(np.average(scores >= cut.threshold, weights=weights))


COST_OF = np.array([[0, 1, 2.5], [4, 0, 1], [40, 8, 0]])
MATRIX = CostMatrix(rows=tuple(map(tuple, COST_OF.tolist())), other=3)
LEAST = DecisionRule(costs=MATRIX, matrix=tuple(map(tuple, COST_OF.tolist())), places=(0, 1, 2))


def three() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    probabilities = random.dirichlet([4, 2, 1], 400)
    truth = np.array([random.choice(3, p=row) for row in probabilities])
    return truth, probabilities, random.gamma(1.0, size=400)


def test_of_many_classes_the_one_of_least_expected_cost_is_chosen() -> None:
    truth, probabilities, weights = three()
    by_hand = np.array(
        [
            min(range(3), key=lambda put: sum(share * COST_OF[true][put] for true, share in enumerate(row)))
            for row in probabilities
        ]
    )
    assert np.array_equal(decisions.chosen(probabilities, LEAST), by_hand)
    assert np.sum(by_hand != probabilities.argmax(axis=1)) > 50
    confusion = sk.confusion_matrix(truth, by_hand, labels=[0, 1, 2], sample_weight=weights)
    expected = float((confusion * COST_OF).sum() / weights.sum())
    measured = measures.measure("expected_cost", truth, probabilities, rule=LEAST, weights=weights)
    assert measured == pytest.approx(expected, rel=1e-12)
    one = statistic("expected_cost", truth, probabilities, blocks(400), LEAST, weights)
    assert one.compute(np.ones(28, int)) == pytest.approx(expected, rel=1e-12)
    accuracy = measures.measure("accuracy", truth, probabilities, rule=LEAST)
    assert accuracy == pytest.approx(sk.accuracy_score(truth, by_hand), rel=1e-12)
    # No decision changes probabilities.
    assert measures.measure("log_loss", truth, probabilities, rule=LEAST) == measures.measure(
        "log_loss", truth, probabilities
    )
    # The most probable class costs more, as it should on rows whose probabilities are right.
    usual = measures.measure("expected_cost", truth, probabilities, rule=DecisionRule(costs=MATRIX))
    least = measures.measure("expected_cost", truth, probabilities, rule=LEAST)
    assert usual is not None
    assert least is not None
    assert least < usual


def test_where_all_mistakes_cost_alike_the_most_probable_class_costs_least() -> None:
    _, probabilities, _ = three()
    alike = LEAST.model_copy(update={"matrix": ((0.0, 7.0, 7.0), (7.0, 0.0, 7.0), (7.0, 7.0, 0.0))})
    assert np.array_equal(decisions.chosen(probabilities, alike), probabilities.argmax(axis=1))


def test_a_version_chooses_among_its_own_classes_whatever_others_are_judged() -> None:
    _, probabilities, _ = three()
    wide = np.zeros((400, 5))
    wide[:, [3, 0, 4]] = probabilities
    rule = LEAST.among(("a", "b", "c"), ("b", "x", "y", "a", "c"))
    assert rule.places == (3, 0, 4)
    own = decisions.chosen(probabilities, LEAST)
    assert np.array_equal(decisions.chosen(wide, rule), np.array([3, 0, 4])[own])


def test_what_a_label_of_no_class_costs_is_the_default_or_not_known() -> None:
    probabilities = np.eye(3)[[0, 1, 2, 0]]
    truth = np.array([0, 2, 2, -1])
    rule = DecisionRule(costs=MATRIX)
    assert decisions.costs(truth, probabilities, rule).tolist() == [0, 8, 0, 3]
    unknown = DecisionRule(costs=MATRIX.model_copy(update={"other": None}))
    assert measures.measure("expected_cost", truth, probabilities, rule=unknown) is None
    # A row of weight 0 says nothing, so that its class need not be known.
    weights = np.array([1.0, 1, 2, 0])
    assert measures.measure("expected_cost", truth, probabilities, rule=unknown, weights=weights) == 2
    # A class beyond those that the costs are of, chosen or true.
    wide = np.eye(4)[[3, 3, 0, 1]]
    assert decisions.costs(np.array([3, 0, 3, 1]), wide, rule).tolist() == [0, 3, 3, 0]


def test_a_version_of_two_classes_is_measured_by_costs_of_more() -> None:
    rule = DecisionRule(costs=MATRIX)
    truth, scores = np.array([0, 1, 1, 0]), np.array([0.7, 0.2, 0.9, 0.1])
    assert decisions.costs(truth, scores, rule).tolist() == [1, 4, 0, 0]
