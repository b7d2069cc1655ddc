"""Verdicts have one vocabulary, one set of signs and one of colours: all of them come from ``reporting/verdicts.py``."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from airflow_mlops.cli import story as history
from airflow_mlops.cli.doctor.diagnosis import Condition, Diagnosis
from airflow_mlops.domain.checks import Check, Outcome, Severity, Verdict
from airflow_mlops.domain.facts.loop import LoopStep
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.approval import Approval
from airflow_mlops.local.decisions import DecisionTable, PartitionStory
from airflow_mlops.reporting.alerts import html, model, text
from airflow_mlops.reporting.alerts.validation import validation
from airflow_mlops.reporting.card.facts import Sources, gather
from airflow_mlops.reporting.card.page import render_page
from airflow_mlops.reporting.card.text import render_markdown
from airflow_mlops.reporting.questions import promotion, retraining
from airflow_mlops.reporting.verdicts import COLOURS, appearance, of_check, of_result
from airflow_mlops.stages.loop import story
from airflow_mlops.stages.validate import page
from contracts.source import PACKAGE, files, tree
from notices import (
    make_check,
    make_decision,
    make_evaluation,
    make_health,
    make_report,
    make_result,
    make_run,
    make_version,
)

HOME = "reporting/verdicts.py"
COLOUR = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3,4})\b")
SIGN = re.compile("[✓✗✔✘⚠❌✅]")
WORD = re.compile(r"\b(?:PASS|FAIL|INCONCLUSIVE|WARN|WARNED|WARNING)\b")
RICH = re.compile(r"\[/?(?:bold )?(?:red|green|yellow)\]|^(?:bold )?(?:red|green|yellow)$")
PALETTES = {
    HOME: "of verdicts",
    "stages/loop/example_rows.py": "values of an example",
    "reporting/pages.py": "of pages, for all but verdicts",
    "learning/pictures/style.py": "of lines in pictures",
}
WORDS = {
    HOME: "the vocabulary",
    "cli/doctor/diagnosis.py": "the words themselves",
    "sensors/drift.py": "a value that people write",
}
VALUES = {
    "stages/decide.py": "a sentence that is stored",
    "cli/ledger_table.py": "words of lines that other programs may read",
    "reporting/alerts/model.py": "part of an id",
    "reporting/alerts/validation.py": "part of an id",
    "operators/decide.py": "a sentence that is stored",
    "stages/guard/guard.py": "a sentence that is stored",
    "stages/promote/promote.py": "a sentence that is stored",
}


@cache
def texts(path: Path) -> list[tuple[int, str]]:
    """Return each text of a module but docstrings, with its line."""
    nodes = list(ast.walk(tree(path)))
    silent = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    constants = (node for node in nodes if isinstance(node, ast.Constant) and id(node) not in silent)
    return [(node.lineno, node.value) for node in constants if isinstance(node.value, str)]


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def is_grey(colour: str) -> bool:
    return len(set(colour[1:4])) == 1


def stray(rule: Callable[[Path], Iterator[int]], exempt: Iterable[str]) -> list[str]:
    """Return the lines of all modules but those exempt that break a rule."""
    modules = [path for path in files() if name(path) not in exempt]
    assert modules
    return [f"{name(path)}, line {line}" for path in modules for line in rule(path)]


def test_colours_come_from_one_place() -> None:
    def rule(path: Path) -> Iterator[int]:
        lines = path.read_text(encoding="utf-8").splitlines()
        for line, value in texts(path):
            # Those of operators are of stages, in Airflow's graph.
            chosen = [] if lines[line - 1].strip().startswith("ui_color = ") else COLOUR.findall(value)
            if RICH.search(value) or not all(map(is_grey, chosen)):
                yield line

    assert not stray(rule, PALETTES)


def test_signs_come_from_one_place() -> None:
    assert not stray(lambda path: (line for line, value in texts(path) if SIGN.search(value)), [HOME])


def test_words_of_verdicts_come_from_one_place() -> None:
    def rule(path: Path) -> Iterator[int]:
        # The domain defines them, and refuses facts that contradict themselves.
        if not name(path).startswith("domain/"):
            yield from (line for line, value in texts(path) if WORD.search(re.sub(r"signs\.\w+", "", value)))

    assert not stray(rule, WORDS)


def test_verdicts_are_not_written_into_texts_as_they_are_stored() -> None:
    stored = tuple(f".{one}" for one in ("verdict", "outcome", "severity", "action"))

    def rule(path: Path) -> Iterator[int]:
        for node in () if name(path).startswith("domain/") else ast.walk(tree(path)):
            text = ast.unparse(node.value) if isinstance(node, ast.FormattedValue) else ""
            if text.removesuffix(".value").endswith(stored):
                yield node.lineno

    assert not stray(rule, VALUES)


@pytest.mark.parametrize("exempt", [*PALETTES, *WORDS, *VALUES])
def test_what_is_exempt_exists(exempt: str) -> None:
    assert (PACKAGE / exempt).is_file()


def terminal(thing: object, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(thing)
    return captured.get()


def check(verdict: Verdict) -> Check:
    return make_check("floor.roc_auc", verdict, slice="origin=LGA", observed=0.7)


def card(verdict: Verdict) -> str:
    evaluation = make_evaluation(checks=(check(verdict), make_check("blessing", verdict, observed=0.0)))
    return render_markdown(gather(Sources(evaluation, None, "", "", {}, {}, {}, {}, ())))


def question(verdict: Verdict) -> str:
    evaluation = make_evaluation(checks=(check(verdict),))
    return promotion.body(promotion.ApprovalQuestion(evaluation, Approval(people="one", override=True)), ())


def rules(verdict: Verdict) -> str:
    rule = make_check("retrain.first_model", verdict)
    decision = RetrainDecision(
        model="flights",
        partition="2013-03",
        retrain=False,
        checks=(rule,),
        dataset=make_version(),
        reason="why",
    )
    return retraining.body(decision)


def told(verdict: Verdict) -> str:
    decision = make_decision(Action.REFUSED, checks=(check(verdict),))
    return "\n".join(story.lines([LoopStep(partition="2013-03", decision=decision)]))


SURFACES: dict[str, Callable[[Verdict], str]] = {
    "mail": lambda verdict: text.render(decided(verdict)),
    "mail as HTML": lambda verdict: html.render(decided(verdict)),
    "card": card,
    "card as a page": lambda verdict: render_page(card(verdict), "card", {}),
    "form": question,
    "history of a version": lambda verdict: terminal(history._gates([check(verdict)]), 140),
}


def decided(verdict: Verdict) -> model.Notice:
    notice = model.promotion(make_run(), make_decision(Action.REFUSED, checks=(check(verdict),)))
    assert notice is not None
    return notice


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_shows_the_sign_and_the_word(surface: str, verdict: Verdict) -> None:
    shown = SURFACES[surface](verdict)
    assert str(appearance(verdict)) in shown
    assert not re.search(rf"(?<![{appearance(verdict).sign}] )\b{verdict}\b", shown), (
        "a word without its sign"
    )
    assert "LGA" in shown


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_a_message_of_a_test_names_the_gate_and_the_part_of_the_data(verdict: Verdict) -> None:
    assert f"floor.roc_auc of origin=LGA {appearance(verdict)}: " in told(verdict)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_rule_of_the_retrain_policy_is_never_said_to_pass_or_to_fail(verdict: Verdict) -> None:
    assert str(of_check(make_check("retrain.first_model", verdict))) in rules(verdict)
    assert not WORD.search(rules(verdict))


@pytest.mark.parametrize("verdict", Verdict)
def test_a_card_colours_a_verdict(verdict: Verdict) -> None:
    look = appearance(verdict)
    shown = render_page(card(verdict), "card", {})
    assert f'<strong class="{look.tone}">{look}</strong>' in shown
    assert f"--{look.tone}: {COLOURS[look.tone].light};" in shown


@pytest.mark.parametrize("action", Action)
def test_a_table_of_decisions_shows_actions_with_their_sign(action: Action) -> None:
    decision = make_decision(action)
    shown = terminal(
        DecisionTable("flights", "roc_auc", [PartitionStory("2013-03", 1, None, None, decision)])
    )
    assert f"{appearance(action)} " in shown
    mail = model.promotion(make_run(), decision)
    if mail is not None:
        assert mail.look.tone == appearance(action).tone


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_a_table_of_decisions_shows_the_sign_of_each_verdict_and_what_it_means(verdict: Verdict) -> None:
    health = make_health(verdict)
    shown = terminal(DecisionTable("flights", "roc_auc", [PartitionStory("2013-03", 1, None, health, None)]))
    cells = shown.splitlines()[2].split()
    assert cells[3] == appearance(verdict).sign
    assert shown.splitlines()[-1] == "✓ PASS, ✗ FAIL, ? INCONCLUSIVE, ! WARN"


@pytest.mark.parametrize("severity", Severity)
def test_a_broken_expectation_looks_the_same_on_its_page_and_in_its_mails(severity: Severity) -> None:
    broken = make_result(severity=severity)
    verdict = Verdict.FAIL if severity is Severity.BLOCK else Verdict.PASS
    report = make_report(verdict=verdict, results=(broken, make_result(outcome=Outcome.PASS)))
    look = of_result(broken)
    assert f'<span class="tag {look.tone}">{look}</span>' in page.render(report)
    notice = validation(make_run(), report, failed=["validate"] if verdict is Verdict.FAIL else [])
    assert str(look) in text.render(notice)
    bar = f"height:8px;padding:0;background:{COLOURS[look.tone].light}"
    assert bar in html.render(notice)
    assert notice.look.tone == (look.tone if severity is not Severity.QUARANTINE else appearance("WARN").tone)


def test_a_warning_beside_a_block_is_not_in_the_colour_of_the_block() -> None:
    report = make_report(results=(make_result(), make_result(column="carrier", severity=Severity.WARN)))
    shown = html.render(validation(make_run(), report, failed=["validate"]))
    bars = re.findall(r"height:8px;padding:0;background:(#\w+)", shown)
    assert bars == [COLOURS[appearance(word).tone].light for word in ("FAIL", "WARN")]


@pytest.mark.parametrize("condition", Condition)
def test_the_doctor_shows_the_sign_and_the_word(condition: Condition) -> None:
    assert str(Diagnosis("storage", condition, "it is there")).startswith(f"{appearance(condition)} ")
