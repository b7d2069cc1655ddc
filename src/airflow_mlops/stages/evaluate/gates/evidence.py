"""The evidence that every gate judges a candidate by, and the outcome of a gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.results import TrainedModel
from airflow_mlops.domain.metrics import measured, metric_of
from airflow_mlops.domain.policies.gates import Interval
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.domain.spec.gates import Gates, VersusChampion
from airflow_mlops.learning.models.intervals import Bounds
from airflow_mlops.learning.statistics import coverage, measures, paired, resampling
from airflow_mlops.learning.statistics.coverage import BoundsMeasured
from airflow_mlops.learning.statistics.slices import Judged
from airflow_mlops.learning.statistics.statistic import statistic
from airflow_mlops.stages.evaluate.learned import Learned
from airflow_mlops.stages.evaluate.rival import Rival

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.retraining import RetrainDecision
    from airflow_mlops.learning.bless.process import Blessing

_PROPER = {"classification": "log_loss", "regression": "rmse"}


@dataclass(frozen=True)
class Evidence:
    """A candidate on its holdout, beside the champion.

    :param gates: the gates of the spec.
    :param judged: the rows of the holdout that have a label, and the candidate's predictions for them.
    :param classes: those that are told apart in these rows, in the order of their codes; none for a regression.
    :param rival: the champion on the same rows; None if there is no champion.
    :param untouched: the check that no row of the holdout was learned from; it is made before anything is loaded.
    :param model: the candidate.
    :param frame: features of the rows, as the candidate gets them.
    :param size: bytes of the candidate's file.
    :param blessing: waits for the fresh process that loads the candidate and predicts.
    :param bounds: low and high bound of each prediction; None if the candidate has none.
    :param retrain: the decision that has led here, which says what is known of the champion; None if it is not known.
    :param learned: reads the labels that the candidate has learned from; None if there are none.
    """

    gates: Gates
    candidate: TrainedModel
    judged: Judged
    classes: tuple[str, ...]
    rival: Rival | None
    untouched: Check
    model: Pipeline
    frame: pd.DataFrame
    size: int
    blessing: Callable[[], Blessing]
    bounds: Bounds | None = None
    retrain: RetrainDecision | None = None
    learned: Callable[[], Learned | None] = lambda: None

    @property
    def failing(self) -> str:
        """Why the champion fails; "" if it does not, or if that is not asked."""
        return self.retrain.failing if self.retrain else ""

    @property
    def compared_by(self) -> str:
        """The metric that candidate and champion are compared by: a proper score where a metric of ranks says nothing.

        Rows have the order that the champion gives them if its probabilities were refitted, and none if a constant predicts them.
        """
        return self.proper if self.candidate.keeps or self.candidate.constant else self.candidate.metric

    @property
    def proper(self) -> str:
        """The proper score of the task, which is best on average for true probabilities, or the true mean."""
        return _PROPER[self.candidate.task]

    def test(self, gate: VersusChampion) -> paired.Test:
        """Return the paired test of :attr:`compared_by`: closed forms are for metrics that a spec compares by."""
        return gate.test if self.compared_by == self.candidate.metric else "bootstrap"

    @property
    def margin(self) -> float:
        """The improvement that is worth a promotion, in units of :attr:`compared_by`; the spec's is one of the training metric."""
        gate = self.gates.versus_champion
        return gate.margin if gate and not self.candidate.keeps else 0.0

    @cached_property
    def not_finite(self) -> int:
        """Number of rows without a finite prediction; nothing can be measured on them."""
        return int((~measures.finite(self.judged.predicted)).sum())

    @property
    def named(self) -> tuple[str, ...]:
        """The metrics that the spec names: the one that candidates are ranked by, those with a floor, and what mistakes cost."""
        costs = (COST,) if self.judged.rule.costs else ()
        return self.candidate.metric, *self.gates.floor, *costs

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """The candidate's metrics, and the measures of its bounds, by name; None where one is undefined."""
        if self.not_finite:
            return dict.fromkeys(measured(self.candidate.task, self.named))
        judged = self.judged
        metrics = measures.metrics(
            judged.truth,
            judged.predicted,
            self.candidate.task,
            self.named,
            rule=judged.rule,
            weights=judged.weights,
        )
        return metrics | (self._bounds.values if self._bounds else {})

    @cached_property
    def _bounds(self) -> BoundsMeasured | None:
        if self.bounds is None:
            return None
        judged = self.judged
        return coverage.measured(judged.truth, *self.bounds, judged.blocks, self.confidence)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Confidence intervals of the metrics that have one."""
        if self.not_finite:
            return {}
        names = measured(self.candidate.task, self.named)
        drawn = self.resampled(names)
        intervals = dict(self._bounds.intervals) if self._bounds else {}
        for place, name in enumerate(names):
            interval = drawn.estimate(place).interval(
                self.confidence, metric_of(name).low, metric_of(name).high
            )
            if interval is not None:
                intervals[name] = interval
        return intervals

    @property
    def confidence(self) -> float:
        """Confidence of the intervals."""
        return (self.gates.versus_champion or VersusChampion()).confidence

    def resampled(self, statistics: Sequence[str]) -> resampling.Resampled:
        """Resample the blocks of the rows many times, and measure some statistics each time."""
        judged = self.judged
        measured = [
            statistic(name, judged.truth, judged.predicted, judged.blocks, judged.rule, judged.weights)
            for name in statistics
        ]
        return resampling.resample(measured, judged.blocks.count)


class GateOutcome(NamedTuple):
    """The outcome of a gate.

    :param checks: none if the spec leaves the gate out.
    :param unjudged: parts of the data that are too small to be judged, in words.
    """

    checks: Sequence[Check] = ()
    unjudged: str = ""


Gate = Callable[[Evidence], GateOutcome]
