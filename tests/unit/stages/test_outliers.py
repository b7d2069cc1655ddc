"""An outlier detector through the loop: fitted without labels, judged by them beside a classifier, and scored with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import yaml
from sklearn.metrics import average_precision_score

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import DatasetVersion, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.spec.model import Candidate, ModelSpec
from airflow_mlops.exceptions import TrainingFailed
from airflow_mlops.learning.models import models
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import train
from airflow_mlops.stores.tables import tables
from history import MODEL, History, month
from synthetic import make_recipe, make_rows

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]  # fits: seconds each

PAGE = Path(__file__).parents[3] / "docs" / "candidates.md"
SPECS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
SPEC = ModelSpec.from_dict(next(spec for spec in map(yaml.safe_load, SPECS) if spec["name"] == "machines"))
"""What the page about candidates shows, is run here."""
SHOWN, FACTOR, _ = SPEC.train.candidates
FOREST = SHOWN.model_copy(update={"params": {"n_estimators": 20}})
LINEAR = Candidate(estimator="sklearn.linear_model.LogisticRegression")
SETTINGS: dict[str, Any] = {
    "target": SPEC.target, "features": SPEC.features, "metric": SPEC.metric.name
}  # fmt: skip
ROWS = make_rows(2400, months=4)


def readings(key: str) -> pa.Table:
    """Return a month of readings, of which one in fifteen, too high or too low, is of a machine that broke."""
    times = ROWS["departure"].to_numpy()
    start, end = (np.datetime64(at.replace(tzinfo=None), "us") for at in (month(key).start, month(key).end))
    rows = ROWS.filter(pa.array((times >= start) & (times < end)))
    random = np.random.default_rng(month(key).start.month)
    broke = random.random(rows.num_rows) < 1 / 15
    pressure, vibration = random.normal(size=(2, rows.num_rows))
    pressure += np.where(broke, random.choice([-4.0, 4.0], rows.num_rows), 0)
    columns = {"pressure": pressure, "vibration": vibration, "broke": broke.astype(np.int64)}
    return pa.table({"flight": rows["flight"], "departure": rows["departure"], **columns})


def ref_of(trained: TrainedModel) -> ModelRef:
    return ModelRef(model=MODEL, version=trained.version, digest=trained.digest, run_id=trained.run_id)


class Machines(NamedTuple):
    """A detector, judged on February beside a classifier that is champion."""

    history: History
    trained: TrainedModel
    champion: ModelRef
    evaluation: Evaluation
    march: DatasetVersion


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    history = History(tmp_path_factory.mktemp("machines"))
    history.publish("2013-01", readings("2013-01"))
    february = history.publish("2013-02", readings("2013-02"))
    champion = history.crown(history.train(february, candidate=LINEAR, **SETTINGS), "2013-01")
    trained = history.train(february, candidate=FOREST, **SETTINGS)
    evaluation = evaluate.evaluate_candidates(
        [trained], client=history.client, dataset=february, champion=champion, gates=SPEC.gates
    )
    return Machines(history, trained, champion, evaluation, history.publish("2013-03", readings("2013-03")))


def test_it_is_judged_by_labels_as_scikit_learn_judges_and_better_than_chance(world: Machines) -> None:
    rows = readings("2013-02")
    truth = rows["broke"].to_numpy()
    for ref, metrics in (
        (ref_of(world.trained), world.evaluation.metrics),
        (world.champion, world.evaluation.champion_metrics),
    ):
        probabilities = models.predict(models.load_version(world.history.client, ref), rows, "classification")
        expected = average_precision_score(truth, probabilities)
        assert metrics["average_precision"] == pytest.approx(expected)
    assert world.evaluation.metrics["average_precision"] > 5 * truth.mean()


def test_it_beats_a_classifier_that_sees_no_two_sided_strangeness(world: Machines) -> None:
    checks = {check.name: check.verdict for check in world.evaluation.checks}
    assert checks["versus_champion.average_precision"] is Verdict.PASS
    assert checks["blessing"] is Verdict.PASS
    assert (
        world.evaluation.metrics["average_precision"]
        > 2 * world.evaluation.champion_metrics["average_precision"]
    )
    assert world.trained.trials == 2


def test_it_scores_what_it_predicts(world: Machines) -> None:
    uri = world.history.uri("strange")
    score.score(
        world.history.client, model=MODEL, dataset=world.march, champion=ref_of(world.trained),
        task="classification", uri=uri,
    )  # fmt: skip
    written = tables.read(uri, partition="2013-03").sort_by("flight")["score"].to_numpy()
    rows = readings("2013-03").sort_by("flight")
    model = models.load_version(world.history.client, ref_of(world.trained))
    np.testing.assert_allclose(written, models.predict(model, rows, "classification"))
    broke = rows["broke"].to_numpy() == 1
    assert written[broke].mean() > 3 * written[~broke].mean()


def test_it_is_made_again_to_the_last_bit(world: Machines) -> None:
    again = reproduce.reproduce(world.history.client, MODEL, world.trained.version)
    assert (again.reproduced, again.digest) == (True, world.trained.digest)


def test_three_classes_in_the_rows_are_refused_before_anything_is_fitted() -> None:
    rows = pa.concat_tables([readings("2013-01"), readings("2013-02")])
    thirds = pa.array(["a", "b", "c"] * rows.num_rows).slice(0, rows.num_rows)
    rows = rows.drop_columns(["broke"]).append_column("kind", thirds)
    recipe = make_recipe(rows, candidate=FACTOR, target="kind", features=SPEC.features, metric="log_loss")
    with pytest.raises(TrainingFailed, match="LocalOutlierFactor tells outliers .* and there are 3 classes"):
        train.fit(rows, recipe, {})
