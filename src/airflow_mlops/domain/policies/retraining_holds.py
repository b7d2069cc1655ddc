"""What holds automatic retraining back, one by one; FAIL means that it is held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.retraining import MODE, trained
from airflow_mlops.domain.policies.retraining_rules import Lasting, off, rule, unknown
from airflow_mlops.domain.spec.retrain import Mode

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.retraining import Known
    from airflow_mlops.domain.spec.retrain import Retrain


def cooldown(policy: Retrain, known: Known) -> Check:
    """Wait some partitions after an attempt."""
    since = known.since(known.last_attempt)
    ago = "no attempt yet" if since is None else f"last attempt {since} partition(s) ago"
    held = since is not None and since <= policy.cooldown
    return rule("cooldown", held, f"> {policy.cooldown}", f"{ago}, cooldown {policy.cooldown}", since)


def incident(policy: Retrain, known: Known, lasting: Sequence[Lasting], *, aged: Sequence[Check]) -> Check:
    """Retrain once for one problem: wait until it is over, or ``again`` partitions have passed.

    :param aged: rules that ask for retraining whether or not there is a problem.
    """
    asking = [each for each in lasting if each.check.verdict is Verdict.FAIL]
    held = bool(asking) and not aged and all(_answered(policy, known, each) for each in asking)
    lasts = ", ".join(each.incident.id for each in lasting if each.incident is not None)
    reason = f"open: {lasts}" if lasts else "no problem lasts"
    if held:
        waits = [again for each in asking if (again := _again(policy, each)) is not None]
        until = f"is over, or {min(waits)} partition(s) after that" if waits else "is over"
        reason = f"{lasts} was answered at {known.last_answer}, and is not again before it {until}"
    count = sum(1 for each in lasting if each.incident is not None)
    return rule("incident", held, "a problem that has not been answered yet", reason, count)


def _answered(policy: Retrain, known: Known, each: Lasting) -> bool:
    answer, since = known.last_answer, known.since(known.last_answer)
    if each.incident is None or answer is None or since is None or answer < each.incident.opened:
        return False
    again = _again(policy, each)
    return again is None or since < again


def _again(policy: Retrain, each: Lasting) -> int | None:
    """Return after how many partitions a problem that lasts may cause another training; None for never."""
    if policy.again is None and each.incident is not None and each.incident.signal == "staleness":
        # Age ends by a training alone, so it may ask for one again after as long as it was allowed.
        return policy.when.staleness
    return policy.again


def budget(policy: Retrain, known: Known) -> Check:
    """Train at most so often in so many partitions."""
    name, most = "budget", policy.budget
    if most is None:
        return off(name)
    spent = sum(1 for each in known.before if trained(each) and (known.since(each.partition) or 0) < most.n)
    reason = f"{spent} training(s) in the last {most.n} partitions, {most.k} allowed"
    return rule(name, spent >= most.k, f"< {most.k}", reason, spent)


def new_data(policy: Retrain, known: Known) -> Check:
    """Do not train on what the last training has seen already."""
    name, expected = "new_data", "a matured label or a corrected partition"
    if not policy.skip_unchanged:
        return off(name)
    if known.fresh is None:
        return unknown(name, expected, "new rows were not counted")
    new, corrected = known.fresh
    said = f"{new:,} rows whose labels have matured since the last training"
    reason = f"{said}, and an earlier partition was corrected" if corrected else said
    return rule(name, not new and not corrected, expected, reason, new)


def enough_data(known: Known) -> Check:
    """Do not train where nothing can be learned or judged."""
    reason = known.shortage or "there is enough data"
    return rule("enough_data", known.shortage is not None, "enough rows to train and to judge on", reason)


def mode(mode: Mode, *, due: bool) -> Check:
    """Say what follows when a rule asks; INCONCLUSIVE if a person decides.

    :param due: whether automatic retraining would follow.
    """
    if mode is Mode.SUGGEST and due:
        reason = "a person decides (mode: suggest)"
        return Check(name=MODE, verdict=Verdict.INCONCLUSIVE, expected=Mode.AUTO, reason=reason)
    said = {
        Mode.AUTO: "what a rule asks for is done (mode: auto)",
        Mode.SUGGEST: "there is nothing to ask a person (mode: suggest)",
        Mode.OFF: "only a first model and requests are trained (mode: off)",
    }
    return rule("mode", mode is Mode.OFF, Mode.AUTO, said[mode])
