"""Whether data has drifted: the verdict on distances that were measured. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_mlops.domain.checks import Check, Fact, Number, Verdict
from airflow_mlops.domain.spec.monitor import DriftPolicy


class Measure(Fact):
    """How far one property of a column is from what it was.

    :param column: name of a feature, or ``prediction`` or ``target``.
    :param part: the property: "" for its values, ``missing`` or ``nonfinite`` for the share of rows without one.
    :param distance: None if it could not be measured.
    :param p: chance of this much or more if nothing has changed, before it is corrected for many tests; None as above.
    :param n: rows that it rests on now.
    :param feature: False for what is told, but is not counted among the columns that have drifted.
    :param reason: what was measured, or why it was not.
    """

    column: str
    part: str = ""
    distance: Number = None
    p: Number = None
    n: int
    feature: bool = True
    reason: str

    @property
    def name(self) -> str:
        """Name of the check."""
        return f"drift.{self.column}{'.' * bool(self.part)}{self.part}"


def judge(
    measures: Sequence[Measure], policy: DriftPolicy, *, weights: Mapping[str, float] | None = None, rows: int
) -> tuple[Check, tuple[Check, ...]]:
    """Judge each measure, and the table by the share of its features that have drifted.

    A measure fails that is both large, by the policy's threshold, and significant: p-values are adjusted for their
    number by Benjamini and Hochberg (Journal of the Royal Statistical Society B 57, 1995). A feature has drifted if any of its
    measures fails. Predictions and target are judged alike but do not count in the share.

    :param weights: what each feature counts; None means all the same, and so do weights that are nowhere above 0.
    :param rows: rows that are judged.
    """
    adjusted = adjust([measure.p for measure in measures])
    checks = tuple(_check(measure, p, policy) for measure, p in zip(measures, adjusted, strict=True))
    columns: dict[str, Verdict] = {}
    worst: dict[str, float] = {}
    for measure, check in zip(measures, checks, strict=True):
        if not measure.feature:
            continue
        if not measure.part or check.verdict is Verdict.FAIL:
            columns[measure.column] = _either(columns.get(measure.column), check.verdict)
        if check.verdict is Verdict.FAIL:
            worst[measure.column] = max(worst.get(measure.column, 0.0), check.observed or 0.0)
    return _overall(columns, worst, policy, weights, rows), checks


def adjust(values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted by Benjamini and Hochberg for as many tests as there are; None stays None."""
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    found: list[float | None] = [None] * len(values)
    least = 1.0
    for rank, (p, place) in reversed(list(enumerate(known, 1))):
        least = min(least, p * len(known) / rank)
        found[place] = least
    return found


def _either(one: Verdict | None, other: Verdict) -> Verdict:
    return Verdict.FAIL if Verdict.FAIL in (one, other) else other


def _check(measure: Measure, p: float | None, policy: DriftPolicy) -> Check:
    threshold = policy.missing if measure.part else policy.threshold
    expected = f"< {threshold:g}, or p > {policy.significance:g}"
    verdict, reason = Verdict.INCONCLUSIVE, measure.reason
    if measure.distance is not None and p is not None:
        large, significant = measure.distance >= threshold, p <= policy.significance
        verdict = Verdict.FAIL if large and significant else Verdict.PASS
        reason += f", p {p:.2g}" if p >= 1e-4 else ", p < 0.0001"
        if large and not significant:
            reason += ": no more than chance explains"
    return Check(
        name=measure.name,
        verdict=verdict,
        expected=expected,
        observed=measure.distance,
        n=measure.n,
        reason=reason,
    )


def _overall(
    columns: Mapping[str, Verdict],
    worst: Mapping[str, float],
    policy: DriftPolicy,
    weights: Mapping[str, float] | None,
    rows: int,
) -> Check:
    known = {name: max((weights or {}).get(name, 0.0), 0.0) for name in columns}
    weighted = any(known.values())
    counted = known if weighted else dict.fromkeys(columns, 1.0)
    total = sum(counted.values())
    drifted = sum(counted[name] for name, verdict in columns.items() if verdict is Verdict.FAIL)
    measured = sum(counted[name] for name, verdict in columns.items() if verdict is not Verdict.INCONCLUSIVE)
    share = drifted / measured if measured else None
    if share is None or 2 * measured < total:
        # What is known may be enough: the columns that could not be measured cannot undo it.
        certain = bool(drifted) and _reaches(drifted / total, policy.columns)
        verdict = Verdict.FAIL if certain else Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.FAIL if drifted and _reaches(share, policy.columns) else Verdict.PASS
    return Check(
        name="drift",
        verdict=verdict,
        expected=f"< {policy.columns:g} of columns",
        observed=share,
        n=rows,
        reason=_reason(columns, worst, share if weighted else None)
        + (
            "" if weighted or policy.weights == "equal" else "; no importance is known, so all count the same"
        ),
    )


def _reaches(share: float, limit: float) -> bool:
    # Weights of thirds and tenths do not add up exactly.
    return share >= limit - 1e-9


def _reason(columns: Mapping[str, Verdict], worst: Mapping[str, float], weighted: float | None) -> str:
    measured = sum(verdict is not Verdict.INCONCLUSIVE for verdict in columns.values())
    first = sorted(worst, key=lambda name: (-worst[name], name))[:3]
    named = ", ".join(f"{name} {worst[name]:.3f}" for name in first)
    reason = f"{len(worst)} of {measured} measured columns drifted{f' (most: {named})' if named else ''}"
    if weighted is not None:
        reason += f", {weighted:.0%} by importance"
    if measured < len(columns):
        reason += f"; {len(columns) - measured} could not be measured"
    return reason
