"""How verdicts look: one word, one sign and one colour for each, in every log, table, page, mail and card."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check, Outcome, Severity, Verdict
from airflow_mlops.domain.facts.evidence import AGAIN
from airflow_mlops.domain.facts.retraining import ANSWER, HOLDS, JUDGED_AGAIN, MODE, VERSION
from airflow_mlops.reporting.words import number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mlops.domain.facts.validation import ExpectationResult


WARN = "WARN"
"""The word for what passes, with something that people should know."""


class Tone(StrEnum):
    """What a verdict means for its reader; also the class of its colour on a page."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    OPEN = "open"
    PLAIN = "plain"


class Colours(NamedTuple):
    """The colour of a tone: on white pages and in mails, on dark pages, and on terminals, be they light or dark."""

    light: str
    dark: str
    terminal: str


# Hues of the palette of Okabe and Ito (Color Universal Design, 2008): bluish green, vermilion, orange, blue. They are made
# darker, or lighter, until text in them is readable, and until people who see no red or no green tell them apart by lightness.
COLOURS = {
    Tone.GOOD: Colours("#007a5e", "#2fd3a5", "#009e73"),
    Tone.BAD: Colours("#8f1d00", "#ff7a4d", "#c43c00"),
    Tone.WARN: Colours("#946a00", "#ffdd66", "#b98a00"),
    Tone.OPEN: Colours("#00539f", "#8ab4f8", "#3f7fe0"),
    Tone.PLAIN: Colours("#5b6675", "#a3adba", "#7d7d85"),
}
"""The colour of each tone. Contrast with its background is 4.5 and more on pages, 3 and more on terminals (WCAG 2)."""


class Appearance(NamedTuple):
    """How something that was decided looks to people.

    :param sign: says it without the colour.
    """

    sign: str
    word: str
    tone: Tone

    def __str__(self) -> str:
        return f"{self.sign} {self.word}"

    @property
    def terminal(self) -> str:
        """Its colour on a terminal, as a style of rich."""
        return COLOURS[self.tone].terminal


_SIGNS = {Tone.GOOD: "✓", Tone.BAD: "✗", Tone.WARN: "!", Tone.OPEN: "?", Tone.PLAIN: "–"}

# Verdicts, outcomes, severities, actions of decisions, states of notices and runs, results of the doctor, and badges of mails.
_WORDS: dict[Tone, tuple[str, ...]] = {
    Tone.GOOD: ("PASS", "promoted", "restored", "adopted", "recovered", "success"),
    Tone.BAD: ("FAIL", "block", "failed", "bad health", "not rolled back"),
    Tone.WARN: (WARN, "warned", "quarantine", "refused", "rolled back", "dropped", "overridden"),
    Tone.OPEN: ("INCONCLUSIVE", "ERROR", "challenging", "beside", "approval", "retrain", "waiting"),
    Tone.PLAIN: ("kept", "recorded", "news", "skipped", "none"),
}
_TONES = {word.casefold(): tone for tone, words in _WORDS.items() for word in words}

# A rule of the retrain policy asks for a training or does not; a hold keeps one back or does not. Neither passes or fails.
_RULES = {
    Verdict.FAIL: Appearance("→", "asks to train", Tone.OPEN),
    Verdict.PASS: Appearance("–", "does not ask", Tone.PLAIN),
    Verdict.INCONCLUSIVE: Appearance("?", "not known", Tone.OPEN),
}
_HOLDS = {
    Verdict.FAIL: Appearance("!", "holds back", Tone.WARN),
    Verdict.PASS: Appearance("–", "does not hold back", Tone.PLAIN),
    Verdict.INCONCLUSIVE: Appearance("?", "not known", Tone.OPEN),
}
_ELSEWHERE = {
    Verdict.FAIL: Appearance("→", "is to be judged", Tone.OPEN),
    Verdict.PASS: Appearance("–", "nothing to judge", Tone.PLAIN),
    Verdict.INCONCLUSIVE: Appearance("?", "not known", Tone.OPEN),
}
_JUDGED_AGAIN = {
    Verdict.FAIL: Appearance("→", "is judged again", Tone.OPEN),
    Verdict.PASS: Appearance("–", "nothing to judge again", Tone.PLAIN),
    Verdict.INCONCLUSIVE: Appearance("?", "not known", Tone.OPEN),
}
_UNANSWERED = {
    MODE: Appearance("?", "a person decides", Tone.OPEN),
    ANSWER: Appearance("?", "no answer", Tone.OPEN),
}


def appearance(*words: str) -> Appearance:
    """Return the look of the first of some words that has one; it keeps the first word.

    :param words: values of :class:`~airflow_mlops.domain.checks.Verdict`, ``Outcome``, ``Severity``, ``Action`` and of what
        else is decided or ends, in any case.
    :raises KeyError: if none of them has one.
    """
    tone = next((_TONES[word.casefold()] for word in words if word.casefold() in _TONES), None)
    if tone is None:
        raise KeyError(f"{' and '.join(words)} have no appearance")
    return Appearance(_SIGNS[tone], str(words[0]), tone)


def of_check(check: Check) -> Appearance:
    """Return the look of a check: of a rule of the retrain policy what it asks for, of all others their verdict."""
    if not check.name.startswith("retrain."):
        return appearance(check.verdict)
    if check.verdict is Verdict.INCONCLUSIVE and check.name in _UNANSWERED:
        return _UNANSWERED[check.name]
    if check.name == VERSION:
        return _ELSEWHERE[check.verdict]
    if check.name == JUDGED_AGAIN:
        return _JUDGED_AGAIN[check.verdict]
    return (_HOLDS if check.name in HOLDS else _RULES)[check.verdict]


def of_result(result: ExpectationResult) -> Appearance:
    """Return the look of an expectation: one that does not hold looks as grave as what follows from it."""
    if result.outcome is not Outcome.FAIL or result.severity is Severity.BLOCK:
        return appearance(result.outcome)
    # Without rows to set aside, the partition is stopped.
    aside = result.severity is Severity.QUARANTINE
    return appearance(Outcome.FAIL if aside and result.unexpected is None else result.severity.upper())


def gravest_first(checks: Iterable[Check]) -> list[Check]:
    """Return checks in the order in which people read them: what failed, what is not known, what passed."""
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    return sorted(checks, key=lambda check: order.index(check.verdict))


def subject(check: Check) -> str:
    """Return what a check is about: its name, and the part of the data."""
    name = _NAMES.get(check.name, check.name)
    return f"{name} of {check.slice}" if check.slice else name


_NAMES = {AGAIN: "judged again"}


def observed(check: Check) -> str:
    """Return what a check has measured, with its unit; empty if nothing was measured, or if the reason says it all."""
    if check.observed is None or check.name.startswith("retrain."):
        return ""
    if check.name in _OF_ROWS:
        return f"{check.observed:,.0f} row{'s' * (check.observed != 1)}"
    if check.name == "blessing":
        return f"at most {number(check.observed)} apart" if check.observed else "no difference"
    return number(check.observed)


_OF_ROWS = ("leakage.rows", "predictions")


def css() -> str:
    """Return the style of a page that colours elements of the classes of :class:`Tone`, in the light and in the dark."""

    def variables(colours: Iterable[tuple[Tone, str]]) -> str:
        return " ".join(f"--{tone}: {colour};" for tone, colour in colours)

    light = variables((tone, colours.light) for tone, colours in COLOURS.items())
    dark = variables((tone, colours.dark) for tone, colours in COLOURS.items())
    classes = " ".join(f".{tone} {{ color: var(--{tone}); }}" for tone in Tone)
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{classes}"
