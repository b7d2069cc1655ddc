"""The rules that ask for retraining, one by one; FAIL means that the rule asks for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies import incidents
from airflow_mlops.domain.policies.incidents import Incident
from airflow_mlops.domain.policies.monitoring import k_of_n

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import HealthReport
    from airflow_mlops.domain.facts.retraining import Known
    from airflow_mlops.domain.spec.fields import KofN
    from airflow_mlops.domain.spec.retrain import Retrain, RetrainWhen

OFF = "off"
"""What a rule expects that the policy does not have."""
_UNTRAINED = "it is not known what the champion was trained through"


class Lasting(NamedTuple):
    """A rule about a problem that may last.

    :param incident: the problem, if it is open now.
    """

    check: Check
    incident: Incident | None


def rule(name: str, fails: bool, expected: str, reason: str, observed: float | None = None) -> Check:
    """Return the check of a rule or a hold."""
    verdict = Verdict.FAIL if fails else Verdict.PASS
    return Check(name=f"retrain.{name}", verdict=verdict, expected=expected, observed=observed, reason=reason)


def off(name: str) -> Check:
    """Return the check of what the policy does not ask for."""
    return rule(name, False, OFF, "not in the policy")


def unknown(name: str, expected: str, reason: str) -> Check:
    """Return the check of what cannot be judged."""
    return Check(name=f"retrain.{name}", verdict=Verdict.INCONCLUSIVE, expected=expected, reason=reason)


def first_model(known: Known) -> Check:
    """Ask for a model where there is none."""
    reason = "there is a champion" if known.has_champion else "there is no champion yet"
    return rule("first_model", not known.has_champion, "a champion", reason)


def requested(known: Known) -> Check:
    """Ask for what a person, a REST call or an asset event has asked for."""
    why = (known.reason or "asked for without a reason") if known.force else "nobody has asked for it"
    return rule("requested", known.force, "no request", why)


def lasting(policy: Retrain, known: Known) -> tuple[Lasting, ...]:
    """Ask for retraining when a problem lasts: drift, weak performance, no better than naive, concept drift, age."""
    when = policy.when
    return (
        _signal(policy, known, "drift", when.drift, lambda report: report.drift.verdict),
        _signal(policy, known, "performance", when.performance, lambda report: report.performance.verdict),
        _signal(policy, known, "baseline", when.baseline, lambda report: _other(report, "baseline")),
        _signal(policy, known, "concept", when.concept, lambda report: _other(report, "concept")),
        _staleness(when, known),
    )


def _signal(
    policy: Retrain, known: Known, name: str, wanted: KofN | None, verdict: Callable[[HealthReport], Verdict]
) -> Lasting:
    if wanted is None:
        return Lasting(off(name), None)
    series = [(report.partition, verdict(report)) for report in known.health]
    check = k_of_n(f"retrain.{name}", [each for _, each in series], wanted.k, wanted.n)
    found = incidents.of_signal(name, reversed(series), wanted, policy.clear)
    return Lasting(check, incidents.lasting(found))


def _other(report: HealthReport, name: str) -> Verdict:
    said = (check.verdict for check in report.others if check.name == name and check.slice is None)
    return next(said, Verdict.INCONCLUSIVE)


def _staleness(when: RetrainWhen, known: Known) -> Lasting:
    name, bound, through = "staleness", when.staleness, known.trained_through
    if bound is None:
        return Lasting(off(name), None)
    age = known.since(through)
    if through is None or age is None:
        return Lasting(unknown(name, f"<= {bound}", _UNTRAINED), None)
    reason = f"{age} partition(s) since the champion's training data ended, {bound} allowed"
    opened = Partition.parse(through, known.grain).shift(bound + 1).key
    incident = Incident(signal=name, opened=opened) if age > bound else None
    return Lasting(rule(name, age > bound, f"<= {bound}", reason, age), incident)


def every(policy: Retrain, known: Known) -> Check:
    """Ask for retraining each so many partitions, counted from the last attempt."""
    name, due = "every", policy.when.every
    if due is None:
        return off(name)
    age, since = known.since(known.last_attempt), "the last attempt"
    if age is None:
        age, since = known.since(known.trained_through), "the champion's training data ended"
    if age is None:
        return unknown(name, f"< {due}", _UNTRAINED)
    return rule(name, age >= due, f"< {due}", f"{age} partition(s) since {since}, due at {due}", age)


def cron(policy: Retrain, known: Known) -> Check:
    """Ask for retraining if a cron has fired since the last attempt, up to the end of the partition."""
    from croniter import croniter

    name, expression = "cron", policy.when.cron
    if expression is None:
        return off(name)
    since = known.last_attempt or known.trained_through
    if since is None:
        return unknown(name, "not due", _UNTRAINED)
    after, now = (Partition.parse(key, known.grain).end for key in (since, known.partition))
    due = datetime.fromtimestamp(croniter(expression, after.timestamp()).get_next(float), UTC)
    reason = (
        f"after {since}, {expression!r} fires at {due:%Y-%m-%d %H:%M} UTC; "
        f"{known.partition} ends at {now:%Y-%m-%d %H:%M}"
    )
    return rule(name, due <= now, "not due", reason)


def rows(policy: Retrain, known: Known) -> Check:
    """Ask for retraining once so many labels have matured since the last one."""
    name, due = "rows", policy.when.rows
    if due is None:
        return off(name)
    if known.fresh is None:
        return unknown(name, f"< {due}", "new rows were not counted")
    new = known.fresh.rows
    reason = f"{new:,} rows whose labels have matured since the last training, due at {due:,}"
    return rule(name, new >= due, f"< {due}", reason, new)
