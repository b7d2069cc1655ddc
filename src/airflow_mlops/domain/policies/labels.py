"""The labels policy: how many labels may belong to no row of the data, as a pure function of their number."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.labels import LabelsReport, Unmatched


def unmatched(report: LabelsReport, most: float) -> Check | None:
    """Check that few labels belong to no published row; None if nobody looked.

    :param most: share of a run's labels that may.
    """
    if report.unmatched is None:
        return None
    count = report.unmatched.total
    share = count / report.rows if report.rows else 0.0
    reason = f"{count:,} of {report.rows:,} labels belong to no published row"
    if clauses := list(_causes(report.unmatched)):
        reason += f": {'; '.join(clauses)}"
    return Check(
        name="labels.unmatched",
        verdict=Verdict.FAIL if share > most else Verdict.PASS,
        expected=f"<= {most:.4g} of the labels",
        observed=share,
        n=report.rows,
        reason=reason,
    )


def _causes(labels: Unmatched) -> Iterator[str]:
    if labels.unknown:
        yield f"{labels.unknown:,} have a key that the data lacks"
    if labels.elsewhere:
        yield f"{labels.elsewhere:,} have the event time of another partition than their row"
    if labels.unpublished:
        yield f"{labels.unpublished:,} are of partitions that are not published"
    for name, (source, data) in labels.retyped.items() if labels.total else ():
        yield f"{name!r} is {source} in labels.source and {data} in the data"
