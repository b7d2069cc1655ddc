from __future__ import annotations

import logging
import time
from itertools import count
from typing import Any

import numpy as np
import pytest

from airflow_mlops.exceptions import TrainingFailed
from airflow_mlops.learning.models import pipeline
from airflow_mlops.learning.pictures import pictures, plots, predictions
from airflow_mlops.stages.train import curve, fitting
from synthetic import FEATURES, LOGISTIC, make_recipe, make_rows

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

CLASSES = {"roc.png", "precision_recall.png", "calibration.png", "scores.png", "confusion.png"}
RECIPE = make_recipe(make_rows())
DATA = fitting.data(make_rows(), RECIPE)


def make_predictions(count: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and probabilities that have something to do with them."""
    random = np.random.default_rng(seed)
    probability = random.random(count)
    return (random.random(count) < probability).astype(int), probability


def fit(data: fitting.Data) -> Any:
    unfitted = pipeline.build(LOGISTIC, FEATURES, "classification", 0)
    return fitting.fit(unfitted, data, 1, "LogisticRegression")


def labels_of(figure: Any) -> list[str]:
    return [text for axes in figure.axes for text in axes.get_legend_handles_labels()[1]]


def test_a_classifier_is_drawn_with_the_area_under_its_curve_and_the_champion_beside_it() -> None:
    truth, ours = make_predictions()
    drawn = plots.evaluation(truth, ours, np.full(truth.size, 0.5), "classification")
    assert set(drawn) == CLASSES
    ours_area, theirs_area = labels_of(drawn["roc.png"])
    assert (ours_area[:17], theirs_area) == ("candidate, area 0", "champion, area 0.500")
    assert [axes.get_title(loc="left") for axes in drawn["confusion.png"].axes] == [
        "Candidate at probability 0.5", "Champion at probability 0.5",
    ]  # fmt: skip


def test_the_confusion_matrix_shows_the_rows_of_each_kind() -> None:
    truth, ours = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.9, 0.5, 0.4])
    [axes] = plots.evaluation(truth, ours, None, "classification")["confusion.png"].axes
    assert [text.get_text().split("\n")[0] for text in axes.texts] == ["2", "1", "1", "1"]


def test_two_classes_are_called_by_their_names() -> None:
    truth, ours = make_predictions()
    drawn = plots.evaluation(truth, ours, None, "classification", ("on time", "la$e and too late by far"))
    rows = [int((truth == code).sum()) for code in (0, 1)]
    late = r"la\$e and too lat…"
    assert labels_of(drawn["scores.png"]) == [f"on time, {rows[0]} rows", f"{late}, {rows[1]} rows"]
    [scores], [calibration], [confusion] = (
        drawn[f"{name}.png"].axes for name in ("scores", "calibration", "confusion")
    )
    assert scores.get_xlabel() == f"predicted probability of {late}"
    assert calibration.get_xlabel() == f"predicted probability of {late}, bins of equal count"
    assert calibration.get_ylabel() == f"share of {late}"
    assert [text.get_text() for text in confusion.get_xticklabels()] == ["on time", late]


def test_a_regression_is_drawn_by_its_residuals() -> None:
    truth = np.linspace(-5, 5, 6_000)
    drawn = plots.evaluation(truth, truth + 1, truth - 1, "regression")
    assert set(drawn) == {"residuals.png", "scores.png"}
    [dots] = drawn["residuals.png"].axes[0].collections
    assert len(dots.get_offsets()) == 5_000
    assert np.allclose(dots.get_offsets()[:, 1], -1)


def test_labels_of_one_class_have_no_curves() -> None:
    drawn = plots.evaluation(np.zeros(20, dtype=int), np.full(20, 0.3), None, "classification")
    assert set(drawn) == {"scores.png", "confusion.png"}


def test_rows_without_a_finite_prediction_are_left_out() -> None:
    truth, ours = make_predictions(50)
    ours[:10] = np.nan
    [axes] = plots.evaluation(truth, ours, None, "classification")["confusion.png"].axes
    assert sum(int(text.get_text().split("\n")[0]) for text in axes.texts) == 40
    assert plots.evaluation(truth, np.full(50, np.nan), None, "classification") == {}


def test_a_picture_that_cannot_be_drawn_is_told_and_the_others_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(truth: np.ndarray, sides: Any) -> Any:
        raise ZeroDivisionError("no rows")

    monkeypatch.setattr(predictions, "_roc", broken)
    drawn = plots.evaluation(*make_predictions(), None, "classification")
    assert set(drawn) == CLASSES - {"roc.png"}
    assert "roc.png cannot be drawn: ZeroDivisionError: no rows" in caplog.text


def test_pictures_are_small_enough_to_stand_in_a_page() -> None:
    truth, ours = make_predictions(20_000)
    drawn = plots.evaluation(truth, ours, ours**2, "classification")
    written = [pictures.png(figure) for figure in drawn.values()]
    assert all(each.startswith(b"\x89PNG") and len(each) < 40_000 for each in written)


def test_the_feature_that_decides_matters_most_and_one_without_meaning_hardly() -> None:
    rows = make_rows(1500)
    known, truth = pipeline.labelled(rows, "late", "classification")
    found = plots.importance(fit(DATA), known, truth, "classification", "roc_auc", 0)
    assert found is not None
    figure, losses = found
    assert next(iter(losses)) == "wind"
    assert losses["wind"] > 0.2
    assert abs(losses["origin"]) < 0.05
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()][-1] == "wind"


def test_a_loss_that_grows_counts_for_a_feature_as_a_score_that_falls() -> None:
    rows = make_rows(1500)
    known, truth = pipeline.labelled(rows, "late", "classification")
    found = plots.importance(fit(DATA), known, truth, "classification", "log_loss", 0)
    assert found is not None
    assert found[1]["wind"] > 0.1


def test_importance_of_more_features_than_can_be_shuffled_one_by_one_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = make_rows(300)
    known, truth = pipeline.labelled(rows, "late", "classification")
    monkeypatch.setattr(plots, "_VALUES", 4**2 * 200 - 1)
    with caplog.at_level(logging.INFO):
        assert plots.importance(fit(DATA), known, truth, "classification", "roc_auc", 0) is None
    assert "No importance of 4 features" in caplog.text


@pytest.mark.parametrize(
    ("width", "rows", "affordable"),
    [(4, 300, (300, 5)), (20, 10**6, (5_000, 5)), (100, 10**6, (5_000, 1)), (250, 10**6, (800, 1)), (500, 10**6, (200, 1)),
     (501, 10**6, (200, 0)), (400, 50, (50, 5)), (501, 50, (50, 0))],
)  # fmt: skip
def test_rows_and_shuffles_follow_from_the_numbers_of_features_and_rows_alone(
    width: int, rows: int, affordable: tuple[int, int]
) -> None:
    assert plots._affordable(width, rows) == affordable


def test_a_slow_machine_measures_the_same_importance(monkeypatch: pytest.MonkeyPatch) -> None:
    known, truth = pipeline.labelled(make_rows(1500), "late", "classification")
    model, losses = fit(DATA), []
    for step in (0.0, 3600.0):
        ticks = count(0.0, step)
        for clock in ("monotonic", "perf_counter", "process_time"):
            monkeypatch.setattr(time, clock, lambda ticks=ticks: next(ticks))
        found = plots.importance(model, known, truth, "classification", "roc_auc", 0)
        assert found is not None
        losses.append(found[1])
    assert losses[0] == losses[1]


def test_importance_by_a_metric_that_is_undefined_on_the_rows_is_left_out() -> None:
    rows = make_rows(300)
    known, _ = pipeline.labelled(rows, "late", "classification")
    truth = np.zeros(known.num_rows, dtype=int)
    assert plots.importance(fit(DATA), known, truth, "classification", "roc_auc", 0) is None


def test_a_learning_curve_is_fitted_to_ever_more_of_the_latest_rows() -> None:
    fitted: list[np.ndarray] = []

    def noted(data: fitting.Data) -> Any:
        fitted.append(data.times)
        return fit(data)

    figure = curve.learning_curve(noted, DATA, task="classification", metric="roc_auc")
    assert figure is not None
    sizes = [times.size for times in fitted]
    assert sizes == sorted(sizes)
    assert len(sizes) == 5
    # All end where the validation rows begin, which none of them has.
    assert len({times[-1] for times in fitted}) == 1
    assert fitted[0][-1] < DATA.times[-1]
    validated, trained = figure.axes[0].lines
    assert list(validated.get_xdata()) == list(trained.get_xdata()) == sizes
    assert np.isfinite(validated.get_ydata()).all()


def test_what_the_search_has_measured_on_all_rows_is_not_fitted_again() -> None:
    sizes: list[int] = []

    def noted(data: fitting.Data) -> Any:
        sizes.append(data.times.size)
        return fit(data)

    alone = curve.learning_curve(noted, DATA, task="classification", metric="roc_auc")
    every, sizes[:] = [*sizes], []
    figure = curve.learning_curve(noted, DATA, task="classification", metric="roc_auc", whole=0.625)
    assert alone is not None
    assert figure is not None
    assert sizes == every[:3]
    assert sizes_of(figure) == [*every[:3], every[-1]]
    assert list(figure.axes[0].lines[0].get_ydata()[:3]) == list(alone.axes[0].lines[0].get_ydata()[:3])
    assert figure.axes[0].lines[0].get_ydata()[-1] == 0.625


def sizes_of(figure: Any) -> list[int]:
    return [int(rows) for rows in figure.axes[0].lines[0].get_xdata()]


def drawn_at(monkeypatch: pytest.MonkeyPatch, step: float) -> Any:
    """Draw a learning curve by a clock that moves on by ``step`` each time that it is asked."""
    ticks = count(0.0, step)
    monkeypatch.setattr(curve, "monotonic", lambda: next(ticks))
    return curve.learning_curve(fit, DATA, task="classification", metric="roc_auc")


def test_a_learning_curve_is_the_same_on_a_machine_that_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = (drawn_at(monkeypatch, step) for step in (0.0, 59.0))
    for line, other in zip(fast.axes[0].lines, slow.axes[0].lines, strict=True):
        assert line.get_xydata().tolist() == other.get_xydata().tolist()
    assert fast.axes[0].get_title(loc="left") == slow.axes[0].get_title(loc="left")


def test_a_learning_curve_that_ends_early_says_so_in_the_picture(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, early = drawn_at(monkeypatch, 0.0), drawn_at(monkeypatch, 120.0)
    assert sizes_of(early) == sizes_of(whole)[:2]
    assert early.axes[0].get_title(loc="left") == "Learning curve, ended after 300 s"
    assert "after 300 s" in caplog.text
    assert drawn_at(monkeypatch, 1e6) is None


def test_a_learning_curve_of_many_values_ends_with_fewer_rows_and_says_of_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = drawn_at(monkeypatch, 0.0)
    monkeypatch.setattr(curve, "_ROWS", 160)
    monkeypatch.setattr(curve, "_VALUES", 4 * 160)
    figure = drawn_at(monkeypatch, 0.0)
    assert sizes_of(figure) == [10, 20, 40, 80, 160]
    assert f"of {sizes_of(whole)[-1]:,}, the latest" in figure.axes[0].get_xlabel()


def test_sizes_that_cannot_be_fitted_are_left_out_of_a_learning_curve() -> None:
    def picky(data: fitting.Data) -> Any:
        if data.times.size < 150:
            raise TrainingFailed("too few")
        return fit(data)

    figure = curve.learning_curve(picky, DATA, task="classification", metric="roc_auc")
    assert figure is not None
    assert min(figure.axes[0].lines[0].get_xdata()) >= 150
    assert (
        curve.learning_curve(
            lambda data: picky(data.between(0, 10)), DATA, task="classification", metric="roc_auc"
        )
        is None
    )


def test_long_and_strange_names_of_features_can_be_drawn() -> None:
    means = {"$" * 3: 0.1, "a" * 80: 0.05, "<b>": -0.01}
    figure = plots._importance(means, np.zeros(3), "roc_auc", 100)
    assert pictures.png(figure)
