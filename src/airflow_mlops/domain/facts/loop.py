"""The facts of a run of the loop: what became of each partition."""

from __future__ import annotations

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.results import DatasetVersion, HealthReport, PromotionDecision
from airflow_mlops.domain.facts.scoring import ScoringReport
from airflow_mlops.domain.facts.validation import ValidationReport


class LoopStep(Fact):
    """What became of one partition; what was not come to is None.

    :param validation: what its expectations said of it.
    :param dataset: what was published.
    :param scoring: the predictions of the champion of that time.
    :param health: how well that champion fared.
    :param decision: the one decision on the partition.
    :param waiting: what a person has to decide before the loop goes on; empty if nobody has.
    :param problem: why the loop did not come to the end of the partition, or its training failed; empty if it did not.
    """

    partition: str
    validation: ValidationReport | None = None
    dataset: DatasetVersion | None = None
    scoring: ScoringReport | None = None
    health: HealthReport | None = None
    decision: PromotionDecision | None = None
    waiting: str = ""
    problem: str = ""
