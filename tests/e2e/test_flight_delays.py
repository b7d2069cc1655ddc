"""The demo's story, on a real scheduler, DAG processor, API server and triggerer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from mlflow import MlflowClient

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.airflow import LocalAirflow
from airflow_mlops.local.catch_up import STAGES, CatchUp
from airflow_mlops.local.demo import MODEL
from airflow_mlops.reporting import notes, sentences
from airflow_mlops.stages.monitor import health
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.tables import tables
from deployment import Deployment
from people import Asked, token_of

FIRST, LAST = Partition.parse("2013-01", "month"), Partition.parse("2013-04", "month")

CRATES = """# Airflow looks for the word DAG in a file before it reads it.
from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.from_dict({{
    "name": "crates", "task": "classification", "target": "late", "key": ["id"], "event_time": "at",
    "partition": "month", "start": "2013-01", "end": "2013-02", "source": {{"files": "{folder}/{{partition}}.csv"}},
    "train": {{"holdout": 0.25, "candidates": ["sklearn.linear_model.LogisticRegression"]}},
    "gates": {{"approval": "one"}},
}}))
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Story:
    """A replayed loop and where it keeps its state."""

    deployment: Deployment
    replay: CatchUp

    @property
    def airflow(self) -> LocalAirflow:
        return self.deployment.airflow

    def uri(self, table: str, model: str = MODEL) -> str:
        return self.deployment.uri(model, table)

    def client(self) -> MlflowClient:
        return self.deployment.client

    def decisions(self) -> list[PromotionDecision]:
        return [ledger.decision(self.uri("ledger"), partition.key) for partition in self.replay.partitions]


def run(replay: CatchUp) -> None:
    replay.start()
    replay.airflow.wait(replay.ended, "the replay to end", seconds=480, interval=1)


def approve(replay: CatchUp, partition: str) -> str:
    """Wait until a person is asked, say yes, and return what was asked."""
    replay.airflow.wait(lambda: "train" in replay.states()[partition], "training to start", seconds=120)
    train = replay.states()[partition]["train"]
    question = Asked(replay.airflow, train.dag_id, train.run_id)
    body: str = question.wait()["body"]
    assert question.answer("alice", "Approve", reason="the parcels of January are fine") == 200
    return body


@pytest.fixture(scope="module")
def story(deployment: Deployment) -> Story:
    deployment.deploy({}, *(f"{MODEL}.{stage}" for stage in STAGES))
    replay = CatchUp(deployment.airflow, MODEL, FIRST, LAST)
    run(replay)
    return Story(deployment, replay)


def test_every_stage_of_every_partition_succeeds(story: Story) -> None:
    failed = [line for failure in story.replay.failures() for line in story.replay.errors(failure)]
    assert not failed
    states = story.replay.states()
    assert {partition: set(stages) for partition, stages in states.items()} == {
        partition.key: set(STAGES) for partition in story.replay.partitions
    }


def test_no_row_is_lost_or_doubled(story: Story) -> None:
    data = tables.read(story.uri("data"), columns=["flight_id"])
    published = [tables.published(story.uri("data"), partition.key) for partition in story.replay.partitions]
    keys = data["flight_id"].to_pylist()
    assert len(keys) == len(set(keys)) == sum(version.rows for version in published if version)


def test_each_partition_was_validated(story: Story) -> None:
    facts = [
        story.replay.fact(stages, "ingest", "validate", "validation")
        for stages in story.replay.states().values()
    ]
    assert [fact["verdict"] for fact in facts if fact] == ["PASS"] * 4


def test_there_are_several_versions_and_exactly_one_champion(story: Story) -> None:
    versions = story.client().search_model_versions(f"name = '{MODEL}'")
    assert len(versions) >= 2
    aliases = story.client().get_registered_model(MODEL).aliases
    assert list(aliases) == ["champion"]
    assert champions.current(story.client(), story.uri("ledger"), MODEL).champion.version == str(
        aliases["champion"]
    )


def test_the_champion_holds_on_the_next_month(story: Story) -> None:
    judged = [report for report in health.history(story.uri("monitoring"), LAST.key) if report.metrics]
    assert len(judged) >= 2
    assert all(report.metrics["roc_auc"] >= 0.62 for report in judged), [report.metrics for report in judged]


def test_a_promotion_and_a_refusal_or_a_decision_to_keep_are_explained(story: Story) -> None:
    decisions = story.decisions()
    assert any(decision.action is Action.PROMOTED for decision in decisions)
    others = [decision for decision in decisions if decision.action in (Action.REFUSED, Action.KEPT)]
    assert others
    assert all(decision.reason for decision in decisions)


def test_the_ledger_explains_each_move_of_the_alias(story: Story) -> None:
    champion = None
    for row in ledger.rows(story.uri("ledger")):
        if row.kind == "done":
            assert (row.before, bool(row.reason), bool(row.digest)) == (champion, True, True)
            champion = row.after
    assert champion == registry.champion_version(story.client(), MODEL)


def test_only_candidates_that_passed_were_promoted(story: Story) -> None:
    for decision in story.decisions():
        if decision.action is Action.PROMOTED:
            assert {check.verdict for check in decision.checks} == {Verdict.PASS}


def test_predictions_are_made_by_the_champion_of_their_time(story: Story) -> None:
    # A partition is scored before its own decision, hence with the champion after the partition before.
    predictions = tables.read(story.uri("predictions"), columns=["scheduled_departure", "model_version"])
    served: dict[str, set[str]] = {}
    for when, version in zip(*predictions.to_pydict().values(), strict=True):
        served.setdefault(Partition.containing(when, "month").key, set()).add(version)
    expected = {}
    for before, partition in zip(story.decisions(), story.replay.partitions[1:], strict=False):
        if before.after is not None:
            expected[partition.key] = {before.after}
    assert served == expected


def test_the_tasks_link_to_their_run_and_report(story: Story) -> None:
    stages = story.replay.states()[LAST.key]
    drift = f"dags/{MODEL}.monitor/dagRuns/{stages['monitor'].run_id}/taskInstances/drift/links"
    links = story.airflow.call("GET", drift)["extra_links"]
    assert links["Report"] == f"mlops/reports/{MODEL}/{LAST.key}/drift.html"
    page = story.airflow._client.get(links["Report"])
    assert page.status_code == 200
    assert "<html" in page.text


def note_of(airflow: LocalAirflow, run: Any) -> str:
    return str(airflow.call("GET", f"dags/{run.dag_id}/dagRuns/{run.run_id}")["note"])


def test_the_list_of_runs_reads_as_a_story(story: Story) -> None:
    keys = [partition.key for partition in story.replay.partitions]
    states = story.replay.states()
    told = {stage: [note_of(story.airflow, states[key][stage]) for key in keys] for stage in STAGES}
    said = [notes.entry(decision.partition, sentences.decided(decision)) for decision in story.decisions()]
    assert told["train"] == [notes.note([entry], None, None) for entry in said]
    assert told["score"][0] == "2013-01: there is no champion yet, so nothing is scored"
    for stage, begin in {"ingest": "published ", "monitor": "health "}.items():
        assert all(note.startswith(f"{key}: {begin}") for key, note in zip(keys, told[stage], strict=True))


def test_a_report_is_shown_to_who_opens_its_address_in_a_mail_and_logs_in(story: Story) -> None:
    address = f"{story.airflow.url}/mlops/reports/{MODEL}/{LAST.key}/drift.html"
    with httpx.Client(headers={"Accept": "text/html"}, timeout=30) as browser:
        assert browser.get(address, headers={"Accept": "*/*"}).status_code == 401
        login = browser.get(address, follow_redirects=True)
        assert login.status_code == 200
        assert urlsplit(str(login.url)).path == "/team/airflow/auth/login"
        assert "<html" in login.text
        # The form keeps what it gets in this cookie, and then goes where it is told to.
        browser.cookies.set("_token", token_of(story.airflow, "alice"), path="/team/airflow")
        (back,) = parse_qs(urlsplit(str(login.url)).query)["next"]
        page = browser.get(urljoin(str(login.url), back))
    assert (str(page.url), page.status_code) == (address, 200)
    assert "<iframe" in page.text


def test_the_model_card_is_linked_from_the_evaluation(story: Story) -> None:
    promoted = next(each for each in story.decisions() if each.action is Action.PROMOTED)
    stages = story.replay.states()[promoted.partition]
    evaluate = f"dags/{MODEL}.train/dagRuns/{stages['train'].run_id}/taskInstances/evaluate/links"
    page = story.airflow._client.get(story.airflow.call("GET", evaluate)["extra_links"]["Report"])
    assert page.status_code == 200
    for part in ("more than 15 minutes late", promoted.partition, "roc_auc", "blessing"):
        assert part in page.text


def test_a_version_is_reproduced_from_what_is_recorded_with_it(story: Story) -> None:
    version = next(each.after for each in story.decisions() if each.action is Action.PROMOTED)
    said = story.airflow.run("mlops", "reproduce", MODEL, str(version))
    assert registry.version(story.client(), MODEL, str(version)).digest[:12] in said


def test_a_partition_that_cannot_be_read_stops_its_chain_and_nothing_else(story: Story) -> None:
    folder = story.deployment.home / "crates"
    folder.mkdir()
    file = CRATES.format(folder=folder)
    story.deployment.deploy({"crates.py": file}, *(f"crates.{stage}" for stage in STAGES))
    rows = "".join(f"{i},2013-01-{i % 28 + 1:02d},{i % 7}.5,{i % 3 == 0:d}\n" for i in range(600))
    (folder / "2013-01.csv").write_text("id,at,weight,late\n" + rows)
    (folder / "2013-02.csv").write_text("id,at,heaviness,late\n" + rows.replace("2013-01-", "2013-02-"))
    replay = CatchUp(story.airflow, "crates", FIRST, FIRST.shift(1))
    replay.start()
    # Nobody has been asked about flight delays; whoever made the parcels' spec wants to be.
    assert "first model" in approve(replay, "2013-01")
    story.airflow.wait(replay.ended, "the replay to end", seconds=120, interval=1)
    states = replay.states()
    assert [run.state for run in states["2013-01"].values()] == ["success"] * 4
    assert {stage: run.state for stage, run in states["2013-02"].items()} == {"ingest": "failed"}
    assert note_of(story.airflow, states["2013-02"]["ingest"]) == "2013-02: failed in ingest"
    [error] = replay.errors(states["2013-02"]["ingest"])
    for part in ("2013-02.csv", "partition 2013-02", "'weight' is lost", "'heaviness' is new"):
        assert part in error
    assert tables.read(story.uri("data", "crates")).num_rows == 600
    decision = ledger.decision(story.uri("ledger", "crates"), "2013-01")
    assert decision is not None
    assert (decision.action, decision.after) == (Action.PROMOTED, "1")
    assert decision.approval is not None
    assert [answer.reason for answer in decision.approval.answers] == ["the parcels of January are fine"]


def test_running_the_same_backfill_again_changes_nothing(story: Story) -> None:
    names = ("data", "predictions", "monitoring", "ledger")
    before = {name: tables.digest(tables.read(story.uri(name))) for name in names[:2]}
    rows = {name: tables.read(story.uri(name)).num_rows for name in names}
    champion = champions.current(story.client(), story.uri("ledger"), MODEL).champion
    versions = len(story.client().search_model_versions(f"name = '{MODEL}'"))
    again = CatchUp(story.airflow, MODEL, FIRST, LAST, again=True)
    run(again)
    assert not again.failures()
    assert {name: tables.digest(tables.read(story.uri(name))) for name in names[:2]} == before
    assert {name: tables.read(story.uri(name)).num_rows for name in names} == rows
    assert champions.current(story.client(), story.uri("ledger"), MODEL).champion == champion
    assert len(story.client().search_model_versions(f"name = '{MODEL}'")) == versions


def test_an_alias_moved_by_hand_is_noticed_and_a_rollback_puts_it_right(story: Story) -> None:
    client = story.client()
    champion = registry.champion_version(client, MODEL)
    versions = [each.version for each in client.search_model_versions(f"name = '{MODEL}'")]
    other = next(str(version) for version in versions if str(version) != champion)
    client.set_registered_model_alias(MODEL, "champion", other)
    guard = finished(story, "monitor", {"partition_key": LAST.key})["guard"]
    report = story.airflow.call("GET", f"{guard}/xcomEntries/return_value")["value"]
    assert report["alias"]["verdict"] == "FAIL"
    assert f"version {champion}" in report["reason"]
    assert f"version {other}" in report["reason"]
    finished(story, "rollback", {"conf": {"to": champion, "reason": "moved by hand"}})
    assert registry.champion_version(client, MODEL) == champion
    last = ledger.moves(story.uri("ledger"))[-1]
    assert (last.action, last.after, last.reason) == (Action.ROLLED_BACK, champion, "moved by hand")


def finished(story: Story, stage: str, asked: dict[str, Any]) -> dict[str, str]:
    """Start a DAG as a person would, wait for its end, and return the place of each of its tasks."""
    dag = f"{MODEL}.{stage}"
    run = story.deployment.start(dag, **asked)
    assert story.deployment.ended(dag, run) == "success"
    tasks = story.deployment.states(dag, run)
    return {task: f"dags/{dag}/dagRuns/{run}/taskInstances/{task}" for task in tasks}
