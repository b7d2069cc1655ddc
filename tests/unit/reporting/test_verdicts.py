from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import pytest

from airflow_mlops.cli.doctor.diagnosis import Condition
from airflow_mlops.domain.checks import Outcome, Severity, Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.retraining import ANSWER, HOLDS, JUDGED_AGAIN, MODE, VERSION, Situation
from airflow_mlops.domain.policies.retraining import retrain
from airflow_mlops.domain.spec.retrain import Retrain
from airflow_mlops.reporting.alerts.notice import Status
from airflow_mlops.reporting.pages import PALETTE
from airflow_mlops.reporting.verdicts import (
    COLOURS,
    Tone,
    appearance,
    css,
    gravest_first,
    observed,
    of_check,
    of_result,
    subject,
)
from notices import make_check, make_result

# How people see who lack one kind of cones: Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of
# Color Vision Deficiency (2009), severity 1, for linear RGB.
VISIONS = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(colour: str) -> list[float]:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2, from 1 to 21."""
    weights = (0.2126, 0.7152, 0.0722)
    light, dark = sorted(
        (sum(w * part for w, part in zip(weights, linear(colour), strict=True)) for colour in (one, other)),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


def seen(colour: str, vision: str) -> tuple[float, float, float]:
    """Return a colour as somebody sees it, in CIE L*a*b*."""
    red, green, blue = (
        min(1.0, max(0.0, sum(w * part for w, part in zip(row, linear(colour), strict=True))))
        for row in VISIONS[vision]
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    a, b, c = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return 116 * b - 16, 500 * (a - b), 200 * (b - c)


def apart(one: str, other: str, vision: str) -> float:
    """Return how far two colours are apart for somebody; 2.3 can just be noticed."""
    sides = (seen(one, vision), seen(other, vision))
    return sum((a - b) ** 2 for a, b in zip(*sides, strict=True)) ** 0.5


@pytest.mark.parametrize("tone", Tone)
def test_text_in_the_colour_of_a_verdict_is_readable(tone: Tone) -> None:
    colours = COLOURS[tone]
    for background, colour, least in (
        *((back, colours.light, 4.5) for back in ("#ffffff", "#f5f7f9")),
        *((back, colours.dark, 4.5) for back in ("#14181f", "#1c222b")),
        *((back, colours.terminal, 3.0) for back in ("#000000", "#ffffff")),
    ):
        assert contrast(colour, background) >= least, (tone, colour, background)
    assert all(back in PALETTE for back in ("#f5f7f9", "#14181f", "#1c222b"))


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("kind", ["light", "dark", "terminal"])
def test_everyone_can_tell_the_colours_of_verdicts_apart(vision: str, kind: str) -> None:
    colours = {tone: getattr(COLOURS[tone], kind) for tone in Tone}
    for one, other in combinations(Tone, 2):
        least = 10 if Tone.PLAIN in (one, other) else 14
        assert apart(colours[one], colours[other], vision) >= least, (one, other)


def test_the_test_of_colours_sees_a_red_and_a_green_that_some_people_cannot_tell_apart() -> None:
    assert apart("#8a6400", "#a03000", "usual") > 14 > apart("#8a6400", "#a03000", "no green")


def test_signs_tell_tones_apart_without_colours() -> None:
    looks = [appearance(word) for word in ("PASS", "FAIL", "WARN", "INCONCLUSIVE", "kept")]
    assert len({look.sign for look in looks}) == len(Tone) == len({look.tone for look in looks})
    assert [str(look) for look in looks] == ["✓ PASS", "✗ FAIL", "! WARN", "? INCONCLUSIVE", "– kept"]


@pytest.mark.parametrize("kind", [Verdict, Outcome, Severity, Action, Condition, Status])
def test_whatever_can_be_decided_has_an_appearance_that_keeps_its_word(kind: Iterable[str]) -> None:
    for member in kind:
        assert appearance(member).word == str(member)


def test_the_first_word_that_has_an_appearance_gives_it_to_the_first_of_all() -> None:
    assert appearance("CHAMPION CHANGED", Status.FAILED) == ("✗", "CHAMPION CHANGED", Tone.BAD)
    with pytest.raises(KeyError, match="nonsense"):
        appearance("nonsense")


def test_a_rule_of_the_retrain_policy_asks_and_a_hold_holds_back() -> None:
    answer = retrain(Retrain(), Situation(partition="2013-01", grain="month", has_champion=False))
    names = {check.name for check in answer.checks}
    assert names >= HOLDS
    looks = {check.name: of_check(check).word for check in answer.checks}
    assert looks["retrain.first_model"] == "asks to train"
    assert looks["retrain.requested"] == "does not ask"
    assert looks["retrain.cooldown"] == "does not hold back"
    assert not set(looks.values()) & set(Verdict)
    assert of_check(make_check("retrain.budget", Verdict.FAIL)).word == "holds back"
    assert of_check(make_check("retrain.cron", Verdict.INCONCLUSIVE)).word == "not known"
    assert of_check(make_check(VERSION, Verdict.FAIL)).word == "is to be judged"
    assert of_check(make_check(JUDGED_AGAIN, Verdict.FAIL)).word == "is judged again"
    assert of_check(make_check(JUDGED_AGAIN)).word == "nothing to judge again"
    assert of_check(make_check(MODE, Verdict.INCONCLUSIVE)).word == "a person decides"
    assert of_check(make_check(ANSWER, Verdict.INCONCLUSIVE)).word == "no answer"


@pytest.mark.parametrize(
    ("severity", "unexpected", "shown"),
    [
        (Severity.BLOCK, 3, "✗ FAIL"),
        (Severity.QUARANTINE, 3, "! QUARANTINE"),
        (Severity.QUARANTINE, None, "✗ FAIL"),
        (Severity.WARN, 3, "! WARN"),
    ],
)
def test_an_expectation_looks_as_grave_as_what_follows_from_it(
    severity: Severity, unexpected: int | None, shown: str
) -> None:
    broken = make_result(severity=severity, unexpected=unexpected)
    assert str(of_result(broken)) == shown
    assert str(of_result(make_result(severity=severity, outcome=Outcome.PASS))) == "✓ PASS"
    assert str(of_result(make_result(severity=severity, outcome=Outcome.ERROR))) == "? ERROR"


def test_a_check_is_named_with_the_part_of_the_data_that_it_is_about() -> None:
    assert subject(make_check("floor.roc_auc")) == "floor.roc_auc"
    assert subject(make_check("floor.roc_auc", slice="origin=LGA")) == "floor.roc_auc of origin=LGA"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("floor.roc_auc", 0.71234, "0.7123"),
        ("floor.roc_auc", None, ""),
        ("blessing", 0.0, "no difference"),
        ("blessing", 1e-9, "at most 1e-09 apart"),
        ("leakage.rows", 0.0, "0 rows"),
        ("predictions", 1.0, "1 row"),
        ("retrain.every", 3.0, ""),
    ],
)
def test_what_was_observed_is_said_with_what_it_is(name: str, value: float | None, said: str) -> None:
    assert observed(make_check(name, observed=value)) == said


def test_what_failed_is_read_first() -> None:
    checks = [make_check(verdict, verdict) for verdict in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)]
    assert [check.name for check in gravest_first(checks)] == ["FAIL", "INCONCLUSIVE", "PASS"]


def test_a_page_colours_every_tone_in_the_light_and_in_the_dark() -> None:
    light, _, dark = css().partition("prefers-color-scheme: dark")
    for tone, colours in COLOURS.items():
        assert f"--{tone}: {colours.light};" in light
        assert f"--{tone}: {colours.dark};" in dark
        assert f".{tone} {{ color: var(--{tone}); }}" in dark
