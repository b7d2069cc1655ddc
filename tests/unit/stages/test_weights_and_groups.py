"""A regression whose rows count differently, and customers that stay on one side, from training to production."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.spec.model import Candidate, Features, Gates, PerformancePolicy, Slices
from airflow_mlops.exceptions import NotEnoughData, SchemaMismatch, TrainingFailed
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import models
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.evaluate.leakage import alone
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import fitting, folds, train
from airflow_mlops.stores.tables import tables
from history import MODEL, History, month, rows_of
from synthetic import FEATURES, LOGISTIC, make_recipe, make_rows

pytestmark = pytest.mark.slow  # fits: seconds each

RIDGE = Candidate(estimator="sklearn.linear_model.Ridge")
STIFF = Candidate(estimator="sklearn.linear_model.Ridge", params={"alpha": 1e4}, name="Stiff")
NUMBERS = Features(numeric=("wind", "distance"))
SETTINGS: dict[str, Any] = {
    "target": "delay", "task": "regression", "metric": "mae", "features": NUMBERS, "weights": "worth",
    "groups": "customer",
}  # fmt: skip


def valued(rows: pa.Table, *, with_delay: bool = True) -> pa.Table:
    """Return flights of customers: each has the flights of one week, and a flight in a storm is worth much."""
    number, wind = rows["flight"].to_numpy(), rows["wind"].fill_null(0).to_numpy()
    table = rows.append_column("worth", pa.array(np.where(wind > 1, 10.0, 0.5 + number % 3)))
    table = table.append_column("customer", pa.array([f"c{value}" for value in number // 20]))
    return table if with_delay else table.drop_columns(["delay", "late"])


class Weighted(NamedTuple):
    history: History
    february: DatasetVersion
    march: DatasetVersion
    champion: ModelRef
    stiff: TrainedModel
    challenger: TrainedModel
    evaluation: Evaluation


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Weighted:
    history = History(tmp_path_factory.mktemp("weighted"))
    history.publish("2013-01", valued(rows_of("2013-01")))
    february = history.publish("2013-02", valued(rows_of("2013-02")))
    stiff = history.train(february, candidate=STIFF, **SETTINGS)
    champion = history.crown(stiff, "2013-02")
    challenger = history.train(february, candidate=RIDGE, **SETTINGS)
    evaluation = evaluate.evaluate_candidates(
        [challenger],
        client=history.client,
        dataset=february,
        champion=champion,
        gates=Gates(floor={"mae": 100.0}, slices=Slices(by=("origin",), floor={"mae": 100.0}, min_rows=30)),
    )
    march = history.publish("2013-03", valued(rows_of("2013-03"), with_delay=False))
    score.score(
        history.client,
        model=MODEL,
        dataset=march,
        champion=champion,
        task="regression",
        uri=history.uri("predictions"),
    )
    return Weighted(history, february, march, champion, stiff, challenger, evaluation)


def named(checks: Any, name: str) -> Check:
    return next(check for check in checks if check.name == name)


def reference(version: TrainedModel) -> ModelRef:
    return ModelRef(model=MODEL, version=version.version, digest=version.digest, run_id=version.run_id)


def judged_rows(world: Weighted) -> pa.Table:
    """Return the rows of February whose customers had none in January."""
    before = set(valued(rows_of("2013-01"))["customer"].to_pylist())
    rows = valued(rows_of("2013-02"))
    return rows.filter(pa.array([customer not in before for customer in rows["customer"].to_pylist()]))


def test_a_model_is_the_one_that_scikit_learn_fits_with_these_weights(world: Weighted) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    fitted = models.load_version(world.history.client, reference(world.challenger))
    rows = valued(rows_of("2013-01"))
    frame = rows.select(["wind", "distance"]).to_pandas()
    ours = fitted["prepare"].transform(frame)
    theirs = Ridge(random_state=0).fit(ours, rows["delay"].to_numpy(), sample_weight=rows["worth"].to_numpy())
    np.testing.assert_allclose(fitted["model"].coef_, theirs.coef_, rtol=1e-12)
    unweighted = make_pipeline(Ridge()).fit(ours, rows["delay"].to_numpy())
    assert not np.allclose(unweighted[-1].coef_, theirs.coef_, rtol=1e-3)


def test_the_holdout_is_judged_by_new_customers_and_by_weight(world: Weighted) -> None:
    rows, evaluation = judged_rows(world), world.evaluation
    assert 0 < evaluation.left_out == rows_of("2013-02").num_rows - rows.num_rows
    assert f"{evaluation.left_out} rows of a customer that came before are left out" in evaluation.reason
    truth, weights = rows["delay"].to_numpy(), rows["worth"].to_numpy()
    for version, metrics in (
        (world.challenger, evaluation.metrics),
        (world.stiff, evaluation.champion_metrics),
    ):
        fitted = models.load_version(world.history.client, reference(version))
        predicted = models.predict(fitted, rows, "regression")
        theirs = {
            "mae": sk.mean_absolute_error(truth, predicted, sample_weight=weights),
            "rmse": sk.root_mean_squared_error(truth, predicted, sample_weight=weights),
            "r2": sk.r2_score(truth, predicted, sample_weight=weights),
        }
        assert {name: metrics[name] for name in theirs} == pytest.approx(theirs, rel=1e-12)


def test_gates_compare_weighted_metrics_over_blocks_of_customers(world: Weighted) -> None:
    checks, metrics = world.evaluation.checks, world.evaluation.metrics
    compared = named(checks, "versus_champion.mae")
    assert compared.observed == metrics["mae"]
    assert compared.baseline == world.evaluation.champion_metrics["mae"]
    customers = len(set(judged_rows(world)["customer"].to_pylist()))
    assert f"{customers} groups" in compared.reason
    assert named(checks, "blessing").verdict is Verdict.PASS
    rows, of_slice = judged_rows(world), {check.slice: check.observed for check in checks}
    inside = rows.filter(pa.array([origin == "JFK" for origin in rows["origin"].to_pylist()]))
    ref = reference(world.challenger)
    predicted = models.predict(models.load_version(world.history.client, ref), inside, "regression")
    theirs = sk.mean_absolute_error(inside["delay"], predicted, sample_weight=inside["worth"].to_numpy())
    assert of_slice["origin=JFK"] == pytest.approx(theirs)


def test_late_labels_are_measured_by_the_weights_of_their_rows(world: Weighted) -> None:
    history, uri = world.history, world.history.uri("labels")
    rows = valued(rows_of("2013-03"))
    truth = Truth(
        world.march,
        Question(target="delay", task="regression", metric="mae", labels=True, weights="worth"),
        uri,
    )
    settings: dict[str, Any] = {"key": ["flight"], "event_time": "departure", "target": "delay"}
    labels.write(
        uri,
        rows.select(["flight", "departure", "delay"]).slice(0, 200),
        month("2013-03"),
        task="regression",
        **settings,
    )
    measured = performance.performance(
        history.client,
        truth=truth,
        champion=world.champion,
        policy=PerformancePolicy(min_rows=50, slices=("origin",), floor={"mae": 100.0}),
        predictions_uri=history.uri("predictions"),
        performance_uri=history.uri("performance"),
    )
    scored = tables.read(history.uri("predictions"), partition="2013-03").select(["flight", "score"])
    both = rows.slice(0, 200).join(scored, "flight")
    values, predicted, weights = (both[name].to_numpy() for name in ("delay", "score", "worth"))
    theirs = sk.mean_absolute_error(values, predicted, sample_weight=weights)
    assert measured.metrics["mae"] == pytest.approx(theirs, rel=1e-12)
    assert theirs != pytest.approx(sk.mean_absolute_error(values, predicted), rel=1e-2)
    assert measured.history[0].metrics["mae"].value == pytest.approx(theirs, rel=1e-12)
    prior = measured.history[0].prior
    assert prior is not None
    naive = sk.mean_absolute_error(values, np.full(200, prior), sample_weight=weights)
    assert measured.history[0].naive["mae"] == pytest.approx(naive, rel=1e-12)
    [jfk] = [check for check in measured.others if check.slice == "origin=JFK"]
    part = both["origin"].to_numpy(zero_copy_only=False) == "JFK"
    assert jfk.observed == pytest.approx(
        sk.mean_absolute_error(values[part], predicted[part], sample_weight=weights[part])
    )


def test_a_version_with_weights_and_groups_is_reproduced(world: Weighted) -> None:
    history = world.history
    again = reproduce.reproduce(history.client, MODEL, world.challenger.version)
    assert {check.verdict for check in again.outcome} == {Verdict.PASS}, again
    assert named(again.outcome, "mae").observed == pytest.approx(world.evaluation.metrics["mae"], rel=1e-12)


def test_a_holdout_of_known_customers_only_is_refused(tmp_path: Path) -> None:
    history = History(tmp_path)
    january, rows = valued(rows_of("2013-01")), valued(rows_of("2013-02"))
    customers = np.random.default_rng(0).choice(january["customer"].to_pylist(), rows.num_rows)
    known = rows.set_column(rows.column_names.index("customer"), "customer", pa.array(customers))
    history.publish("2013-01", january)
    february = history.publish("2013-02", known)
    trained = history.train(february, candidate=RIDGE, **SETTINGS)
    with pytest.raises(NotEnoughData, match=r"0 of \d+ labelled rows held out .* hold out more"):
        evaluate.evaluate_candidates(
            [trained], client=history.client, dataset=february, champion=None, gates=Gates()
        )


ROWS = valued(make_rows(600))
RECIPE: dict[str, Any] = {"target": "late", "features": FEATURES}


def test_the_folds_of_a_search_are_validated_on_new_groups() -> None:
    data = fitting.data(ROWS, make_recipe(ROWS, groups="customer", folds=3))
    assert data.groups is not None
    for fold in folds.folds(data, 3, "classification"):
        validated = folds.validated(data, fold)
        assert validated.groups is not None
        assert not set(validated.groups) & set(data.groups[: fold.cut])
        assert 0 < validated.labels.size < fold.end - fold.cut


def test_candidates_are_not_ranked_by_groups_that_all_came_before() -> None:
    one = ROWS.set_column(ROWS.column_names.index("customer"), "customer", pa.array(["a", "b"] * 300))
    data = fitting.data(one, make_recipe(one, groups="customer"))
    with pytest.raises(NotEnoughData, match=r"each is of a group of train\.groups that came before"):
        folds.folds(data, 1, "classification")


@pytest.mark.parametrize(
    ("candidate", "weights"),
    [
        (LOGISTIC, None),
        (LOGISTIC, "worth"),
        (Candidate(estimator="sklearn.ensemble.HistGradientBoostingClassifier"), None),
    ],
)
def test_balanced_classes_are_those_of_scikit_learn(candidate: Candidate, weights: str | None) -> None:
    recipe = make_recipe(ROWS, candidate=candidate, weights=weights, class_weight="balanced")
    ours = train.fit(ROWS, recipe, {})
    plain = make_recipe(ROWS, candidate=candidate, weights=weights)
    theirs = train.fit(ROWS, plain, {"class_weight": "balanced"})
    expected = models.predict(theirs, ROWS, "classification")
    np.testing.assert_allclose(models.predict(ours, ROWS, "classification"), expected, rtol=1e-6)
    assert not np.allclose(expected, models.predict(train.fit(ROWS, plain, {}), ROWS, "classification"), 1e-3)


def test_balanced_classes_weigh_the_same_in_sum() -> None:
    data = fitting.data(ROWS, make_recipe(ROWS, weights="worth", class_weight="balanced"))
    counted = data.sample_weights()
    assert counted is not None
    assert data.weights is not None
    sums = np.bincount(data.labels, weights=counted)
    assert sums[0] == pytest.approx(sums[1])
    assert sums.sum() == pytest.approx(data.weights.sum())


def test_a_weight_for_a_class_is_that_of_scikit_learn_by_its_name() -> None:
    ours = train.fit(ROWS, make_recipe(ROWS, class_weight={"1": 7.0}), {})
    theirs = train.fit(ROWS, make_recipe(ROWS), {"class_weight": {0: 1.0, 1: 7.0}})
    np.testing.assert_allclose(
        models.predict(ours, ROWS, "classification"),
        models.predict(theirs, ROWS, "classification"),
        rtol=1e-6,
    )
    with pytest.raises(SchemaMismatch, match=r"class_weight: 'late' is no class of 'late', which are 0, 1"):
        train.fit(ROWS, make_recipe(ROWS, class_weight={"late": 7.0}), {})


@pytest.mark.parametrize("setting", [{"weights": "worth"}, {"class_weight": "balanced"}])
def test_an_estimator_that_takes_no_weights_is_refused_by_name(setting: dict[str, Any]) -> None:
    neighbours = Candidate(estimator="sklearn.neighbors.KNeighborsClassifier")
    [name] = setting
    with pytest.raises(TrainingFailed, match=rf"KNeighborsClassifier cannot be .* train\.{name}\."):
        train.fit(ROWS, make_recipe(ROWS, candidate=neighbours, **setting), {})


def test_weights_that_are_none_stop_a_training() -> None:
    broken = ROWS.set_column(ROWS.column_names.index("worth"), "worth", pa.array([-1.0] + [1.0] * 599))
    with pytest.raises(SchemaMismatch, match=r"'worth' are missing, negative or not finite: -1 \(flight=0\)"):
        train.fit(broken, make_recipe(broken, weights="worth"), {})


def test_weights_and_groups_are_no_features_by_default() -> None:
    from airflow_mlops.domain.facts.recipe import TrainingConfig
    from airflow_mlops.stages.train.recipe import recipe_of
    from synthetic import make_dataset, make_split

    question = Question(target="late", task="classification", metric="roc_auc", weights="worth")
    config = TrainingConfig(question=question, groups="customer")
    recipe = recipe_of(config, make_dataset(ROWS), make_split(ROWS), LOGISTIC, MODEL)
    assert {"worth", "customer"}.isdisjoint(recipe.features.names)
    assert (recipe.weights, recipe.groups) == ("worth", "customer")


def test_a_feature_that_names_the_group_gives_nothing_away_where_groups_stay_together() -> None:
    import pandas as pd

    random = np.random.default_rng(0)
    groups = random.integers(0, 40, 800)
    truth = (groups % 2).astype(float)
    frame = pd.DataFrame({"who": [f"c{code}" for code in groups]})
    features = Features(categorical=("who",))
    apart = alone(frame, features, truth, "classification", groups)
    together = alone(frame, features, truth, "classification")
    assert together is not None
    assert apart is not None
    assert together["who"] > 0.99
    assert apart["who"] < 0.6
