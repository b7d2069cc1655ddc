from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.domain.spec import Budget, Candidate
from airflow_mlops.engines import pipeline, search
from airflow_mlops.exceptions import NotEnoughData
from synthetic import FEATURES, make_rows


def make_data(count: int = 400) -> search.Data:
    rows, labels = pipeline.labelled(make_rows(count), "late", "classification")
    return search.Data(pipeline.frame(rows, FEATURES), labels, rows["departure"].to_numpy())


def tree(**values: list[object]) -> Candidate:
    return Candidate(estimator="sklearn.tree.DecisionTreeClassifier", search=values)


def found(candidate: Candidate, data: search.Data, metric: str = "roc_auc", **budget: float) -> search.Found:
    unfitted = pipeline.build(candidate, FEATURES, "classification", 0)
    return search.search(unfitted, candidate, data, metric, "classification", Budget(**budget), 0)


def test_the_parameters_that_do_best_on_later_rows_are_chosen() -> None:
    best = found(tree(max_depth=[1, 5, None], min_samples_leaf=[1, 10]), make_data())
    each = {
        (depth, leaf): found(tree(max_depth=[depth], min_samples_leaf=[leaf]), make_data()).inner["roc_auc"]
        for depth in (1, 5, None)
        for leaf in (1, 10)
    }
    assert best.inner["roc_auc"] == max(each.values())
    assert each[best.params["max_depth"], best.params["min_samples_leaf"]] == max(each.values())


def test_a_loss_is_made_small() -> None:
    best = found(tree(max_depth=[2, None]), make_data(), "log_loss")
    assert best.params == {"max_depth": 2}


def test_validation_rows_are_the_latest_fifth() -> None:
    data = make_data()
    turned = search.Data(data.frame, np.where(np.arange(400) < 320, data.labels, 1 - data.labels), data.times)
    straight = found(tree(max_depth=[3]), data).inner["roc_auc"]
    assert found(tree(max_depth=[3]), turned).inner["roc_auc"] == pytest.approx(1 - straight)


def test_no_more_combinations_are_tried_than_the_budget_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[object] = []
    fit = search.fit
    monkeypatch.setattr(search, "fit", lambda *given: (fitted.append(given[2]), fit(*given))[1])
    found(tree(max_depth=[1, 2, 3, 4], min_samples_leaf=[1, 2, 3]), make_data(), trials=5)
    assert len(fitted) == 5
    again, fitted[:] = list(fitted), []
    found(tree(max_depth=[1, 2, 3, 4], min_samples_leaf=[1, 2, 3]), make_data(), trials=5)
    assert fitted == again


def test_a_search_that_runs_out_of_time_says_that_it_may_not_be_reproducible(
    caplog: pytest.LogCaptureFixture,
) -> None:
    best = found(tree(max_depth=[1, 2, 3]), make_data(), seconds=1e-9)
    assert best.params == {"max_depth": 1}
    assert "1 of 3 trials were done" in caplog.text
    assert "may not be reproducible" in caplog.text


def test_a_metric_that_is_undefined_on_the_latest_rows_ranks_nothing() -> None:
    data = make_data()
    one_class = search.Data(data.frame, np.where(np.arange(400) < 320, data.labels, 1), data.times)
    with pytest.raises(NotEnoughData, match="roc_auc is undefined on the 80 latest"):
        found(tree(), one_class)
