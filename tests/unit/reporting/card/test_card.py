from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Check, Outcome, Severity, Verdict, overall
from airflow_mlops.domain.facts.approval import Answer, ApprovalOutcome
from airflow_mlops.domain.facts.results import Action, Evaluation, ModelRef, PromotionDecision, TrainedModel
from airflow_mlops.domain.facts.validation import ExpectationResult, ValidationReport
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.learning.pictures import pictures
from airflow_mlops.learning.statistics import resampling
from airflow_mlops.learning.statistics.slices import Judged
from airflow_mlops.reporting import markdown
from airflow_mlops.reporting.card import card
from airflow_mlops.reporting.card import page as card_page
from airflow_mlops.reporting.markdown import MarkdownLink
from airflow_mlops.stages.train.train import train
from airflow_mlops.stages.validate import validate
from airflow_mlops.stores.registry import registry
from synthetic import make_client, make_recipe, make_rows

ROWS = make_rows()
NASTY = "<script>alert(1)</script> **bold** [x](javascript:alert(1)) | `code` ![p](http://e.example/p.png) &lt; _a_"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def trained(client: Any) -> TrainedModel:
    """Train with pictures, as a task does."""
    tags = {
        "airflow.dag_id": "flights.train",
        "airflow.run_id": "manual__1",
        "airflow.url": "https://airflow.example/dags/flights.train/runs/manual__1",
    }
    return train(ROWS, client=client, recipe=make_recipe(ROWS), key="card", tags=tags)


def make_evaluation(trained: TrainedModel, **changes: Any) -> Evaluation:
    floor = Check(
        name="floor.roc_auc", verdict=Verdict.PASS, expected=">= 0.6", observed=0.9, interval=(0.88, 0.92), n=400, reason="0.9 is >= 0.6"
    )  # fmt: skip
    part = Check(
        name="floor.roc_auc", verdict=Verdict.INCONCLUSIVE, expected=">= 0.6", observed=0.61, n=40, slice="origin=LGA",
        reason="40 rows do not suffice",
    )  # fmt: skip
    facts: dict[str, Any] = {
        "model": "flights",
        "partition": "2013-02",
        "candidate": trained,
        "champion": None,
        "metrics": {"roc_auc": 0.9, "log_loss": 0.35, "f1": None},
        "intervals": {"roc_auc": (0.88, 0.92)},
        "checks": (floor, part),
        "leaderboard": {"LogisticRegression": 0.91},
        "reason": "one slice is too small",
    } | changes
    return Evaluation(**facts, verdict=overall(facts["checks"]))


def write(client: Any, evaluation: Evaluation, **changes: Any) -> tuple[str, str]:
    """Write a card, and return its Markdown and its page."""
    facts: dict[str, Any] = {"validation_uri": None, "description": "Will it be late?", "owner": "operations"}
    page = card.write(client, evaluation, **facts | changes)
    path = client.download_artifacts(evaluation.candidate.run_id, card.MARKDOWN)
    return Path(path).read_text(), page


def row_of(text: str, name: str) -> list[str]:
    """Return the cells of the row of a Markdown table that begins with a name."""
    [found] = [each for each in text.splitlines() if each.startswith(f"| {name} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


class Elements(HTMLParser):
    """Every element of a page with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_a_card_tells_purpose_results_gates_data_limits_and_lineage(
    client: Any, trained: TrainedModel
) -> None:
    text, page = write(client, make_evaluation(trained))
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == [
        "Purpose", "Results", "Gates", "Parts of the data", "What it relies on", "Data", "Limits", "Lineage",
    ]  # fmt: skip
    assert f"# flights version {trained.version}\n\n**? INCONCLUSIVE**: one slice is too small" in text
    assert row_of(text, "roc_auc") == ["roc_auc", "0.9", "0.88 to 0.92"]
    assert row_of(text, "f1") == ["f1", "undefined", ""]
    assert row_of(text, "floor.roc_auc")[1:4] == ["**✓ PASS**", r"\>= 0.6", "0.9"]
    assert row_of(text, "origin=LGA")[1:3] == ["floor.roc_auc", "**? INCONCLUSIVE**"]
    assert row_of(text, "Model digest")[1] == trained.digest
    assert row_of(text, "wind")[1:3] != ["", ""]
    assert "Not shown: floor.roc_auc of origin=LGA: 40 rows do not suffice" in text
    assert "The holdout does not suffice to measure f1" in text
    assert Elements(page).of("a") == [
        {"href": "https://airflow.example/dags/flights.train/runs/manual__1"}
    ]  # fmt: skip


def test_a_card_shows_the_champion_beside_the_candidate(client: Any, trained: TrainedModel) -> None:
    champion = ModelRef(model="flights", version="9", digest="c" * 64, run_id="r")
    theirs = {"roc_auc": 0.85, "log_loss": 0.3, "f1": 0.5}
    text, _ = write(client, make_evaluation(trained, champion=champion, champion_metrics=theirs))
    assert "| Champion, version 9 | Difference |" in text
    assert row_of(text, "roc_auc")[3:] == ["0.85", "+0.05, better"]
    assert row_of(text, "log_loss")[3:] == ["0.3", "+0.05, worse"]
    assert row_of(text, "f1")[3:] == ["0.5", ""]


def test_pictures_of_training_and_evaluation_stand_in_the_page(client: Any, trained: TrainedModel) -> None:
    holdout = ROWS.filter(pc.greater_equal(ROWS["departure"], trained.split.cut))
    rows, truth = pipeline.labelled(holdout, "late", "classification")
    model = models.load_version(client, registry.version(client, "flights", trained.version))
    ours = models.predict(model, rows, "classification")
    evaluation = make_evaluation(trained)
    judged = Judged(rows, truth, ours, resampling.blocks(rows["departure"].to_numpy(), "auto", "month"))
    pictures.log_evaluation(client, trained.run_id, evaluation, model, judged, None)
    text, page = write(client, evaluation)
    shown = Elements(page).of("img")
    assert len(shown) == text.count("](plots/") == 7
    assert all(
        (each["src"] or "").startswith("data:image/png;base64,iVBOR") and each["alt"] for each in shown
    )
    assert "Loss of roc_auc when the values of one feature are shuffled: wind (" in text
    assert len(page) < 300_000


def test_pictures_that_fail_leave_the_evaluation_alone(
    client: Any, trained: TrainedModel, caplog: pytest.LogCaptureFixture
) -> None:
    pictures.log_evaluation(client, trained.run_id, make_evaluation(trained), None, None, None)  # type: ignore[arg-type]
    assert f"The pictures of run {trained.run_id} are missing" in caplog.text


def test_nothing_in_a_card_means_more_than_its_signs(client: Any, trained: TrainedModel) -> None:
    bad = Check(name=NASTY, verdict=Verdict.FAIL, expected=NASTY, slice=NASTY, reason=NASTY)
    remarked = trained.model_copy(update={"remarks": (NASTY,), "params": {NASTY: NASTY}})
    evaluation = make_evaluation(
        remarked, checks=(bad, bad.model_copy(update={"slice": None})), leaderboard={NASTY: 0.5, "b": 0.4}, reason=NASTY
    )  # fmt: skip
    answer = Answer(
        version="2",
        verdict=Verdict.FAIL,
        user="7",
        person=NASTY,
        approved=False,
        reason=f"{NASTY}\n\n# heading",
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    decision = PromotionDecision(
        model="flights", partition="2013-02", action=Action.REFUSED, before=None, after=None, reason=NASTY,
        approval=ApprovalOutcome(answers=(answer,)),
    )  # fmt: skip
    text, page = write(
        client, evaluation, description=f"{NASTY}\n\n- {NASTY}\n\n# {NASTY}", owner=NASTY, decision=decision
    )
    read = Elements(page)
    assert read.text.count(NASTY) >= 10
    assert {tag for tag, _ in read.found} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "thead", "tbody", "tr", "th",
        "td", "strong", "ul", "li", "a", "img",
    }  # fmt: skip
    assert len(read.of("h1")) == 1
    assert [each["href"] for each in read.of("a")] == [
        "https://airflow.example/dags/flights.train/runs/manual__1"
    ]
    assert all((each["src"] or "").startswith("data:image/png;base64,") for each in read.of("img"))
    assert set(re.findall(r"<strong[^>]*>(.*?)</strong>", page)) == {
        "✗ FAIL",
        "! refused",
    }
    # Every row of a table has as many cells as its head.
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_a_page_loads_nothing_and_runs_nothing(client: Any, trained: TrainedModel) -> None:
    _, page = write(client, make_evaluation(trained))
    [policy] = [each for each in Elements(page).of("meta") if "http-equiv" in each]
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.parametrize(
    "text",
    [
        "- a", "+ a", "1. a", "12) a", "# a", "> a", "---", "===", "* * *", "___", "~~~", "```", "    code", "| a |",
        "<b>a</b>", "[a]: http://b", "&amp;", "a\\", "\\*a\\*", "a_b_c", "_a_", "![a](b)", "<http://a>", "a  \nb",
    ],
)  # fmt: skip
def test_any_text_is_shown_as_it_is(text: str) -> None:
    shown = card_page._markdown().render(f"{markdown.escape(text)}\n", {"pictures": {}})
    assert shown.startswith("<p>")
    assert Elements(shown).text.strip() == " ".join(text.split())
    assert {tag for tag, _ in Elements(shown).found} == {"p"}


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://a.example/b?c=d&e=f#g", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("/x", False),
    ],
)
def test_only_addresses_of_the_web_are_links(url: str, known: bool) -> None:
    shown = card_page._markdown().render(str(markdown.escape(MarkdownLink("run", url))), {"pictures": {}})
    assert Elements(shown).of("a") == ([{"href": url}] if known else [])


def test_an_address_cannot_break_out_of_its_link() -> None:
    link = MarkdownLink("run", "https://a.example/> <script>alert(1)</script>")
    shown = card_page._markdown().render(str(markdown.escape(link)), {"pictures": {}})
    assert [tag for tag, _ in Elements(shown).found] == ["p", "a"]


def test_a_decision_is_told_with_who_approved_and_described_in_the_registry(
    client: Any, trained: TrainedModel
) -> None:
    answer = Answer(
        version="2",
        verdict=Verdict.FAIL,
        user="jo",
        person="jo",
        approved=True,
        reason="good at all airports",
        at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    decision = PromotionDecision(
        model="flights", partition="2013-02", action=Action.PROMOTED, before="9", after=trained.version,
        reason="better", approval=ApprovalOutcome(answers=(answer,), overridden=True),
    )  # fmt: skip
    text, page = write(client, make_evaluation(trained), decision=decision)
    assert "**✓ promoted**: better" in text
    assert row_of(text, "jo") == ["jo", "approved", "good at all airports", "2026-01-02 00:00"]
    assert row_of(text, "Champion")[1] == f"version 9 before, version {trained.version} now"
    assert row_of(text, "Approved by people")[1] == "although the gates did not pass"
    assert '<strong class="good">✓ promoted</strong>' in page
    described = client.get_model_version("flights", trained.version).description
    assert described.startswith("✓ promoted at 2013-02: better (roc_auc 0.9 on the holdout)")


def test_the_validation_of_each_partition_is_told(client: Any, trained: TrainedModel, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/validation"
    for key, verdict, aside in (("2013-02", Verdict.FAIL, 3), ("2013-05", Verdict.PASS, 9)):
        null = ExpectationResult(
            expectation="expect_column_values_to_not_be_null", severity=Severity.BLOCK, outcome=Outcome(verdict),
            expected="no null", observed="some",
        )  # fmt: skip
        report = ValidationReport(
            dataset="flights", partition=key, verdict=verdict, results=(null,), rows=1000, quarantined=aside, reason="wind is null"
        )  # fmt: skip
        validate.record(uri, report, "run")
    text, _ = write(client, make_evaluation(trained), validation_uri=uri)
    assert row_of(text, "2013-02")[4:] == ["3", "**✗ FAIL**", "wind is null"]
    assert "Validation did not pass for 2013-02." in text
    assert "3 rows of its partitions were set aside" in text
    assert "2013-05" not in text
    # A table that does not exist is no reason not to write a card.
    text, _ = write(client, make_evaluation(trained), validation_uri=f"file://{tmp_path}/none")
    assert row_of(text, "2013-02")[6] == "not validated"


def test_a_version_of_which_nothing_was_kept_has_a_card_too(client: Any, trained: TrainedModel) -> None:
    bare = client.create_run(client.get_experiment_by_name("flights").experiment_id)
    evaluation = make_evaluation(
        trained.model_copy(update={"run_id": bare.info.run_id, "score": None}), checks=(), leaderboard={}
    )
    text, _ = write(client, evaluation, owner="")
    assert "The spec asks for no gate." in text
    assert row_of(text, "Owner")[1] == "not named"
    assert "![" not in text
