"""The rules of the retrain policy: conditions that ask for retraining. FAIL means that the rule asks for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.retraining import trained
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies import incidents
from airflow_mlops.domain.policies.incidents import Incident
from airflow_mlops.domain.policies.monitoring import k_of_n

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import HealthReport
    from airflow_mlops.domain.facts.retraining import Situation
    from airflow_mlops.domain.spec.fields import KofN
    from airflow_mlops.domain.spec.retrain import Retrain, RetrainWhen

OFF = "off"
"""Expected value in the check of a rule that the policy does not have."""
AFTER_A_CHANGE = 2.0
"""How many times as far the data has to reach for another training, after one that has replaced a failing champion."""
_UNTRAINED = "it is not known what the champion was trained through"


class LastingProblem(NamedTuple):
    """A rule about a problem that may last for several partitions.

    :param check: the check of the rule.
    :param incident: the incident of the problem; None if none is open now.
    """

    check: Check
    incident: Incident | None


def rule(name: str, fails: bool, expected: str, reason: str, observed: float | None = None) -> Check:
    """Return the check of a rule or a hold."""
    verdict = Verdict.FAIL if fails else Verdict.PASS
    return Check(name=f"retrain.{name}", verdict=verdict, expected=expected, observed=observed, reason=reason)


def off(name: str) -> Check:
    """Return the check of a rule or a hold that the policy does not have."""
    return rule(name, False, OFF, "not in the policy")


def unknown(name: str, expected: str, reason: str) -> Check:
    """Return the check of a rule or a hold that cannot be judged."""
    return Check(name=f"retrain.{name}", verdict=Verdict.INCONCLUSIVE, expected=expected, reason=reason)


def first_model(situation: Situation) -> Check:
    """Ask for retraining if there is no champion."""
    reason = "there is a champion" if situation.has_champion else "there is no champion yet"
    return rule("first_model", not situation.has_champion, "a champion", reason)


def requested(situation: Situation) -> Check:
    """Ask for retraining if a person, a REST call or an asset event has requested it."""
    why = (situation.reason or "asked for without a reason") if situation.force else "nobody has asked for it"
    return rule("requested", situation.force, "no request", why)


def lasting_problems(policy: Retrain, situation: Situation) -> tuple[LastingProblem, ...]:
    """Ask for retraining when a problem lasts: drift, weak performance, no better than naive, concept drift, bounds, age."""
    when = policy.when
    return (
        _signal(policy, situation, "drift", when.drift, lambda report: report.drift.verdict),
        _signal(
            policy, situation, "performance", when.performance, lambda report: report.performance.verdict
        ),
        _signal(policy, situation, "baseline", when.baseline, lambda report: _other(report, "baseline")),
        _signal(policy, situation, "concept", when.concept, lambda report: _other(report, "concept")),
        _signal(policy, situation, "intervals", when.intervals, lambda report: _other(report, "intervals")),
        _staleness(when, situation),
    )


def _signal(
    policy: Retrain,
    situation: Situation,
    name: str,
    condition: KofN | None,
    verdict_of: Callable[[HealthReport], Verdict],
) -> LastingProblem:
    if condition is None:
        return LastingProblem(off(name), None)
    series = [(report.partition, verdict_of(report)) for report in situation.health]
    check = k_of_n(f"retrain.{name}", [verdict for _, verdict in series], condition.k, condition.n)
    signal_incidents = incidents.of_signal(name, reversed(series), condition, policy.clear)
    return LastingProblem(check, incidents.lasting(signal_incidents))


def _other(report: HealthReport, name: str) -> Verdict:
    verdicts = (check.verdict for check in report.others if check.name == name and check.slice is None)
    return next(verdicts, Verdict.INCONCLUSIVE)


def _staleness(when: RetrainWhen, situation: Situation) -> LastingProblem:
    name, bound, through = "staleness", when.staleness, situation.trained_through
    if bound is None:
        return LastingProblem(off(name), None)
    age = situation.since(through)
    if through is None or age is None:
        return LastingProblem(unknown(name, f"<= {bound}", _UNTRAINED), None)
    reason = f"{counted(age, 'partition')} since the champion's training data ended, {bound} allowed"
    opened = Partition.parse(through, situation.grain).shift(bound + 1).key
    incident = Incident(signal=name, opened=opened) if age > bound else None
    return LastingProblem(rule(name, age > bound, f"<= {bound}", reason, age), incident)


def every(policy: Retrain, situation: Situation) -> Check:
    """Ask for retraining at regular intervals, counted in partitions from the last attempt."""
    name, due = "every", policy.when.every
    if due is None:
        return off(name)
    age, since = situation.since(situation.last_attempt), "the last attempt"
    if age is None:
        age, since = situation.since(situation.trained_through), "the champion's training data ended"
    if age is None:
        return unknown(name, f"< {due}", _UNTRAINED)
    return rule(name, age >= due, f"< {due}", f"{counted(age, 'partition')} since {since}, due at {due}", age)


def growth(policy: Retrain, situation: Situation) -> Check:
    """Ask for retraining once the data reaches many times as far as what the last training learned from.

    Spans of event time are compared, not rows: so nothing has to be read to know it. The more a model has seen, the less another
    row teaches it, in inverse proportion (Viering and Loog, *The Shape of Learning Curves: A Review*, 2023): the time until the next
    training grows with what the last one saw. After a champion that failed was replaced, only what came since it began to fail
    counts, and the data needs to reach :data:`AFTER_A_CHANGE` times as far: its successor has learned from little of what is new.
    """
    name, due, learned = "growth", policy.when.growth, situation.learned
    if due is None:
        return off(name)
    if learned is None or learned.cut <= learned.start:
        return unknown(name, f"<= {due:g}", "it is not known what the last training learned from")
    start, since = learned.start, ""
    changed = _changed(policy, situation)
    if changed is not None and start < changed < learned.cut:
        start, due, since = changed, min(due, AFTER_A_CHANGE), " since the champion before began to fail"
    end = Partition.parse(situation.partition, situation.grain).end
    times = (end - start) / (learned.cut - start)
    reason = (
        f"the data reaches {times:.1f} times as far as what the last training learned from{since}, {start:%Y-%m-%d} to "
        f"{learned.cut:%Y-%m-%d}; due above {due:g}"
    )
    return rule(name, times > due, f"<= {due:g}", reason, times)


def _changed(policy: Retrain, situation: Situation) -> datetime | None:
    """Return the event time from which the champion failed that the last training has replaced; None if it has replaced none."""
    last = max(filter(trained, situation.before), key=lambda decision: decision.partition, default=None)
    if last is None or last.action is not Action.PROMOTED or (condition := policy.when.performance) is None:
        return None
    series = [(report.partition, report.performance.verdict) for report in reversed(situation.health)]
    opened = [
        incident.opened
        for incident in incidents.of_signal("performance", series, condition, policy.clear)
        if incident.opened <= last.partition and (incident.closed is None or last.partition < incident.closed)
    ]
    return seen_since(situation, opened[-1], situation.delay) if opened else None


def seen_since(situation: Situation, opened: str, late: timedelta) -> datetime:
    """Return the event time of the first rows in which a problem was seen.

    :param opened: partition at which it opened.
    :param late: how long after their event time its rows were judged.
    """
    return Partition.parse(opened, situation.grain).start - late


def cron(policy: Retrain, situation: Situation) -> Check:
    """Ask for retraining if the cron has fired since the last attempt, up to the end of the partition."""
    from croniter import croniter

    name, expression = "cron", policy.when.cron
    if expression is None:
        return off(name)
    since = situation.last_attempt or situation.trained_through
    if since is None:
        return unknown(name, "not due", _UNTRAINED)
    after, now = (Partition.parse(key, situation.grain).end for key in (since, situation.partition))
    zone = Calendar(situation.grain).zone
    due = croniter(expression, after.astimezone(zone)).get_next(datetime)
    reason = (
        f"after {since}, {expression!r} fires at {due:%Y-%m-%d %H:%M} {zone}; "
        f"{situation.partition} ends at {now.astimezone(zone):%Y-%m-%d %H:%M}"
    )
    return rule(name, due <= now, "not due", reason)


def rows(policy: Retrain, situation: Situation) -> Check:
    """Ask for retraining once enough labels have matured since the last training."""
    name, due = "rows", policy.when.rows
    if due is None:
        return off(name)
    if situation.fresh is None:
        return unknown(name, f"< {due}", "new rows were not counted")
    new = situation.fresh.rows
    reason = f"{counted(new, 'row')} whose labels have matured since the last training, due at {due:,}"
    return rule(name, new >= due, f"< {due}", reason, new)
