"""Tests of the champion's quality on matured rows: against its own evaluation, against constants, and of its calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.performance import CONFIDENCE
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.policies import quality
from airflow_mlops.domain.policies.gates import number
from airflow_mlops.domain.policies.quality import CALIBRATION, DECAY, WORTHLESS, QualityTest
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.statistics import jackknife, multiclass, recalibration, resampling
from airflow_mlops.learning.statistics.resampling import LEAST_BLOCKS, Blocks, Estimate
from airflow_mlops.learning.statistics.statistic import mean, statistic
from airflow_mlops.stages.performance import judge, last_known, metrics, window
from airflow_mlops.stages.performance.checks import then
from airflow_mlops.stages.performance.evaluated import GAIN
from airflow_mlops.stages.performance.rows import predictor_of
from airflow_mlops.stages.performance.subject import Models, Subject
from airflow_mlops.stores.tables import versions

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.checks import Check
    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.domain.spec.model import PerformancePolicy
    from airflow_mlops.stores.registry.registry import Training

_PROPER = {"classification": ("log_loss", "brier"), "regression": ("rmse",)}
"""Proper scores of a task: what is least on average for true probabilities, or the true mean. The first is held to the evaluation."""
_POOLED = 8
"""Partitions that are tested together where one alone has too few blocks, as where event times are dates."""
_FEW = f"the rows come from too few blocks of time to tell that from chance: {LEAST_BLOCKS} of like weight are needed"


def checks(
    subject: Subject,
    champion: ModelRef,
    training: Training,
    rows: pa.Table,
    coding: Coding,
    models: Models,
    policy: PerformancePolicy,
    performance_uri: str | None,
) -> tuple[Check, ...]:
    """Test the champion on the rows whose labels have matured; no checks without a budget, without such rows, or with too few.

    Where these are fewer than the policy's least, or of too few blocks of time, they are tested together with the champion's
    rows before them.

    :param rows: of the champion, all with a label.
    :param performance_uri: URI of the table of judgements, from which looks are counted; None counts the scored partitions
        up to the run's, of which there are at least as many.
    """
    if policy.chance is None or not rows.num_rows:
        return ()
    matured = _matured(subject, champion, rows, coding, policy.min_rows)
    if matured.truth.size < policy.min_rows:
        return ()
    decaying = matured.metrics(subject, _PROPER[coding.task][:1])
    evaluation = subject.versions.evaluation(champion, training, matured.coding, [*decaying, GAIN])
    tests = [
        *_decay(champion, matured, decaying, evaluation),
        *_worthless(subject, champion, matured, models),
        *_calibration(champion, matured, evaluation),
    ]
    return quality.checks(tests, policy.chance, _look(subject, performance_uri))


@dataclass(frozen=True)
class _Matured:
    """Rows with labels, as the measures take them."""

    table: pa.Table
    coding: Coding
    truth: np.ndarray
    predicted: np.ndarray
    weights: np.ndarray | None
    blocks: Blocks

    def metrics(self, subject: Subject, proper: Sequence[str]) -> tuple[str, ...]:
        """Return the metric that models are ranked by and proper scores, those of them that can be measured."""
        return self.coding.measurable(dict.fromkeys([subject.question.metric, *proper]))


def _matured(subject: Subject, champion: ModelRef, rows: pa.Table, coding: Coding, least: int) -> _Matured:
    """Return the rows that have matured, with rows before them if they alone are too few."""
    matured = _rows(subject, rows, coding)
    has_blocks = mean(matured.truth, matured.blocks).support.enough
    if rows.num_rows >= least and has_blocks:
        return matured
    longer = window.stream(subject, predictor_of(champion), least, 1 if has_blocks else _POOLED)
    return matured if longer is None else _rows(subject, longer, coding.widened(longer))


def _rows(subject: Subject, rows: pa.Table, coding: Coding) -> _Matured:
    dataset = subject.truth.dataset
    times = rows[dataset.event_time].cast("timestamp[us]").to_numpy()
    blocks = jackknife.grouped(resampling.blocks(times, "auto", dataset.grain))
    return _Matured(rows, coding, *coding.arrays(rows), coding.weights_of(rows, subject.truth.key), blocks)


def _look(subject: Subject, performance_uri: str | None) -> int:
    run = subject.run.key
    if performance_uri is None:
        return max(1, sum(key <= run for key in versions.partitions(subject.predictions_uri)))
    return quality.look(judge.history(performance_uri), run)


def _decay(
    champion: ModelRef, rows: _Matured, names: Sequence[str], evaluation: Mapping[str, Estimate]
) -> Iterator[QualityTest]:
    """Compare the champion with its own evaluation, in the metric of the ranking and in the first proper score."""
    coding, blocks = rows.coding, rows.blocks
    for name in names:
        now = jackknife.measured(
            statistic(name, rows.truth, rows.predicted, blocks, coding.decision, rows.weights), blocks
        )
        before = evaluation.get(name, Estimate(None, None, 0.0))
        worse = jackknife.apart(*((before, now) if metric_of(name).greater_is_better else (now, before)))
        beside = f"its evaluation {then(champion)}"
        problem = f"{beside} cannot be measured again" if before.value is None else _problem(name, now.value)
        if before.value is not None and before.error is None:
            problem = f"{beside} is of too few blocks of time to tell a loss from chance"
        yield _test(DECAY, name, beside, rows, (now.value, before.value), worse, problem)


def _worthless(subject: Subject, champion: ModelRef, rows: _Matured, models: Models) -> Iterator[QualityTest]:
    """Compare the champion with constants on the same rows, in the metric of the ranking and in each proper score."""
    coding, blocks = rows.coding, rows.blocks
    constants = _constants(subject, champion, rows, models)
    for name in rows.metrics(subject, _PROPER[coding.task]):
        ours = statistic(name, rows.truth, rows.predicted, blocks, coding.decision, rows.weights)
        # A constant ranks no row before another, whatever it is.
        compared = constants[:1] if name in multiclass.RANKED else constants
        for beside, constant in compared:
            theirs = statistic(name, rows.truth, constant, blocks, metrics.at_once(coding), rows.weights)
            sides = (theirs, ours) if metric_of(name).greater_is_better else (ours, theirs)
            worse = jackknife.difference(*sides, blocks)
            values = _value(ours, blocks), _value(theirs, blocks)
            problem = _problem(name, worse.value)
            yield _test(WORTHLESS, name, f"a constant, {beside}", rows, values, worse, problem)
        if not constants:
            problem = "no labels from before these rows are known for a constant"
            yield QualityTest(WORTHLESS, name, "a constant", rows.truth.size, problem=problem)


def _constants(
    subject: Subject, champion: ModelRef, rows: _Matured, models: Models
) -> list[tuple[str, np.ndarray]]:
    """Return constants that could have been predicted, each with what it is: of the training, and of what was known last."""
    predictor, what = predictor_of(champion), "shares" if rows.coding.task == "classification" else "mean"
    labels = "reference" if champion.is_external else "training"
    arguments = subject, rows.table, rows.coding
    prior, shares = models.prior(predictor), models.shares(predictor)
    constants = {
        f"the {what} of the {labels} labels": metrics.constant(rows.truth.size, rows.coding, prior, shares),
        f"the {what} of the newest labels that were known then": last_known.newest(*arguments),
        f"the {what} of the labels of the season before": last_known.season(*arguments),
    }
    return [(beside, constant) for beside, constant in constants.items() if constant is not None]


def _calibration(
    champion: ModelRef, rows: _Matured, evaluation: Mapping[str, Estimate]
) -> Iterator[QualityTest]:
    """Test whether a recalibration would gain more than it would have at the evaluation, if rows have probabilities."""
    coding, blocks, n = rows.coding, rows.blocks, rows.truth.size
    if coding.task != "classification" or not coding.probabilities:
        return
    beside = "a recalibration that is fitted to the other half of the days"
    losses = recalibration.losses(rows.truth, rows.predicted, blocks, rows.weights)
    if losses is None:
        problem = (
            f"each half of the rows needs {resampling.LEAST_ROWS} of either class to fit a recalibration"
        )
        yield QualityTest(CALIBRATION, "log_loss", beside, n, problem=problem)
        return
    gain = recalibration.gain(rows.truth, rows.predicted, blocks, rows.weights)
    values = [_value(mean(loss, blocks, rows.weights), blocks) for loss in losses]
    before, more = evaluation.get(GAIN, Estimate(None, None, 0.0)), gain
    if before.value is not None and before.error is not None:
        # A fit to few rows loses a little where there is nothing to gain.
        before = Estimate(max(before.value, 0.0), before.error, before.freedom)
        more = jackknife.apart(gain, before)
        beside = f"{beside}, a gain {number(before.value)} of which was there {then(champion)}"
    naive = recalibration.naive(rows.truth, rows.predicted, rows.weights)
    share = None if more.value is None or not naive else more.value / naive
    test = _test(CALIBRATION, "log_loss", beside, rows, (values[0], values[1]), more, "")
    yield test._replace(worse=gain.value, share=share)


def _test(
    kind: str,
    metric: str,
    beside: str,
    rows: _Matured,
    values: tuple[float | None, float | None],
    worse: Estimate,
    problem: str,
) -> QualityTest:
    measured = worse.value is not None and worse.error is not None
    return QualityTest(
        kind,
        metric,
        beside,
        rows.truth.size,
        *values,
        worse.value,
        worse.interval(CONFIDENCE),
        worse.chance(0.0) if measured else None,
        "" if measured else problem or _FEW,
    )


def _problem(metric: str, value: float | None) -> str:
    return f"{metric} could not be measured" if value is None else ""


def _value(of: resampling.Statistic, blocks: Blocks) -> float | None:
    """Return the value of a statistic on all rows; None if it is undefined."""
    import numpy as np

    value = of.compute(np.ones(blocks.count, np.int64))
    return float(value) if np.isfinite(value) else None
