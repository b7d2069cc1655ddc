"""What is known when it is decided whether to train again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.scoring import ends_trial
from airflow_mlops.domain.partitions import Grain, Partition

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import (
        DatasetVersion,
        HealthReport,
        PromotionDecision,
        RetrainDecision,
    )

MODE = "retrain.mode"
"""Name of the check that is INCONCLUSIVE where a person is to decide."""
ANSWER = "retrain.answer"
"""Name of the check of that person's answer: FAIL asks for retraining, INCONCLUSIVE is none in time."""
TRAININGS = {Action.PROMOTED, Action.CHALLENGING, Action.REFUSED, Action.FAILED}
"""What became of runs that trained."""


class Fresh(NamedTuple):
    """What is new in the data since the last training.

    :param rows: rows whose labels have matured since.
    :param corrected: whether a partition up to it has other rows than the training has seen, or is new.
    """

    rows: int
    corrected: bool


@dataclass(frozen=True)
class Known:
    """What is known when a partition is decided on.

    :param partition: key of the partition.
    :param grain: length of a partition.
    :param has_champion: whether there is a model to keep.
    :param trained_through: last partition that the champion has seen; None if unknown.
    :param health: reports up to the partition, the newest first.
    :param decisions: the latest decision on each partition; only those on earlier ones count.
    :param fresh: what is new in the data; None if it was not looked at.
    :param shortage: why there is too little data to train on; None if there is enough.
    :param force: retrain whatever the policy says.
    :param reason: why somebody asked for it; used with ``force``.
    """

    partition: str
    grain: str
    has_champion: bool
    trained_through: str | None = None
    health: Sequence[HealthReport] = ()
    decisions: Sequence[PromotionDecision] = ()
    fresh: Fresh | None = None
    shortage: str | None = None
    force: bool = False
    reason: str | None = None

    def since(self, earlier: str | None) -> int | None:
        """Count the partitions from an earlier one to this one; None if there is none."""
        return None if earlier is None else steps(earlier, self.partition, self.grain)

    @property
    def before(self) -> list[PromotionDecision]:
        """The decisions on earlier partitions."""
        return [each for each in self.decisions if each.partition < self.partition]

    @property
    def last_attempt(self) -> str | None:
        """The last partition at which a model was trained, or a person did not want it to be; None without one."""
        return _last(each for each in self.before if trained(each) or declined(each))

    @property
    def last_answer(self) -> str | None:
        """As :attr:`last_attempt`, without the trainings that broke: they have answered no problem."""
        ended = (each for each in self.before if each.action is not Action.FAILED)
        return _last(each for each in ended if trained(each) or declined(each))

    @property
    def seen(self) -> DatasetVersion | None:
        """The data that the last training has seen; None if no training before has told."""
        told = [
            (each.partition, each.trained_on)
            for each in self.before
            if each.trained_on is not None and not ends_trial(each.checks)
        ]
        return max(told, key=lambda each: each[0])[1].dataset if told else None


def trained(decision: PromotionDecision) -> bool:
    """Tell whether a run has trained at a partition; a challenger that became champion there was trained before."""
    return decision.action in TRAININGS and not ends_trial(decision.checks)


def suggested(decision: RetrainDecision | PromotionDecision) -> bool:
    """Tell whether a decision was left to a person."""
    return any(check.name == MODE and check.verdict is Verdict.INCONCLUSIVE for check in decision.checks)


def declined(decision: PromotionDecision) -> bool:
    """Tell whether a person was asked to retrain at a partition and did not want it: no answer in time is no no."""
    said = any(check.name == ANSWER and check.verdict is Verdict.PASS for check in decision.checks)
    return decision.action is Action.KEPT and said


def steps(first: str, last: str, grain: str) -> int:
    """Count the partitions from one to a later one; 0 from one to itself.

    :raises UnknownPartition: if a key is none of the grain.
    """
    one, other = Partition.parse(first, grain), Partition.parse(last, grain)
    if one.grain is Grain.MONTH:
        return (other.start.year - one.start.year) * 12 + other.start.month - one.start.month
    return (other.start - one.start) // (one.end - one.start)


def _last(decisions: Iterable[PromotionDecision]) -> str | None:
    return max((each.partition for each in decisions), default=None)
