from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict, overall
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    HealthReport,
    PromotionDecision,
    TrainingData,
)
from airflow_mlops.domain.facts.retraining import ANSWER, Fresh, Situation, declined, steps
from airflow_mlops.domain.facts.scoring import WINDOWS
from airflow_mlops.domain.policies.incidents import of_signal
from airflow_mlops.domain.policies.retraining import PolicyAnswer, retrain
from airflow_mlops.domain.spec.model import KofN, Retrain, RetrainWhen
from airflow_mlops.domain.spec.retrain import Mode
from airflow_mlops.exceptions import SpecError

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
VERDICTS = {"p": PASS, "F": FAIL, "?": INCONCLUSIVE}
HERE = "2013-06"
ONCE, OFTEN = KofN(1, 1), KofN(2, 3)
NAMES = (
    "first_model", "requested", "drift", "performance", "baseline", "concept", "intervals", "staleness", "every", "cron", "growth", "rows",
    "cooldown", "incident", "budget", "new_data", "enough_data", "mode",
)  # fmt: skip


def policy(**settings: Any) -> Retrain:
    """Return a policy of only the rules that are named."""
    when = {name: settings.pop(name) for name in list(settings) if name in RetrainWhen.model_fields}
    return Retrain(when=RetrainWhen(**when), **settings)


def check(name: str, verdict: Verdict) -> Check:
    return Check(name=name, verdict=verdict, expected="e", reason="r")


def health(**signals: str) -> list[HealthReport]:
    """Return reports whose verdicts are letters, the newest last, up to June; the newest report first."""
    length = max(map(len, signals.values()), default=0)
    found = []
    for back in range(length):
        said = {name: VERDICTS[letters[-1 - back]] for name, letters in signals.items()}
        others = [check(name, said[name]) for name in ("baseline", "concept", "intervals") if name in said]
        found.append(
            HealthReport(
                model="flights",
                partition=f"2013-{6 - back:02}",
                champion=None,
                verdict=overall(
                    check(name, said.get(name, PASS)) for name in ("drift", "performance", "staleness")
                ),
                drift=check("drift", said.get("drift", PASS)),
                performance=check("performance", said.get("performance", PASS)),
                staleness=check("staleness", PASS),
                others=tuple(others),
                reason="r",
            )  # fmt: skip
        )
    return found


def decision(partition: str, action: Action, checks: tuple[Check, ...] = ()) -> PromotionDecision:
    return PromotionDecision(
        model="flights", partition=partition, action=action, before=None, after=None, reason="r", checks=checks
    )  # fmt: skip


def refused(*partitions: str) -> list[PromotionDecision]:
    return [decision(partition, Action.REFUSED) for partition in partitions]


def answer(rules: Retrain, **facts: Any) -> PolicyAnswer:
    usual: dict[str, Any] = {
        "partition": HERE,
        "grain": "month",
        "has_champion": True,
        "trained_through": "2013-05",
    }
    return retrain(rules, Situation(**usual | facts))


def found(given: PolicyAnswer, name: str) -> Check:
    return next(each for each in given.checks if each.name == f"retrain.{name}")


@pytest.mark.parametrize(
    ("rules", "facts", "expected", "because"),
    [
        (policy(), {"has_champion": False}, True, "first_model: there is no champion yet"),
        (policy(), {}, False, "no rule asks for it: the policy has none"),
        (policy(every=3), {"trained_through": "2013-03"}, True, "due at 3"),
        (policy(every=3), {"trained_through": "2013-04"}, False, "due at 3"),
        (policy(every=3), {"trained_through": None}, False, "not known"),
        (policy(every=3), {"trained_through": "2012-01", "decisions": refused("2013-04")}, False, "2 partitions since the last attempt"),
        (policy(every=3), {"decisions": refused("2013-03")}, True, "due at 3"),
        (policy(drift=OFTEN), {"health": health(drift="pFF")}, True, "drift: 2 of the last 3 failed"),
        (policy(drift=OFTEN), {"health": health(performance="FF", drift="pp")}, False, "0 of the last 3"),
        (policy(drift=OFTEN), {}, False, "no partition yet"),
        (policy(performance=ONCE), {"health": health(performance="F")}, True, "performance: 1 of"),
        (policy(performance=ONCE), {"health": health(performance="?")}, False, "INCONCLUSIVE"),
        (policy(baseline=OFTEN), {"health": health(baseline="FpF")}, True, "baseline: 2 of the last 3"),
        (policy(concept=ONCE), {"health": health(concept="F")}, True, "concept: 1 of"),
        (policy(concept=ONCE), {"health": health(drift="F")}, False, "INCONCLUSIVE"),
        (policy(intervals=ONCE), {"health": health(intervals="F")}, True, "intervals: 1 of"),
        (policy(staleness=2), {"trained_through": "2013-03"}, True, "staleness: 3 partitions"),
        (policy(staleness=2), {"trained_through": "2013-04"}, False, "2 allowed"),
        (policy(staleness=2), {"trained_through": None}, False, "not known"),
        (policy(rows=1000), {"fresh": Fresh(1000, False)}, True, "rows: 1,000 rows"),
        (policy(rows=1000), {"fresh": Fresh(999, True)}, False, "due at 1,000"),
        (policy(rows=1000), {}, False, "not counted"),
        (policy(), {"force": True, "reason": "new labels"}, True, "requested: new labels"),
        (policy(), {"force": True}, True, "without a reason"),
        (policy(), {"reason": "please"}, False, "the policy has none"),
    ],
)  # fmt: skip
def test_any_rule_retrains_and_the_answer_says_why_or_why_not(
    rules: Retrain, facts: dict[str, Any], expected: bool, because: str
) -> None:
    given = answer(rules, **facts)
    assert given.retrain is expected
    assert because in given.reason
    assert [each.name for each in given.checks] == [f"retrain.{name}" for name in NAMES]


@pytest.mark.parametrize(
    ("cron", "since", "expected"),
    [
        ("0 0 1 * *", "2013-05", True),
        ("0 0 1 */3 *", "2013-03", True),  # July the first is when June ends
        ("0 0 1 1 *", "2013-05", False),
        ("0 0 2 7 *", "2013-01", False),
        ("0 0 1 6 *", "2013-05", False),  # fired when May ended, which that training has seen
        ("59 23 30 6 *", "2013-05", True),
    ],
)
def test_a_cron_is_due_if_it_fired_after_the_last_training_and_up_to_the_partitions_end(
    cron: str, since: str, expected: bool
) -> None:
    given = answer(policy(cron=cron), trained_through="2013-01", decisions=refused(since))
    assert given.retrain is expected
    assert cron in given.reason


@pytest.mark.parametrize(("here", "expected"), [("2024-03-30", False), ("2024-03-31", True)])
def test_a_cron_fires_in_the_time_zone_of_the_partitions(here: str, expected: bool) -> None:
    # In UTC it fires after the end of the day in Berlin.
    rules, grain = policy(cron="0 23 31 3 *"), "day Europe/Berlin"
    given = answer(rules, partition=here, grain=grain, trained_through="2024-03-01")
    assert given.retrain is expected
    assert "fires at 2024-03-31 23:00 Europe/Berlin" in given.reason


@pytest.mark.parametrize("cron", ["0 0 * * thu", "30 4 1 mar,apr *", "0 0 * * 1#1"])
def test_a_cron_may_name_days_and_months(cron: str) -> None:
    rules = Retrain.from_dict({"when": {"cron": cron}})
    assert rules.when.cron == cron
    assert answer(rules, trained_through="2012-01").retrain


@pytest.mark.parametrize("cron", ["* * * *", "0 0 31 2 *", "0 0 r * *", "h 0 * * *", "61 * * * *", "daily"])
def test_what_is_no_cron_is_refused_by_the_spec(cron: str) -> None:
    with pytest.raises(SpecError, match=r"when\.cron.*no cron of five fields"):
        Retrain.from_dict({"when": {"cron": cron}})


@pytest.mark.parametrize(
    ("rules", "facts", "hold"),
    [
        (policy(drift=ONCE, cooldown=1), {"decisions": refused("2013-05"), "health": health(drift="pF")}, "cooldown"),
        (policy(drift=ONCE), {"decisions": refused("2013-05"), "health": health(drift="FF")}, "incident"),
        (policy(drift=ONCE, budget=KofN(1, 3)), {"decisions": refused("2013-04"), "health": health(drift="pF")}, "budget"),
        (policy(drift=ONCE, skip_unchanged=True), {"fresh": Fresh(0, False), "health": health(drift="F")}, "new_data"),
        (policy(drift=ONCE, mode=Mode.OFF), {"health": health(drift="F")}, "mode"),
        (policy(drift=ONCE), {"shortage": "3 rows", "health": health(drift="F")}, "enough_data"),
    ],
)  # fmt: skip
def test_a_hold_keeps_an_automatic_retrain_back_and_a_request_ignores_it(
    rules: Retrain, facts: dict[str, Any], hold: str
) -> None:
    held = answer(rules, **facts)
    assert not held.retrain
    assert found(held, hold).verdict is FAIL
    assert "though" in held.reason
    assert "drift: 1 of the last 1 failed" in held.reason
    assert found(held, hold).reason in held.reason
    assert answer(rules, **facts, force=True).retrain
    if hold != "enough_data":
        assert answer(rules, **facts | {"has_champion": False}).retrain


@pytest.mark.parametrize(
    ("rules", "facts"),
    [
        (policy(drift=ONCE, cooldown=1), {"decisions": refused("2013-04"), "health": health(drift="pF")}),
        (policy(drift=ONCE, budget=KofN(1, 3)), {"decisions": refused("2013-03"), "health": health(drift="pF")}),
        (policy(drift=ONCE, budget=KofN(1, 3)), {"decisions": refused("2013-06"), "health": health(drift="pF")}),
        (policy(drift=ONCE, skip_unchanged=True), {"fresh": Fresh(1, False), "health": health(drift="F")}),
        (policy(drift=ONCE, skip_unchanged=True), {"fresh": Fresh(0, True), "health": health(drift="F")}),
        (policy(drift=ONCE, skip_unchanged=True), {"health": health(drift="F")}),
    ],
)  # fmt: skip
def test_a_hold_that_has_passed_or_is_not_known_keeps_nothing_back(
    rules: Retrain, facts: dict[str, Any]
) -> None:
    assert answer(rules, **facts).retrain


@pytest.mark.parametrize(
    ("drift", "attempts", "settings", "expected"),
    [
        ("FF", [], {}, True),
        ("FFF", ["2013-04"], {}, False),
        ("F?F", ["2013-04"], {}, False),
        ("FpF", ["2013-04"], {}, True),
        ("FpF", ["2013-04"], {"clear": 2}, False),
        ("pF", ["2013-05"], {}, True),
        ("FFF", ["2013-04"], {"again": 2}, True),
        ("FFF", ["2013-04"], {"again": 3}, False),
        ("FFFF", ["2013-03", "2013-05"], {"again": 2}, False),
    ],
)
def test_one_incident_is_one_retraining_until_it_is_over_or_may_be_tried_again(
    drift: str, attempts: list[str], settings: dict[str, Any], expected: bool
) -> None:
    rules = policy(drift=ONCE, **settings)
    given = answer(rules, health=health(drift=drift), decisions=refused(*attempts))
    assert given.retrain is expected
    assert "drift/2013-0" in found(given, "incident").reason


@pytest.mark.parametrize(
    ("performance", "attempts", "expected"),
    [
        # Opened in February: an attempt after 1, 2, then 4 partitions.
        ("FFFFF", ["2013-02"], True),
        ("FF", ["2013-05"], True),
        ("FFFFF", ["2013-02", "2013-03", "2013-05"], False),
        ("FFFFF", ["2013-02", "2013-04"], True),
        ("FFFFF", ["2013-02", "2013-05"], False),
        # Over in between: measured loss that is new is answered at once, whatever came of earlier trainings.
        ("FFFpF", ["2013-02", "2013-03", "2013-04"], True),
        ("pF", ["2013-01", "2013-02", "2013-05"], True),
    ],
)
def test_an_incident_that_lasts_is_tried_again_after_twice_as_long_each_time(
    performance: str, attempts: list[str], expected: bool
) -> None:
    given = answer(
        policy(performance=ONCE, again="growing"),
        health=health(performance=performance),
        decisions=refused(*attempts),
    )
    assert given.retrain is expected
    if not expected:
        assert "did not help" in found(given, "incident").reason


@pytest.mark.parametrize(
    ("signals", "cut", "delay", "expected"),
    [
        # The holdout is the partition in which it was first seen: nothing of it would be learned.
        ({"performance": "pF"}, "2013-06-01", 0, False),
        ({"performance": "FF"}, "2013-06-01", 0, True),
        # Rows of the last week have no label yet.
        ({"performance": "pF"}, "2013-06-01", 7, False),
        ({"performance": "FF"}, "2013-06-01", 7, True),
        ({"performance": "pF"}, "2013-05-01", 35, False),
        ({"performance": "FF"}, "2013-05-01", 35, True),
        # A holdout of half a year is not waited for.
        ({"performance": "FFF"}, "2013-01-01", 0, False),
        ({"performance": "FFFF"}, "2013-01-01", 0, True),
        ({"drift": "pF"}, "2013-06-01", 35, False),
        # Measured loss that began before is learned from, whatever drifts by now.
        ({"drift": "pF", "performance": "FF"}, "2013-06-01", 0, True),
    ],
)
def test_a_problem_is_answered_once_a_training_would_learn_from_it(
    signals: dict[str, str], cut: str, delay: int, expected: bool
) -> None:
    facts = {"cut": datetime.fromisoformat(cut).replace(tzinfo=UTC), "delay": timedelta(days=delay)}
    rules = policy(drift=ONCE, performance=ONCE, again="growing")
    given = answer(rules, health=health(**signals), **facts)
    assert given.retrain is expected
    if not expected:
        assert f"its rows end at {cut} 00:00 UTC" in found(given, "incident").reason
    # Without that it is answered at once, as ever.
    assert answer(policy(drift=ONCE, performance=ONCE), health=health(**signals), **facts).retrain
    assert answer(rules, health=health(**signals), force=True, **facts).retrain


def test_drift_for_which_trainings_do_not_help_asks_ever_more_rarely_also_if_it_comes_and_goes() -> None:
    rules = policy(drift=ONCE, again="growing")
    seasonal = health(drift="FpFpF")
    assert answer(rules, health=seasonal, decisions=refused("2013-02", "2013-04")).retrain
    vain = refused("2012-11", "2012-12", "2013-02", "2013-04")
    assert not answer(rules, health=seasonal, decisions=vain).retrain
    helped = [*vain, decision("2013-05", Action.PROMOTED)]
    assert answer(rules, health=seasonal, decisions=helped).retrain


def test_a_problem_that_gets_worse_in_kind_is_tried_again_at_once() -> None:
    rules = policy(drift=ONCE, performance=ONCE, again="growing")
    vain = refused("2013-02", "2013-03", "2013-05")
    assert not answer(rules, health=health(drift="FFFFF"), decisions=vain).retrain
    assert answer(rules, health=health(drift="FFFFF", performance="ppppF"), decisions=vain).retrain


@pytest.mark.parametrize(
    ("cut", "expected"),
    [("2013-02-01", True), ("2013-02-16", False), ("2013-06-01", False), ("2013-01-01", None)],
)
def test_more_data_asks_for_retraining_once_it_reaches_many_times_as_far(
    cut: str, expected: bool | None
) -> None:
    learned = training_data(start="2013-01-01", cut=cut)
    attempt = decision("2013-03", Action.REFUSED).model_copy(update={"trained_on": learned})
    given = answer(policy(growth=4), decisions=[attempt])
    assert given.retrain is bool(expected)
    verdict = found(given, "growth").verdict
    assert verdict is {True: FAIL, False: PASS, None: INCONCLUSIVE}[expected]
    assert answer(policy(growth=4)).reason.startswith("no rule asks for it: growth: it is not known")


@pytest.mark.parametrize(
    ("cut", "action", "performance", "asks", "since"),
    [
        ("2013-05-01", Action.PROMOTED, "ppFFp", True, "since the champion before began to fail"),
        # Two of three months are learned from.
        ("2013-05-20", Action.PROMOTED, "ppFFp", False, "since the champion before began to fail"),
        ("2013-05-01", Action.REFUSED, "ppFFp", False, "learned from, 2012-07-01"),
        ("2013-05-01", Action.PROMOTED, "ppppp", False, "learned from, 2012-07-01"),
        # It was over before the training.
        ("2013-05-01", Action.PROMOTED, "pFppp", False, "learned from, 2012-07-01"),
        # It has learned from nothing that is new.
        ("2013-04-01", Action.PROMOTED, "ppFFp", False, "learned from, 2012-07-01"),
    ],
)
def test_who_replaced_a_failing_champion_has_a_successor_once_there_is_twice_as_much_of_what_is_new(
    cut: str, action: Action, performance: str, asks: bool, since: str
) -> None:
    attempt = decision("2013-05", action).model_copy(
        update={"trained_on": training_data(start="2012-07-01", cut=cut)}
    )
    answered = answer(
        policy(growth=4, performance=ONCE), health=health(performance=performance), decisions=[attempt]
    )
    growth = found(answered, "growth")
    assert (answered.retrain, growth.verdict) == (asks, FAIL if asks else PASS)
    assert since in growth.reason


def test_where_nothing_could_be_learned_of_a_problem_yet_age_is_no_reason_either() -> None:
    rules = policy(growth=4, performance=ONCE, again="growing")
    facts = {
        "health": health(performance="pF"),
        "decisions": [
            decision("2013-02", Action.PROMOTED).model_copy(
                update={"trained_on": training_data(start="2013-01-01", cut="2013-02-01")}
            )
        ],
    }
    early = answer(rules, cut=datetime(2013, 6, 1, tzinfo=UTC), **facts)
    assert (early.retrain, found(early, "growth").verdict) == (False, FAIL)
    assert "performance/2013-06 has begun" in early.reason
    assert answer(rules, cut=datetime(2013, 6, 20, tzinfo=UTC), **facts).retrain


def training_data(start: str, cut: str) -> TrainingData:
    dataset = DatasetVersion(
        name="flights", uri="file:///data", version=1, grain="month", partition="2013-03", rows=1, digest="d",
        columns={"x": "double"}, key=("id",), event_time="at",
    )  # fmt: skip
    first, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, cut))
    return TrainingData(dataset=dataset, start=first, cut=end, features=("x",))


def test_a_training_that_broke_has_answered_no_incident() -> None:
    broke = [decision("2013-05", Action.FAILED)]
    assert answer(policy(drift=ONCE), health=health(drift="FF"), decisions=broke).retrain


def test_another_problem_or_a_date_retrains_within_an_answered_incident() -> None:
    facts = {"decisions": refused("2013-05")}
    weak = health(drift="FF", performance="pF")
    assert answer(policy(drift=ONCE, performance=ONCE), health=weak, **facts).retrain
    assert answer(policy(drift=ONCE, every=1), health=weak, **facts).retrain
    assert not answer(policy(drift=ONCE, every=2), health=weak, **facts).retrain


def test_an_old_champion_is_retried_after_as_long_as_its_age_was_allowed_and_not_each_month() -> None:
    rules = policy(staleness=2)
    stale = {"trained_through": "2013-01"}
    held = answer(rules, **stale, decisions=refused("2013-05"))
    assert not held.retrain
    assert "2 partitions after that" in held.reason
    assert answer(rules, **stale, decisions=refused("2013-04")).retrain
    assert answer(rules, **stale, decisions=refused("2013-03")).retrain


def test_a_suggestion_is_left_to_a_person_and_asked_once() -> None:
    rules = policy(drift=ONCE, every=2, mode=Mode.SUGGEST)
    given = answer(rules, health=health(drift="F"))
    assert not given.retrain
    assert found(given, "mode").verdict is INCONCLUSIVE
    assert "a person decides (mode: suggest), though drift" in given.reason
    kept = decision("2013-05", Action.KEPT, (*given.checks, check(ANSWER, PASS)))
    assert declined(kept)
    later = answer(rules, health=health(drift="FF"), decisions=[kept])
    assert found(later, "mode").verdict is PASS
    assert found(later, "incident").verdict is FAIL
    assert found(later, "every").observed == 1


def test_a_suggestion_that_nobody_has_answered_is_made_again() -> None:
    rules = policy(drift=ONCE, every=2, mode=Mode.SUGGEST)
    first = answer(rules, health=health(drift="F"))
    lapsed = decision("2013-05", Action.KEPT, (*first.checks, check(ANSWER, INCONCLUSIVE)))
    again = answer(rules, health=health(drift="FF"), decisions=[lapsed])
    assert found(again, "mode").verdict is INCONCLUSIVE
    assert found(again, "cooldown").observed is None


def test_nobody_is_asked_where_nothing_would_follow() -> None:
    rules = policy(drift=ONCE, mode=Mode.SUGGEST, cooldown=3)
    for facts in (
        {"health": health(drift="p")},
        {"health": health(drift="F"), "decisions": refused("2013-05")},
        {"health": health(drift="F"), "shortage": "3 rows"},
        {"health": health(drift="F"), "force": True},
    ):
        assert found(answer(rules, **facts), "mode").verdict is PASS


def test_what_a_challenger_has_learned_is_not_what_the_last_training_has_seen() -> None:
    def told(made: PromotionDecision, version: int) -> PromotionDecision:
        data = {
            "name": "flights",
            "uri": "file:///t",
            "version": version,
            "grain": "month",
            "partition": made.partition,
        }
        data |= {"rows": 1, "digest": "d", "columns": {}, "key": ["flight"], "event_time": "departure"}
        times = {"start": "2012-01-01T00:00:00Z", "cut": "2013-01-01T00:00:00Z"}
        seen = {"dataset": data, "features": ["distance"], **times}
        return made.model_copy(update={"trained_on": TrainingData.from_dict(seen)})

    history = [
        told(decision("2013-02", Action.CHALLENGING), 2),
        told(refused("2013-04")[0], 4),
        told(decision("2013-05", Action.PROMOTED, (check(WINDOWS, PASS),)), 2),
    ]
    situation = Situation(HERE, "month", True, decisions=history)
    assert situation.seen is not None
    assert (situation.last_attempt, situation.seen.version) == ("2013-04", 4)


def test_the_present_and_the_future_do_not_count() -> None:
    future = refused("2013-06", "2013-07")
    given = answer(policy(drift=ONCE, cooldown=9), health=health(drift="F"), decisions=future)
    assert given.retrain
    assert found(given, "cooldown").observed is None


@pytest.mark.parametrize(
    ("first", "last", "grain", "expected"),
    [
        ("2013-01", "2013-01", "month", 0),
        ("2013-01", "2014-01", "month", 12),
        ("2013-02-27", "2013-03-01", "day", 2),
        ("2012-12-31", "2013-01-14", "week", 2),
        ("2013-03-30T23", "2013-03-31T04", "hour", 5),
    ],
)
def test_partitions_are_counted_by_the_calendar(first: str, last: str, grain: str, expected: int) -> None:
    assert steps(first, last, grain) == expected


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("clear", [1, 2])
def test_over_any_history_there_is_one_retraining_an_incident(seed: int, clear: int) -> None:
    """Walk through a hundred days, one decision after the other, each seeing only what came before."""
    days = [f"2013-{1 + day // 28:02}-{1 + day % 28:02}" for day in range(100)]
    verdicts = Random(seed).choices([PASS, FAIL, INCONCLUSIVE], weights=[4, 3, 1], k=len(days))
    rules, decisions, reports = policy(drift=OFTEN, clear=clear), [], []
    for day, verdict in zip(days, verdicts, strict=True):
        reports.insert(
            0, health(drift="p")[0].model_copy(update={"partition": day, "drift": check("d", verdict)})
        )
        given = answer(
            rules, partition=day, grain="day", trained_through=days[0], health=reports, decisions=decisions
        )
        decisions.append(decision(day, Action.REFUSED if given.retrain else Action.KEPT))
    trained = [each.partition for each in decisions if each.action is Action.REFUSED]
    opened = of_signal("drift", zip(days, verdicts, strict=True), OFTEN, clear)
    assert trained == [each.opened for each in opened]
    assert len(trained) > 1
