"""Gates about the data that a candidate was judged on. Pure functions of measured values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.origin import ForeignOrigin
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS, number

_NAMED = 5


def classes(candidate: Sequence[str], champion: Sequence[str]) -> Check:
    """Check that a candidate tells apart what the champion does, if the classes come from the data.

    A label that was mistyped often enough would otherwise become a class.
    """
    more = [name for name in candidate if name not in champion]
    fewer = [name for name in champion if name not in candidate]
    said = [
        f"{'has learned' if here is more else 'lacks'} {', '.join(map(repr, here[:_NAMED]))}{' and more' * (len(here) > _NAMED)}"
        for here in (more, fewer)
        if here
    ]
    reason = "the candidate tells apart the classes that the champion does"
    if said:
        reason = f"the candidate {' and '.join(said)}, unlike the champion: if that is right, name the classes in `classes`"
    return Check(
        name="classes",
        verdict=INCONCLUSIVE if said else PASS,
        expected="the champion's classes, or those that the spec names",
        observed=len(candidate),
        baseline=len(champion),
        reason=reason,
    )


def leakage(scores: Mapping[str, float] | None, bound: float, what: str, n: int) -> Check:
    """Check that no feature alone predicts the target so well that it must be a copy of it.

    :param scores: score of each feature as the only predictor; None if it could not be measured.
    :param what: the measure of that score, in words.
    """
    name, expected = "leakage.features", f"<= {bound:g} for each feature alone"
    if not scores:
        reason = "too few rows of one label, or one value only, to tell what a feature predicts alone: hold out more"
        return Check(name=name, verdict=INCONCLUSIVE, expected=expected, n=n, reason=reason)
    ranked = sorted(scores, key=lambda feature: -scores[feature])
    above = [feature for feature in ranked if scores[feature] > bound]
    named = ", ".join(f"{feature!r} ({number(scores[feature])})" for feature in (above or ranked)[:5])
    reason = (
        f"alone, {named} predict{'s' * (len(above) == 1)} the target too well by {what}: leave out what is not known when a "
        "row is scored, or raise gates.leakage"
        if above
        else f"the best feature alone is {named.partition(', ')[0]} by {what}"
    )
    return Check(
        name=name,
        verdict=FAIL if above else PASS,
        expected=expected,
        observed=scores[ranked[0]],
        n=n,
        reason=reason,
    )


_SAID = {
    "tag": "as its tag trained_until says",
    "person": "as a person says",
    "registration": "as it was registered then",
}


def untouched(
    leaked: int, n: int, examples: Sequence[str], trained: int, origin: ForeignOrigin | None = None
) -> Check:
    """Check that no row of the holdout is among the candidate's training rows.

    :param origin: where the candidate comes from, if it was trained elsewhere: its training rows are not known, only until
        when they may go, by what others say.
    :param leaked: number of holdout rows whose key a training row has.
    :param n: number of holdout rows.
    :param examples: keys of some of the leaked rows.
    :param trained: number of training rows.
    """
    reason = f"none of the {n:,} rows has a key or a time of the {trained:,} training rows"
    if origin:
        reason = (
            f"it was trained elsewhere, on rows that nobody here knows: before {origin.until:%Y-%m-%d %H:%M}, {_SAID[origin.source]}. "
            f"None of the {n:,} rows is as early, or has the key of the {trained:,} rows before"
        )
    if leaked:
        reason = f"{leaked:,} of the {n:,} rows have the key of {'an earlier' if origin else 'a training'} row, such as {', '.join(examples)}: correct the data"
    return Check(
        name="leakage.rows",
        verdict=FAIL if leaked else PASS,
        expected="no row of the holdout in training",
        observed=leaked,
        n=n,
        reason=reason,
    )


def finite(bad: int, n: int) -> Check:
    """Return the failed check of a candidate that predicts values that are not finite numbers.

    :param bad: number of such predictions.
    :param n: number of predictions.
    """
    return Check(
        name="predictions",
        verdict=FAIL,
        expected="a finite number for each row",
        observed=bad,
        n=n,
        reason=f"{bad:,} of {n:,} predictions are no finite number",
    )
