from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.learning.models import classes, models, skops_file, thresholds
from airflow_mlops.learning.statistics import decisions
from scores import make_scores


def fitted(estimator: object) -> tuple[Pipeline, pd.DataFrame]:
    truth, scores = make_scores(300)
    frame = pd.DataFrame({"score": scores})
    return Pipeline([("prepare", StandardScaler()), ("model", estimator)]).fit(frame, truth), frame


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), HistGradientBoostingClassifier(max_iter=3)], ids=["linear", "trees"]
)
def test_a_pipeline_keeps_its_threshold_and_its_classes_follow_it(estimator: object, tmp_path: Path) -> None:
    model, frame = fitted(estimator)
    before = model.predict_proba(frame)
    assert thresholds.of(model) == HALF
    thresholds.keep(model, DecisionRule(threshold=0.2, reason="set by the spec"))
    skops_file.save(model, tmp_path / "model.skops")
    loaded = skops_file.load(tmp_path / "model.skops", skops_file.digest(tmp_path / "model.skops"))
    assert thresholds.of(loaded).threshold == 0.2
    np.testing.assert_array_equal(loaded.predict_proba(frame), before)
    np.testing.assert_array_equal(loaded.predict(frame), before[:, 1] >= 0.2)


def test_what_an_ensemble_is_made_of_is_required_whether_or_not_there_is_a_threshold() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    model, _ = fitted(
        VotingClassifier([("one", lightgbm.LGBMClassifier(n_estimators=2, verbose=-1))], voting="soft")
    )
    before = models.requirements(model)
    thresholds.keep(model, DecisionRule(threshold=0.2))
    assert models.requirements(model) == before
    assert any(line.startswith("lightgbm==") for line in before)


def test_the_digest_covers_the_threshold(tmp_path: Path) -> None:
    digests = set()
    for threshold in (0.2, 0.2, 0.3):
        model, _ = fitted(LogisticRegression())
        thresholds.keep(model, DecisionRule(threshold=threshold))
        skops_file.save(model, tmp_path / "model.skops")
        digests.add(skops_file.digest(tmp_path / "model.skops"))
    assert len(digests) == 2


def test_a_pipeline_of_many_classes_chooses_what_costs_least(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"score": random.normal(size=300)})
    truth = np.digitize(frame["score"] + random.normal(size=300), [-0.5, 0.5])
    model = Pipeline([("prepare", StandardScaler()), ("model", LogisticRegression())]).fit(frame, truth)
    # The third of four classes was not seen.
    classes.keep(model, ("a", "b", "x", "c"), (0, 1, 3))
    before = model.predict_proba(frame)
    costs = ((0.0, 1.0, 2.0), (4.0, 0.0, 1.0), (40.0, 8.0, 0.0))
    rule = DecisionRule(matrix=costs, places=(0, 1, 3), reason="by least expected cost")
    thresholds.keep(model, rule)
    skops_file.save(model, tmp_path / "model.skops")
    loaded = skops_file.load(tmp_path / "model.skops", skops_file.digest(tmp_path / "model.skops"))
    np.testing.assert_array_equal(loaded.predict_proba(frame), before)
    np.testing.assert_array_equal(loaded.predict(frame), (before @ np.array(costs)).argmin(axis=1))
    kept = thresholds.of(loaded)
    assert (kept.matrix, kept.places) == (costs, (0, 1, 3))
    chosen = decisions.chosen(models.predicted(loaded, frame, "classification"), kept)
    np.testing.assert_array_equal(chosen, np.array([0, 1, 3])[loaded.predict(frame)])
    assert isinstance(thresholds.estimator_of(loaded), LogisticRegression)
    assert any(line.startswith("airflow-mlops>=") for line in models.requirements(loaded))
    dearer = Pipeline([("prepare", StandardScaler()), ("model", LogisticRegression())]).fit(frame, truth)
    classes.keep(dearer, ("a", "b", "x", "c"), (0, 1, 3))
    thresholds.keep(
        dearer, rule.model_copy(update={"matrix": ((0.0, 1.0, 2.0), *costs[1:2], (41.0, 8.0, 0.0))})
    )
    skops_file.save(dearer, tmp_path / "dearer.skops")
    assert skops_file.digest(tmp_path / "dearer.skops") != skops_file.digest(tmp_path / "model.skops")
