"""The drift policy: whether data has drifted, as a pure function of measured distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_mlops.domain.checks import Check, Fact, Number, Verdict
from airflow_mlops.domain.spec.monitor import DriftPolicy


class Measure(Fact):
    """The distance of one property of a column from the training data.

    :param column: name of a feature, or ``prediction`` or ``target``.
    :param part: the property: "" for the column's values, ``missing`` or ``nonfinite`` for the share of rows without a value,
        ``unseen`` for the share of rows whose category is new.
    :param distance: the distance; None if it could not be measured.
    :param p: p-value, the chance of this distance or more if nothing has changed, before it is adjusted for the number of
        tests; None if it could not be measured.
    :param n: number of current rows that the distance is measured on.
    :param feature: False for a column that is reported, but does not count in the share of drifted columns.
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
    measures: Sequence[Measure],
    policy: DriftPolicy,
    *,
    importance: Mapping[str, float] | None = None,
    rows: int,
) -> tuple[Check, tuple[Check, ...]]:
    """Judge each measure, and the table by the share of its features that have drifted.

    A measure fails if its distance is both large, by the policy's threshold, and significant: p-values are adjusted for
    their number by Benjamini and Hochberg (Journal of the Royal Statistical Society B 57, 1995). A feature has drifted if any
    of its measures fails. Predictions and target are judged in the same way, but do not count in the share.

    The reason of a feature that has drifted says what it is worth to the model: a large shift of what does not matter is no loss.

    :param importance: what each feature is worth to the model, on any scale; None if that is not known. It is their weight in the
        share if the policy says so and any is above 0; otherwise all features count the same.
    :param rows: number of rows that are judged.
    """
    adjusted = adjust([measure.p for measure in measures])
    features = dict.fromkeys(measure.column for measure in measures if measure.feature)
    worth = {name: max((importance or {}).get(name, 0.0), 0.0) for name in features}
    total = sum(worth.values())
    worth = {name: part / total for name, part in worth.items()} if total else {}
    checks = tuple(
        _check(measure, p, policy, worth.get(measure.column) if measure.feature else None)
        for measure, p in zip(measures, adjusted, strict=True)
    )
    columns: dict[str, Verdict] = {}
    worst: dict[str, float] = {}
    for measure, check in zip(measures, checks, strict=True):
        if not measure.feature:
            continue
        if not measure.part or check.verdict is Verdict.FAIL:
            columns[measure.column] = _either(columns.get(measure.column), check.verdict)
        if check.verdict is Verdict.FAIL:
            worst[measure.column] = max(worst.get(measure.column, 0.0), check.observed or 0.0)
    return _overall(columns, worst, policy, worth, rows), checks


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted by Benjamini and Hochberg for the number of tests; None stays None."""
    measured = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    least = 1.0
    for rank, (p, place) in reversed(list(enumerate(measured, 1))):
        least = min(least, p * len(measured) / rank)
        adjusted[place] = least
    return adjusted


def _either(earlier: Verdict | None, latest: Verdict) -> Verdict:
    return Verdict.FAIL if Verdict.FAIL in (earlier, latest) else latest


def _check(measure: Measure, p: float | None, policy: DriftPolicy, worth: float | None) -> Check:
    limits = {
        "": policy.threshold,
        "unseen": policy.unseen,
        "missing": policy.missing,
        "nonfinite": policy.missing,
    }
    threshold = limits[measure.part]
    expected = f"< {threshold:g}, or p > {policy.significance:g}"
    verdict, reason = Verdict.INCONCLUSIVE, measure.reason
    if measure.distance is not None and p is not None:
        large, significant = measure.distance >= threshold, p <= policy.significance
        verdict = Verdict.FAIL if large and significant else Verdict.PASS
        reason += f", p {p:.2g}" if p >= 1e-4 else ", p < 0.0001"
        if large and not significant:
            reason += ": no more than chance explains"
        if verdict is Verdict.FAIL and worth is not None:
            reason += f"; {worth:.0%} of the importance"
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
    worth: Mapping[str, float],
    rows: int,
) -> Check:
    weighted = policy.weights == "importance" and bool(worth)
    counted = worth if weighted else dict.fromkeys(columns, 1.0)
    total = sum(counted.values())
    drifted = sum(counted[name] for name, verdict in columns.items() if verdict is Verdict.FAIL)
    measured = sum(counted[name] for name, verdict in columns.items() if verdict is not Verdict.INCONCLUSIVE)
    share = drifted / measured if measured else None
    if share is None or 2 * measured < total:
        # Fails if the drifted columns are enough even when all columns that could not be measured have not drifted.
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
        reason=_reason(columns, worst, worth, share if weighted else None)
        + (
            "" if weighted or policy.weights == "equal" else "; no importance is known, so all count the same"
        ),
    )


def _reaches(share: float, limit: float) -> bool:
    # Sums of fractions such as 1/3 and 0.1 are not exact in floating point.
    return share >= limit - 1e-9


def _reason(
    columns: Mapping[str, Verdict],
    worst: Mapping[str, float],
    worth: Mapping[str, float],
    weighted: float | None,
) -> str:
    measured = sum(verdict is not Verdict.INCONCLUSIVE for verdict in columns.values())
    effect = {name: distance * worth.get(name, 0.0) for name, distance in worst.items()}
    first = sorted(worst, key=lambda name: (-effect[name], -worst[name], name))[:3]
    named = ", ".join(f"{name} {worst[name]:.3f}" for name in first)
    reason = f"{len(worst)} of {measured} measured columns drifted{f' (most: {named})' if named else ''}"
    if weighted is not None:
        reason += f", {weighted:.0%} by importance"
    if measured < len(columns):
        reason += f"; {len(columns) - measured} could not be measured"
    return reason
