"""Facts: what validation found in a partition, and what became of its rows."""

from __future__ import annotations

from airflow_mlops.domain.checks import Fact, Number, Outcome, Severity, Verdict


class ExpectationResult(Fact):
    """One expectation on one partition.

    :param expectation: name as Great Expectations spells it, or one of our pre-checks.
    :param expected: its arguments in words.
    :param observed: what was seen, in words.
    :param unexpected: rows that broke it; None if it is not about rows.
    :param unexpected_share: the same as a share of all rows, 0 to 1.
    :param samples: up to 20 values that broke it, as text.
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
    """Some rows that broke expectations, as text, for people to look at.

    :param columns: key, event time and the columns that are wrong.
    :param rows: at most 20, a text a column; what is personal is masked.
    :param reasons: what is wrong with each row.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]


class ValidationReport(Fact):
    """What validation found in one partition, and what became of its rows.

    :param verdict: FAIL if a blocking expectation failed, INCONCLUSIVE if one could not be evaluated.
    :param rows: rows that were checked.
    :param quarantined: rows that were set aside.
    :param released: rows that break an expectation and go on, because a person has released them.
    :param sample: some of the rows that broke expectations; None if none did, or none is known.
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

    @property
    def warned(self) -> bool:
        """Whether it passes although something is wrong that only warns, or rows were set aside."""
        failed = any(each.outcome is not Outcome.PASS for each in self.results)
        return self.verdict is Verdict.PASS and (failed or self.quarantined > 0)
