"""Facts about validation: the outcome of each expectation, and what happened to the rows of a partition."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from airflow_mlops.domain.checks import Fact, Number, Outcome, Severity, Verdict


class ExpectationResult(Fact):
    """The outcome of one expectation on one partition.

    :param expectation: name as Great Expectations spells it, or the name of one of our pre-checks.
    :param expected: the expectation's arguments, in words.
    :param observed: what the partition holds instead or as expected, in words.
    :param unexpected: number of rows that break the expectation; None if it is not about rows.
    :param unexpected_share: the same number as a share of all rows, 0 to 1.
    :param samples: up to 20 values that break the expectation, as text.
    """

    expectation: str
    column: str | None = None
    severity: Severity
    outcome: Outcome
    expected: str
    observed: str
    unexpected: int | None = None
    unexpected_share: Number = None
    samples: tuple[str, ...] = ()


class Sample(Fact):
    """Some rows that break expectations, as text, for people to look at.

    :param columns: key, event time and the columns with wrong values.
    :param rows: at most 20 rows with one text a column; personal data is masked.
    :param reasons: what is wrong with each row, in the order of the rows.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]


class ValidationReport(Fact):
    """The outcome of validation of one partition, and what happened to its rows.

    :param verdict: FAIL if a blocking expectation failed, INCONCLUSIVE if one could not be evaluated.
    :param results: the outcome of each expectation.
    :param rows: number of rows that were checked.
    :param quarantined: number of rows that were set aside.
    :param released: number of rows that break an expectation and pass, because a person has released them.
    :param sample: some of the rows that break expectations; None if no row does, or none is known.
    """

    dataset: str
    partition: str
    verdict: Verdict
    results: tuple[ExpectationResult, ...]
    rows: int
    quarantined: int = 0
    released: int = 0
    sample: Sample | None = None
    reason: str

    @model_validator(mode="after")
    def _says_what_its_results_say(self) -> Self:
        outcomes = {result.outcome for result in self.results}
        blocking = {result.outcome for result in self.results if result.severity is Severity.BLOCK}
        passes = self.verdict is Verdict.PASS
        if passes and not self.results:
            raise ValueError("The validation says PASS, but nothing was checked")
        if passes and blocking - {Outcome.PASS}:
            raise ValueError("The validation says PASS, but an expectation that blocks did not pass")
        if Outcome.FAIL in blocking and self.verdict is not Verdict.FAIL:
            raise ValueError(f"The validation says {self.verdict}, but an expectation that blocks has failed")
        if self.verdict is Verdict.FAIL and Outcome.FAIL not in outcomes:
            raise ValueError("The validation says FAIL, but no expectation has failed")
        return self

    @property
    def warned(self) -> bool:
        """Whether the partition passes although an expectation did not pass or rows were set aside."""
        failed = any(expectation.outcome is not Outcome.PASS for expectation in self.results)
        return self.verdict is Verdict.PASS and (failed or self.quarantined > 0)
