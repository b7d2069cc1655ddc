"""Tests of the champion's quality under one budget of error for a whole stream, as pure functions of measured values.

A model is looked at once a partition, for as long as it lives. If each look had a chance of 5 % of a false alarm, one of
fifty would raise it almost surely. So a budget is spent over the looks: look j has the part 6 / (π² j²) of it, which sum
to 1 however many come (alpha spending: Lan and DeMets, Discrete Sequential Boundaries for Clinical Trials, 1983), shared
equally by the tests of the look (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS, number
from airflow_mlops.domain.predictions import Predictor

LARGEST_GAIN = 0.02
"""Gain of a recalibration beyond that at the evaluation, as a share of the log loss of the labels' shares, that still passes."""
_OF_PROBABILITIES = "log_loss", "brier"
"""Scores that probabilities which mean what they say are best in."""
DECAY, WORTHLESS, CALIBRATION = "decay", "worthless", "calibration"
_EXPECTED = {
    DECAY: "no loss of {metric} since the evaluation beyond chance",
    WORTHLESS: "{metric} no worse than that of a constant",
    CALIBRATION: f"a recalibration gains at most {LARGEST_GAIN:.0%} of the log loss more than at the evaluation",
}
_CHANCE = "; p "
"""What stands in a reason between what was compared and its chance."""


class QualityTest(NamedTuple):
    """One test that the champion is not worse than something else, with its p-value.

    :param kind: ``decay``, ``worthless`` or ``calibration``.
    :param observed: the champion's value of the metric; None if it is undefined.
    :param baseline: the value that it is compared with; None if it is undefined.
    :param beside: what that is the value of, in words, such as ``its evaluation at training``.
    :param worse: how much worse than the baseline the champion is, in units of the metric; negative if it is better.
    :param interval: confidence interval of that; None if it is not known.
    :param chance: the p-value: the chance of being this much worse if it were no worse at all; None if it is not known.
    :param n: number of rows.
    :param problem: why the chance is not known, in words.
    :param share: of ``calibration``: the gain beyond that at the evaluation, as a share of the log loss of a constant.
    """

    kind: str
    metric: str
    beside: str
    n: int
    observed: float | None = None
    baseline: float | None = None
    worse: float | None = None
    interval: tuple[float, float] | None = None
    chance: float | None = None
    problem: str = ""
    share: float | None = None

    @property
    def name(self) -> str:
        """Name of the check."""
        return self.kind if self.kind == CALIBRATION else f"{self.kind}.{self.metric}"


def level(budget: float, look: int, tests: int) -> float:
    """Return the chance of a false alarm that one test of a look may have.

    :param budget: chance of any false alarm, over all tests and looks of a stream without end.
    :param look: number of the look, from 1.
    :param tests: number of tests of the look.
    """
    return budget * 6 / (math.pi * look) ** 2 / max(tests, 1)


def look(judgements: Iterable[Judgement], run: str) -> int:
    """Return the number of a run's look at a model: 1, and one more for each earlier partition that brought labels.

    It follows from what is recorded of the model's predictions alone, whichever version made them, so that it is the same
    on any machine and in any order of the runs.

    :param judgements: all judgements, also those that later ones have replaced.
    :param run: key of the partition as of which is looked.
    """
    brought: set[str] = set()
    labelled: dict[tuple[str, Predictor], int] = {}
    for judgement in sorted(judgements, key=lambda judgement: judgement.as_of):
        of = (judgement.scored, judgement.predictor)
        if judgement.labelled > labelled.get(of, 0):
            labelled[of] = judgement.labelled
            brought.add(judgement.as_of)
    return 1 + sum(key < run for key in brought)


def checks(tests: Sequence[QualityTest], budget: float, look: int) -> tuple[Check, ...]:
    """Judge the tests of one look, with a check for each name; of several tests of a name, the one that shows most.

    FAIL if the champion is shown to be worse at the :func:`level` of the look; PASS if that is not shown; INCONCLUSIVE if
    it could not be tested.

    :param tests: of one look; those of one name follow each other.
    :param budget: see :func:`level`.
    """
    each = level(budget, look, sum(test.chance is not None for test in tests))
    spent = f"the level of look {look} of a budget of {budget:g}"
    return tuple(
        _check(min(same, key=lambda test: math.inf if test.chance is None else test.chance), each, spent)
        for _, same in groupby(tests, key=lambda test: test.name)
    )


def performance(check: Check, tested: Sequence[Check], *, bounded: bool) -> Check:
    """Return the verdict on performance, of floor and drop, together with what was tested.

    A test that could not be made leaves the verdict to the others.

    :param check: the verdict by floor and drop.
    :param tested: checks of :func:`checks`; none if there were too few rows to test.
    :param bounded: whether the policy has a floor or a drop.
    """
    if not tested:
        return check
    shown = [test for test in tested if test.verdict is FAIL]
    conclusive = [test for test in tested if test.verdict is not INCONCLUSIVE]
    verdict, reason = check.verdict, check.reason
    if shown:
        verdict = FAIL
        reasons = [check.reason] if check.verdict is FAIL else []
        reason = "; ".join([*reasons, _said(shown)])
    elif not bounded and not conclusive:
        verdict, reason = INCONCLUSIVE, f"{tested[0].name}: {tested[0].reason}"
    elif not bounded and verdict is PASS:
        reason = f"none of {', '.join(test.name for test in conclusive)} shows a loss"
    expected = "; ".join(
        [*([check.expected] if bounded else []), *(f"{test.name} {test.expected}" for test in tested)]
    )
    return check.model_copy(update={"verdict": verdict, "reason": reason, "expected": expected})


def by_calibration(performance: Check, others: Sequence[Check]) -> bool:
    """Whether the verdict of :func:`performance` is FAIL by its calibration, and by nothing that a recalibration leaves as it is.

    Probabilities that no longer mean what they say cost log loss too, so that tests in the proper
    scores may fail with it. A test in any other metric, as one of ranks, may not.

    :param others: the checks that were tested, among any others.
    """
    failed = [check for check in others if check.verdict is FAIL and _tested(check)]
    mendable = {
        CALIBRATION,
        *(f"{kind}.{score}" for kind in (DECAY, WORTHLESS) for score in _OF_PROBABILITIES),
    }
    names = {check.name for check in failed}
    if performance.verdict is not FAIL or CALIBRATION not in names or not names <= mendable:
        return False
    # What else fails it, such as a floor, stands before.
    return performance.reason == _said(failed)


def _said(failed: Sequence[Check]) -> str:
    """Return what was found, without the chances, which stand in each check."""
    return "; ".join(f"{check.name}: {check.reason.partition(_CHANCE)[0]}" for check in failed)


def _tested(check: Check) -> bool:
    return check.name.partition(".")[0] in _EXPECTED


def _check(test: QualityTest, each: float, spent: str) -> Check:
    small = test.share is not None and test.share <= LARGEST_GAIN
    if test.chance is None:
        verdict, reason = INCONCLUSIVE, test.problem
    else:
        shown = test.chance < each
        verdict = FAIL if shown and not small else PASS
        said = "below" if shown else "not below"
        reason = f"{_compared(test)}{_CHANCE}{test.chance:.2g} is {said} {each:.2g}, {spent}"
    return Check(
        name=test.name,
        verdict=verdict,
        expected=_EXPECTED[test.kind].format(metric=test.metric),
        observed=test.observed,
        baseline=test.baseline,
        interval=test.interval,
        n=test.n,
        reason=reason,
    )


def _compared(test: QualityTest) -> str:
    values = f"{test.metric} {number(test.observed)}", f"the {number(test.baseline)} of {test.beside}"
    if test.worse is None or not test.worse:
        return f"{values[0]} is as good as {values[1]}"
    by = f"{abs(test.worse):.4g} {'worse' if test.worse > 0 else 'better'} than"
    share = (
        ""
        if test.share is None
        else f": {test.share:+.1%} of a constant's log loss, {LARGEST_GAIN:.0%} is allowed"
    )
    return f"{values[0]} is {by} {values[1]}{share}"
