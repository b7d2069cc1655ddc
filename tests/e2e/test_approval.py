"""People on a real scheduler: one vetoes, two approve, and other DAGs see the promotion."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables
from deployment import Deployment
from mail_server import body
from people import Asked

JANUARY = Partition.parse("2013-01", "month")
TRAIN = "parcels.train"
SPEC = """
name: parcels
task: classification
target: late
key: [id]
event_time: at
partition: month
start: 2013-01
end: 2013-01
source:
  files: /nowhere/{partition}.csv
features: {numeric: [weight]}
train: {holdout: 0.25, candidates: [sklearn.linear_model.LogisticRegression]}
gates:
  leakage: null
  approval: {people: two, users: [alice, bob], timeout: PT1H}
alerts: {email: [owners@example.com]}
"""
DAG_FILE = """
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_mlops import ModelSpec, continuous_training
from airflow_mlops.sensors.alias import ModelAliasSensor
from airflow_mlops.triggers.alias import ModelAliasTrigger

continuous_training(ModelSpec.load("parcels.yaml"))

with DAG("waits", schedule=None, catchup=False):
    ModelAliasSensor(task_id="wait", model="parcels", deferrable=True, poke_interval=0.5, timeout=300)

CHAMPION = Asset("parcels/champion", watchers=[AssetWatcher("alias", ModelAliasTrigger("parcels", interval=0.5))])

with DAG("follows", schedule=[CHAMPION], catchup=False):

    @task
    def told(triggering_asset_events=None):
        return [event.extra["payload"] for events in triggering_asset_events.values() for event in events]

    told()
"""

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def publish(uri: str) -> None:
    """Publish the parcels of January, the heavy ones of which are mostly late."""
    numbers = range(2800)
    tables.publish(
        uri,
        pa.table(
            {
                "id": [str(i) for i in numbers],
                "at": [JANUARY.start + timedelta(days=i % 28) for i in numbers],
                "weight": [i % 7 + 0.5 for i in numbers],
                "late": [int((i % 7 > 3) ^ (i % 5 == 0)) for i in numbers],
            }
        ),
        name="parcels",
        grain="month",
        partition=JANUARY.key,
        key=["id"],
        event_time="at",
        source="test",
        run="test",
    )


@pytest.fixture(scope="module")
def told(deployment: Deployment) -> dict[str, Any]:
    """A first model that bob rejects, and that alice and bob approve when they are asked again."""
    publish(deployment.uri("parcels", "data"))
    deployment.deploy({"parcels.yaml": SPEC, "parcels.py": DAG_FILE}, TRAIN, "waits", "follows")
    airflow, seen = deployment.airflow, {"url": deployment.airflow.url}
    waits = deployment.start("waits")
    run = deployment.start(TRAIN, partition_key="2013-01", conf={"force": True, "reason": "a first model"})
    first, second = Asked(airflow, TRAIN, run), Asked(airflow, TRAIN, run, "approve_again")
    seen["form"] = first.wait()
    seen["stranger"] = first.answer("carol", "Approve", reason="why not")
    first.answer("bob", "Reject", reason="not before a holiday")
    seen["refused run"] = deployment.ended(TRAIN, run)
    seen["states"] = deployment.states(TRAIN, run)
    uri = deployment.uri("parcels", "ledger")
    seen["refused"], seen["refused moves"] = ledger.decision(uri, "2013-01"), ledger.moves(uri)
    again = {"task_ids": ["approve"], "include_downstream": True, "only_failed": False, "dry_run": False}
    airflow.call("POST", f"dags/{TRAIN}/clearTaskInstances", json={"dag_run_id": run, **again})
    first.wait()
    first.answer("alice", "Approve")
    seen["again"] = first.wait()
    first.answer("alice", "Approve", reason="a good start")
    seen["second form"] = second.wait()
    second.answer("alice", "Approve", reason="it is me again")
    second.wait()
    second.answer("bob", "Approve", reason="I agree")
    seen["promoted run"] = deployment.ended(TRAIN, run)
    seen["promoted"], seen["promoted moves"] = ledger.decision(uri, "2013-01"), ledger.moves(uri)
    seen["waits"] = deployment.ended("waits", waits)
    seen["waited"] = deployment.answer("waits", waits, "wait")
    airflow.wait(lambda: airflow.call("GET", "dags/follows/dagRuns")["dag_runs"], "the event", seconds=60)
    follows = [each["dag_run_id"] for each in airflow.call("GET", "dags/follows/dagRuns")["dag_runs"]]
    seen["followed"] = [
        deployment.answer("follows", each, "told") for each in follows if deployment.ended("follows", each)
    ]
    return seen | {"mails": deployment.mails("owners@example.com")}


def test_the_form_shows_the_evidence_and_is_for_the_users_of_the_spec(told: dict[str, Any]) -> None:
    form = told["form"]
    assert form["subject"] == "Promote version 1 of parcels? Partition 2013-01"
    for part in ("gates were passed", "There is no champion yet", "roc_auc", "| blessing | ✓ PASS |"):
        assert part in form["body"]
    assert f"{told['url']}/mlops/reports/parcels/2013-01/model_card.html" in form["body"]
    assert [user["id"] for user in form["assigned_users"]] == ["alice", "bob"]
    assert told["stranger"] == 403
    assert told["second form"]["subject"].endswith("second approval")


def test_an_approval_without_a_reason_is_asked_for_again(told: dict[str, Any]) -> None:
    assert told["again"]["response_received"] is False
    assert "alice approved without a reason" in " ".join(body(told["mails"][2], "plain").split())


def test_two_different_people_approve_and_the_ledger_says_who_and_why(told: dict[str, Any]) -> None:
    assert told["promoted run"] == "success"
    decision = told["promoted"]
    assert (decision.action, decision.after, len(told["promoted moves"])) == (Action.PROMOTED, "1", 1)
    assert decision.approval.overridden is False
    assert [(each.person, each.approved, each.reason) for each in decision.approval.answers] == [
        ("alice", True, "a good start"),
        ("bob", True, "I agree"),
    ]


def test_a_veto_ends_the_run_well_asks_nobody_else_and_is_recorded(told: dict[str, Any]) -> None:
    assert told["refused run"] == "success"
    assert told["states"]["promote"] == told["states"]["approve_again"] == "skipped"
    assert told["states"]["record"] == "success"
    assert (told["refused"].action, told["refused moves"]) == (Action.REFUSED, [])
    for part in ("bob", "not before a holiday"):
        assert part in told["refused"].reason


def test_each_question_is_one_mail_whose_link_leads_to_the_form_behind_the_prefix(
    told: dict[str, Any],
) -> None:
    subjects = [str(mail["Subject"]).removeprefix("[airflow-mlops] ") for mail in told["mails"]]
    first = "Promote version 1 of parcels? Partition 2013-01"
    assert subjects == [first] * 3 + [f"{first}, second approval"] * 2
    shape = rf"{re.escape(told['url'])}/dags/parcels\.train/runs/([^/\s]+)/tasks/(\w+)/required_actions"
    found = re.search(shape, body(told["mails"][0], "plain"))
    assert found
    assert unquote(found[1]) == told["form"]["task_instance"]["dag_run_id"]
    assert found[2] == "approve"


def test_other_dags_see_the_promotion(told: dict[str, Any]) -> None:
    assert (told["waits"], told["waited"]) == ("success", "1")
    payloads = [json.loads(each) if isinstance(each, str) else each for each in told["followed"]]
    assert payloads == [[{"model": "parcels", "alias": "champion", "version": "1", "former": None}]]
