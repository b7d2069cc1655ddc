"""Facts that the decision on retraining is made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from airflow_mlops.domain.checks import Check, Fact, Verdict
from airflow_mlops.domain.facts.evidence import EvidenceSoFar, judged_again
from airflow_mlops.domain.facts.results import Action, DatasetVersion, TrainingData
from airflow_mlops.domain.facts.scoring import ends_trial
from airflow_mlops.domain.partitions import Partition

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import HealthReport, ModelRef, PromotionDecision, TrainedModel


MODE = "retrain.mode"
"""Name of the check that is INCONCLUSIVE if a person has to decide."""
ANSWER = "retrain.answer"
"""Name of the check of that person's answer: FAIL asks for retraining, INCONCLUSIVE means no answer in time."""
VERSION = "retrain.version"
"""Name of the check of models that are trained elsewhere: FAIL means that a version is to be judged."""
JUDGED_AGAIN = "retrain.again"
"""Name of the check of a candidate that was refused: FAIL means that it is to be judged again, without a training."""
HOLDS = {MODE} | {f"retrain.{name}" for name in ("cooldown", "incident", "budget", "new_data", "enough_data")}
"""Names of the checks whose FAIL keeps a training back; that of all other rules asks for one."""
TRAININGS = {Action.PROMOTED, Action.CHALLENGING, Action.REFUSED, Action.FAILED}
"""Actions of the decisions on runs that trained."""


class Fresh(NamedTuple):
    """What is new in the data since the last training.

    :param rows: number of rows whose labels have matured since.
    :param corrected: whether a partition up to that of the training is new, or has other rows than the training saw.
    """

    rows: int
    corrected: bool


class TrainableRows(NamedTuple):
    """What a training would learn from.

    :param cut: end of the rows that it would learn from; None if there are too few.
    :param shortage: why there are too few rows to train or to judge on; None if there are enough.
    """

    cut: datetime | None
    shortage: str | None


@dataclass(frozen=True)
class Situation:
    """Everything that the retrain policy takes into account at one partition.

    :param partition: key of the partition.
    :param grain: length of a partition.
    :param has_champion: whether there is a model to keep.
    :param trained_through: last partition of the champion's training data; None if unknown.
    :param health: health reports up to the partition, the newest first.
    :param decisions: the latest decision on each partition; only decisions on earlier partitions count.
    :param fresh: what is new in the data; None if new data was not counted.
    :param shortage: why there is too little data to train on; None if there is enough.
    :param cut: end of the rows that a training would learn from; None if that is not known.
    :param delay: how long after its event time a label is known.
    :param force: True to retrain whatever the policy says.
    :param reason: why somebody has asked for retraining; used with ``force``.
    """

    partition: str
    grain: str
    has_champion: bool
    trained_through: str | None = None
    health: Sequence[HealthReport] = ()
    decisions: Sequence[PromotionDecision] = ()
    fresh: Fresh | None = None
    shortage: str | None = None
    cut: datetime | None = None
    delay: timedelta = timedelta(0)
    force: bool = False
    reason: str | None = None

    def since(self, earlier: str | None) -> int | None:
        """Return the number of partitions from an earlier one to this one; None if there is no earlier one."""
        return None if earlier is None else steps(earlier, self.partition, self.grain)

    @property
    def before(self) -> list[PromotionDecision]:
        """The decisions on earlier partitions."""
        return [decision for decision in self.decisions if decision.partition < self.partition]

    @property
    def last_attempt(self) -> str | None:
        """The last partition at which a model was trained, or a person declined a training; None if there is none."""
        return _last(decision for decision in self.before if trained(decision) or declined(decision))

    @property
    def last_answer(self) -> str | None:
        """As :attr:`last_attempt`, but without the trainings that failed, because they have solved no problem."""
        ended = (decision for decision in self.before if decision.action is not Action.FAILED)
        return _last(decision for decision in ended if trained(decision) or declined(decision))

    @property
    def learned(self) -> TrainingData | None:
        """What the last training learned from; None if no earlier training has recorded it."""
        trainings = [
            (decision.partition, decision.trained_on)
            for decision in self.before
            if decision.trained_on is not None and _of_a_training(decision)
        ]
        return max(trainings, key=lambda training: training[0])[1] if trainings else None

    @property
    def seen(self) -> DatasetVersion | None:
        """The data that the last training has seen; None if no earlier training has recorded it."""
        return self.learned.dataset if self.learned else None

    def fruitless(self, since: str | None = None) -> int:
        """Return the number of trainings in a row that made no champion, and of answers that declined one, up to the last.

        :param since: earlier ones do not count; None counts all after the last that made a champion.
        """
        count = 0
        for decision in sorted(self.before, key=lambda decision: decision.partition, reverse=True):
            if since is not None and decision.partition < since:
                break
            if decision.action is Action.PROMOTED:
                break
            if decision.action is not Action.FAILED:
                count += trained(decision) or declined(decision)
        return count


def training_data(model: TrainedModel) -> TrainingData:
    """Return what a model was trained on."""
    split = model.split
    return TrainingData(
        dataset=model.dataset, start=split.start, cut=split.cut, features=model.features, texts=model.texts
    )


def trained(decision: PromotionDecision) -> bool:
    """Tell whether a model was trained at a partition.

    A challenger that became champion at the partition does not count, because it was trained at an earlier one; nor does a
    candidate that was judged again.
    """
    return decision.action in TRAININGS and _of_a_training(decision)


def _of_a_training(decision: PromotionDecision) -> bool:
    return not ends_trial(decision.checks) and not judged_again(decision.checks)


def suggested(decision: RetrainDecision | PromotionDecision) -> bool:
    """Tell whether a decision was left to a person."""
    return any(check.name == MODE and check.verdict is Verdict.INCONCLUSIVE for check in decision.checks)


def declined(decision: PromotionDecision) -> bool:
    """Tell whether a person was asked to retrain at a partition and declined; no answer in time does not count."""
    answered_no = any(check.name == ANSWER and check.verdict is Verdict.PASS for check in decision.checks)
    return decision.action is Action.KEPT and answered_no


def failing(champion: ModelRef | None, health: Sequence[HealthReport]) -> str:
    """Return why a champion fails, as the newest health report says of its performance; "" if that does not say so.

    :param health: health reports, the newest first. One about another version says nothing about this one.
    """
    if champion is None or not health or health[0].champion is None:
        return ""
    newest, version = health[0], health[0].champion.version
    fails = version == champion.version and newest.performance.verdict is Verdict.FAIL
    return f"{newest.partition}: {newest.performance.reason}" if fails else ""


def steps(first: str, last: str, grain: str) -> int:
    """Return the number of partitions from one to a later one; 0 from one to itself.

    :raises UnknownPartition: if a key is not one of the grain.
    """
    return Partition.parse(first, grain).steps(Partition.parse(last, grain))


def _last(decisions: Iterable[PromotionDecision]) -> str | None:
    return max((decision.partition for decision in decisions), default=None)


class RetrainDecision(Fact):
    """Whether to retrain at one partition, with the check of each rule.

    :param checks: every rule of the policy; FAIL means that the rule asks for retraining.
    :param dataset: the dataset version to train on.
    :param version: the version that is to be judged: one that was trained elsewhere or, without a training, one of ours that was
        refused; None if there is none.
    :param failing: why the champion fails, as the newest report on its performance says; "" if it does not, or if the gates do
        not ask.
    :param evidence: what earlier decisions have gathered against the champion; None if nothing, or if the gates do not ask.
    :param recalibrates: whether the champion's calibration asks for the training, and so a recalibration of it is judged first.
    """

    model: str
    partition: str
    retrain: bool
    checks: tuple[Check, ...]
    dataset: DatasetVersion
    reason: str
    version: str | None = Field(default=None, exclude_if=lambda number: number is None)
    failing: str = Field(default="", exclude_if=lambda reason: not reason)
    evidence: EvidenceSoFar | None = Field(default=None, exclude_if=lambda evidence: evidence is None)
    recalibrates: bool = Field(default=False, exclude_if=lambda tried: not tried)

    @property
    def again(self) -> str | None:
        """Why a version is judged again that was refused before; None if a candidate is trained or taken in, or nothing judged."""
        if self.retrain or self.version is None:
            return None
        return next((check.reason for check in self.checks if check.name == JUDGED_AGAIN), self.reason)

    @property
    def judges(self) -> bool:
        """Whether a candidate is judged, be it trained now, taken in, or judged again."""
        return self.retrain or self.version is not None
