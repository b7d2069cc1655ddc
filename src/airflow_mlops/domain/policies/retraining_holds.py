"""The holds of the retrain policy: conditions that keep it from retraining automatically. FAIL means held back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.retraining import MODE, trained
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies.retraining_rules import LastingProblem, off, rule, seen_since, unknown
from airflow_mlops.domain.spec.retrain import GROWING, Mode

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.retraining import Situation
    from airflow_mlops.domain.spec.retrain import Retrain

_DRIFT, _STALENESS = "drift", "staleness"
_PATIENCE = 3
"""Partitions after which a training is no longer put off."""


def cooldown(policy: Retrain, situation: Situation) -> Check:
    """Hold back for some partitions after an attempt to train."""
    since = situation.since(situation.last_attempt)
    ago = "no attempt yet" if since is None else f"last attempt {counted(since, 'partition')} ago"
    held = since is not None and since <= policy.cooldown
    return rule("cooldown", held, f"> {policy.cooldown}", f"{ago}, cooldown {policy.cooldown}", since)


def incident(
    policy: Retrain, situation: Situation, problems: Sequence[LastingProblem], *, aged: Sequence[Check]
) -> Check:
    """Hold back a second training for the same problem until it is over, or ``again`` partitions have passed.

    With ``again: growing`` also the first one, while it would learn from nothing that came since the problem began.

    :param aged: failed checks of rules that ask for retraining whether or not there is a problem.
    """
    asking = [problem for problem in problems if problem.check.verdict is Verdict.FAIL]
    early = [problem for problem in asking if _too_early(policy, situation, problem)]
    answered = all(problem in early or _answered(policy, situation, problem) for problem in asking)
    # What asks for its age, too, would learn from nothing new.
    held = bool(asking) and answered and (not aged or early == asking)
    lasts = ", ".join(problem.incident.id for problem in problems if problem.incident is not None)
    reason = f"open: {lasts}" if lasts else "no problem lasts"
    if held and early:
        reason = (
            f"{lasts} has begun, and a training would learn from nothing since then: its rows end at "
            f"{situation.cut:%Y-%m-%d %H:%M} UTC, before those that are held out"
        )
    elif held:
        waits = [again for problem in asking if (again := _again(policy, situation, problem)) is not None]
        until = f"is over, or {counted(min(waits), 'partition')} after that" if waits else "is over"
        reason = f"{lasts} was answered at {situation.last_answer}, and is not again before it {until}"
        if policy.again == GROWING and (vain := situation.fruitless()):
            reason += f": {counted(vain, 'training')} in a row did not help"
    count = sum(1 for problem in problems if problem.incident is not None)
    return rule("incident", held, "a problem that has not been answered yet", reason, count)


def _too_early(policy: Retrain, situation: Situation, problem: LastingProblem) -> bool:
    """Tell whether a training would learn from less than half of the rows in which a problem was first seen.

    Long holdouts do not put it off for ever.
    """
    if policy.again != GROWING or problem.incident is None or problem.incident.signal == _STALENESS:
        return False
    opened, age = problem.incident.opened, situation.since(problem.incident.opened)
    if situation.cut is None or age is None or age >= _PATIENCE:
        return False
    first = Partition.parse(opened, situation.grain)
    # What fails with labels has failed in rows whose labels were due in that partition.
    late = timedelta(0) if problem.incident.signal == _DRIFT else situation.delay
    return situation.cut < seen_since(situation, opened, late) + (first.end - first.start) / 2


def _answered(policy: Retrain, situation: Situation, problem: LastingProblem) -> bool:
    """Tell whether a problem may not cause another training yet, because there was one since it began.

    Drift that is over and comes back, as with the seasons, is the same problem while trainings for it do not help.
    """
    answer, since = situation.last_answer, situation.since(situation.last_answer)
    if problem.incident is None or answer is None or since is None:
        return False
    new = answer < problem.incident.opened
    if new and not (policy.again == GROWING and problem.incident.signal == _DRIFT and situation.fruitless()):
        return False
    again = _again(policy, situation, problem)
    return again is None or since < again


def _again(policy: Retrain, situation: Situation, problem: LastingProblem) -> int | None:
    """Return after how many partitions a problem that lasts may cause another training; None means never."""
    if problem.incident is None:
        return None
    signal, opened = problem.incident.signal, problem.incident.opened
    if signal == _STALENESS and not isinstance(policy.again, int):
        # Only a training ends staleness, so it may cause another one once the allowed age has passed again.
        return policy.when.staleness
    if isinstance(policy.again, str):
        vain = situation.fruitless(None if signal == _DRIFT else opened)
        return int(2 ** max(vain - 1, 0))
    return policy.again


def budget(policy: Retrain, situation: Situation) -> Check:
    """Hold back once the policy's number of trainings in its number of partitions is spent."""
    name, most = "budget", policy.budget
    if most is None:
        return off(name)
    spent = sum(
        1
        for decision in situation.before
        if trained(decision) and (situation.since(decision.partition) or 0) < most.n
    )
    reason = f"{counted(spent, 'training')} in the last {most.n} partitions, {most.k} allowed"
    return rule(name, spent >= most.k, f"< {most.k}", reason, spent)


def new_data(policy: Retrain, situation: Situation) -> Check:
    """Hold back while the data has nothing that the last training has not seen."""
    name, expected = "new_data", "a matured label or a corrected partition"
    if not policy.skip_unchanged:
        return off(name)
    if situation.fresh is None:
        return unknown(name, expected, "new rows were not counted")
    new, corrected = situation.fresh
    matured = f"{counted(new, 'row')} whose labels have matured since the last training"
    reason = f"{matured}, and an earlier partition was corrected" if corrected else matured
    return rule(name, not new and not corrected, expected, reason, new)


def enough_data(situation: Situation) -> Check:
    """Hold back while there are too few rows to train and to judge on."""
    reason = situation.shortage or "there is enough data"
    return rule("enough_data", situation.shortage is not None, "enough rows to train and to judge on", reason)


def mode(mode: Mode, *, due: bool) -> Check:
    """Return the check of the policy's mode, which decides what follows when a rule asks; INCONCLUSIVE if a person decides.

    :param due: whether a rule asks for retraining and nothing holds it back.
    """
    if mode is Mode.SUGGEST and due:
        reason = "a person decides (mode: suggest)"
        return Check(name=MODE, verdict=Verdict.INCONCLUSIVE, expected=Mode.AUTO, reason=reason)
    meaning = {
        Mode.AUTO: "what a rule asks for is done (mode: auto)",
        Mode.SUGGEST: "there is nothing to ask a person (mode: suggest)",
        Mode.OFF: "only a first model and requests are trained (mode: off)",
    }
    return rule("mode", mode is Mode.OFF, Mode.AUTO, meaning[mode])
