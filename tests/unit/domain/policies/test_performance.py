from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.performance import Judgement, Measured
from airflow_mlops.domain.policies import performance

NOON = datetime(2013, 1, 5, 12, tzinfo=UTC)


def measured(value: float, half: float | None = 0.02, n: int = 500) -> Measured:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Measured(value=value, low=low, high=high, n=n)


def judgement(estimated: float, turned_out: float, half: float | None = 0.02) -> Judgement:
    return Judgement(
        scored="2013-01", as_of="2013-02", model_version="1", predicted=9, labelled=9, content="x",
        estimates={"roc_auc": measured(estimated, half)}, metrics={"roc_auc": measured(turned_out, half)},
    )  # fmt: skip


def test_a_judgement_survives_json() -> None:
    found = judgement(0.7, 0.8).model_copy(update={"watermark": NOON})
    assert Judgement.from_dict(found.to_dict()) == found
    assert found.coverage == 1.0


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        (
            {},
            Verdict.PASS,
            "80 of the 100 predictions that are due have a label; complete before 2013-01-05 12:00 UTC",
        ),
        ({"least": 0.9}, Verdict.INCONCLUSIVE, "80 of the 100"),
        (
            {"contradictory": 2},
            Verdict.INCONCLUSIVE,
            "2 have labels that contradict each other and are set aside",
        ),
        ({"unknown": 7}, Verdict.PASS, "7 labels belong to no prediction"),
        ({"due": 0, "labelled": 0}, Verdict.INCONCLUSIVE, "0 of the 0"),
    ],
)
def test_labels_are_judged_by_their_coverage_and_contradictions(
    changes: dict[str, Any], verdict: Verdict, said: str
) -> None:
    facts: dict[str, Any] = {
        "due": 100, "labelled": 80, "contradictory": 0, "unknown": 0, "watermark": NOON, "least": 0.0,
    }  # fmt: skip
    check = performance.labels(**facts | changes)
    assert (check.name, check.verdict) == ("labels", verdict)
    assert said in check.reason


@pytest.mark.parametrize(
    ("metric", "value", "naive", "verdict"),
    [
        ("roc_auc", 0.56, 0.5, Verdict.PASS),
        ("roc_auc", 0.55, 0.5, Verdict.FAIL),
        ("log_loss", 0.5, 0.6, Verdict.PASS),
        ("log_loss", 0.6, 0.5, Verdict.FAIL),
        ("roc_auc", 0.9, None, Verdict.INCONCLUSIVE),
    ],
)
def test_the_baseline_is_a_constant_prediction(
    metric: str, value: float, naive: float | None, verdict: Verdict
) -> None:
    check = performance.baseline(metric, measured(value), naive, 0.0500001, 100)
    assert (check.verdict, check.observed, check.baseline) == (verdict, value, naive)


def test_of_too_few_rows_nothing_is_said_about_the_baseline() -> None:
    assert performance.baseline("roc_auc", None, 0.5, 0, 100).verdict is Verdict.INCONCLUSIVE
    assert performance.baseline("roc_auc", measured(0.9, n=99), 0.5, 0, 100).verdict is Verdict.INCONCLUSIVE


def test_an_estimate_is_held_to_what_labels_said_later() -> None:
    good = performance.estimate_error("roc_auc", [judgement(0.70, 0.72), judgement(0.70, 0.80)])
    assert (good.verdict, good.n) == (Verdict.PASS, 2)
    assert good.observed == pytest.approx(0.06)
    bad = performance.estimate_error("roc_auc", [judgement(0.70, 0.80), judgement(0.70, 0.70)])
    assert bad.verdict is Verdict.FAIL
    assert "do not rely on the estimate" in bad.reason


def test_without_labels_or_intervals_an_estimate_cannot_be_wrong() -> None:
    assert performance.estimate_error("roc_auc", []).verdict is Verdict.INCONCLUSIVE
    assert performance.estimate_error("roc_auc", [judgement(0.7, 0.9, None)]).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("count", "before", "share", "verdict"),
    [
        (100, [90, 110, 100], 0.5, Verdict.PASS),
        (49, [90, 110, 100], 0.5, Verdict.FAIL),
        (201, [90, 110, 100], 0.5, Verdict.FAIL),
        (1, [90, 110, 100], None, Verdict.PASS),
        (100, [90], 0.5, Verdict.INCONCLUSIVE),
    ],
)
def test_volume_is_compared_with_the_partitions_before(
    count: int, before: list[int], share: float | None, verdict: Verdict
) -> None:
    assert performance.volume(count, before, share).verdict is verdict


def test_the_share_of_positive_predictions_is_told_and_decides_nothing() -> None:
    check = performance.positives(30, 200, 0.1)
    assert (check.verdict, check.observed, check.baseline) == (Verdict.PASS, 0.15, 0.1)
    assert check.reason == (
        "15.00% of 200 predictions are of the positive class; of the rows that the threshold was chosen on, 10.00% were"
    )
    assert performance.positives(0, 0, None).verdict is Verdict.INCONCLUSIVE


def test_latency_counts_from_the_end_of_the_partition() -> None:
    assert performance.latency(timedelta(hours=2), timedelta(hours=1)).verdict is Verdict.FAIL
    assert performance.latency(timedelta(hours=1), timedelta(hours=1)).verdict is Verdict.PASS
    backfilled = performance.latency(timedelta(days=4000), None)
    assert backfilled.verdict is Verdict.PASS
    assert backfilled.reason == "scored 4,000 days after the end of the partition"


@pytest.mark.parametrize(
    ("positive", "negative", "verdict"),
    [
        ((90, 100), (80, 100), Verdict.PASS),
        ((90, 100), (0, 100), Verdict.FAIL),
        ((1, 100), (90, 100), Verdict.FAIL),
        ((0, 100), (0, 100), Verdict.INCONCLUSIVE),
        ((90, 100), (0, 99), Verdict.INCONCLUSIVE),
    ],
)
def test_labels_of_one_decision_alone_hint_at_feedback(
    positive: tuple[int, int], negative: tuple[int, int], verdict: Verdict
) -> None:
    assert performance.feedback(positive, negative, 100).verdict is verdict
