from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.cli.cli_parser import get_parser
from airflow.utils import yaml

from airflow_mlops import config
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.approval import Answer, ApprovalOutcome
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.registry.ledger import RowKind
from airflow_mlops.stores.tables import journal
from history import MODEL, History, make_decision

Capture = pytest.CaptureFixture[str]
GATES = (
    Check(
        name="versus_champion.roc_auc", verdict=Verdict.PASS, expected="improvement > 0", observed=0.731,
        baseline=0.7, interval=(0.01, 0.05), n=900, reason="improvement +0.031 lies above 0",
    ),
    Check(name="floor.brier", verdict=Verdict.PASS, expected="<= inf", interval=(0.1, float("inf")), reason="fine"),
)  # fmt: skip
ANNA = Answer(
    version="2",
    verdict=Verdict.PASS,
    user="anna",
    person="anna",
    approved=True,
    reason="looked at it",
    at=datetime(2013, 2, 3, 9, 30, tzinfo=UTC),
)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    found = History(tmp_path)
    options = {"storage": found.storage, "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__MLOPS__{name.upper()}", value)
        getattr(config, name).cache_clear()
    yield found
    for name in options:
        getattr(config, name).cache_clear()


def mlops(*command: str) -> None:
    args = get_parser().parse_args(["mlops", "history", *command])
    args.func(args)


def printed(capsys: Capture, *command: str) -> str:
    mlops(*command)
    return capsys.readouterr().out


def told(capsys: Capture, *command: str) -> Any:
    return json.loads(printed(capsys, *command, "--output", "json"))


def promote(store: History, **changes: Any) -> None:
    """Leave what a promotion in a DAG leaves: the move, and the decision on its partition."""
    facts = {"before": "1", "after": "2", "candidate": "2", "key": "flights.train/run-2", "checks": GATES}
    decision = make_decision("2013-02", Action.PROMOTED, **facts | changes)
    for kind in (RowKind.INTENT, RowKind.DONE, RowKind.DECISION):
        ledger.record(store.uri("ledger"), kind, decision, actor="flights.train/run-2")


def lines(text: str) -> str:
    """Return what stands in a table, however its cells are broken into lines."""
    return " ".join(text.split())


def test_json_has_every_row_with_its_evidence_and_numbers_as_numbers(store: History, capsys: Capture) -> None:
    store.decide("2013-01", reason="nothing has drifted")
    promote(store)
    first, *moved = told(capsys, MODEL)
    assert (first["partition"], first["action"], first["reason"]) == (
        "2013-01",
        "kept",
        "nothing has drifted",
    )
    assert [row["kind"] for row in moved] == ["intent", "done", "decision"]
    gate, unbounded = moved[1]["evidence"]["checks"]
    assert (gate["observed"], gate["baseline"], gate["n"]) == (0.731, 0.7, 900)
    # JSON has no infinity, so an interval without an end is none.
    assert unbounded["interval"] is None


def test_yaml_says_the_same_as_json(store: History, capsys: Capture) -> None:
    promote(store)
    assert yaml.safe_load(printed(capsys, MODEL, "--output", "yaml")) == told(capsys, MODEL)


def test_a_table_tells_a_promotion_once_with_who_why_and_on_which_evidence(
    store: History, capsys: Capture
) -> None:
    promote(
        store,
        reason="better beyond chance; approved by anna: looked at it",
        approval=ApprovalOutcome(answers=(ANNA,)),
    )
    *table, count = printed(capsys, MODEL).strip().splitlines()
    assert count == "1 partition: asked 1, held back 0, trained 1, refused 0, promoted 1"
    printed_table = "\n".join(table)
    assert printed_table.count("promoted") == 1
    assert "1 → 2" in printed_table
    for evidence in (
        "better beyond chance; approved by anna: looked at it",
        "2 of 2 gates passed; roc_auc 0.731 against 0.7",
        "by flights.train/run-2",
    ):
        assert evidence in lines(printed_table)


def test_an_override_is_loud(store: History, capsys: Capture) -> None:
    promote(store, approval=ApprovalOutcome(answers=(ANNA,), overridden=True))
    assert "promoted OVERRIDDEN" in lines(printed(capsys, MODEL))
    (answer,) = told(capsys, MODEL)[1]["evidence"]["approval"]["answers"]
    assert (answer["person"], answer["reason"]) == ("anna", "looked at it")


def test_a_long_history_stays_readable(store: History, capsys: Capture) -> None:
    promote(store, reason="word " * 200)
    assert max(map(len, printed(capsys, MODEL).splitlines())) <= 140


def test_moves_that_were_given_up_or_are_under_way_are_told_so(store: History, capsys: Capture) -> None:
    uri, moves = (
        store.uri("ledger"),
        [
            make_decision("2013-02", Action.PROMOTED, before="1", after=str(number), key=f"run-{number}")
            for number in (2, 3)
        ],
    )
    ledger.record(uri, RowKind.INTENT, moves[0], actor="run-2")
    ledger.record(uri, RowKind.ABORT, moves[0], actor="run-3", reason="it moved nothing")
    ledger.record(uri, RowKind.INTENT, moves[1], actor="run-3")
    found = printed(capsys, MODEL, "--output", "plain").splitlines()[1:]
    assert ["given up" in line for line in found] == [True, False]
    assert ["under way" in line for line in found] == [False, True]
    assert "it moved nothing" in found[0]


def test_a_partition_decided_on_again_is_told_again(store: History, capsys: Capture) -> None:
    store.decide("2013-02", Action.FAILED)
    store.decide("2013-02")
    found = printed(capsys, MODEL, "--output", "plain").splitlines()[1:]
    assert [line.split()[3] for line in found] == ["failed", "kept"]


def test_what_people_write_can_neither_colour_nor_move_the_terminal(store: History, capsys: Capture) -> None:
    store.decide("2013-01", reason="[red]bad[/red] \x1b[2Jgone\x07")
    for output in ("table", "plain"):
        found = printed(capsys, MODEL, "--output", output)
        assert "[red]bad[/red]" in found
        assert not {"\x1b", "\x07"} & set(found)


def test_a_model_without_history_is_named() -> None:
    with pytest.raises(SystemExit, match=r"no ledger of 'trains' at .*/storage/trains/ledger"):
        mlops("trains")


def test_a_torn_ledger_is_told_rather_than_read_as_older(store: History) -> None:
    for key in ("2013-01", "2013-02"):
        store.decide(key)
    log = Path(store.uri("ledger").removeprefix("file://")) / "_delta_log"
    sorted(log.glob("*.json"))[-1].write_text('{"add"')
    with pytest.raises(SystemExit, match="flights/ledger cannot be read"):
        mlops(MODEL)


def test_a_row_of_another_version_of_the_package_is_told(store: History) -> None:
    row = store.decide("2013-01").to_dict()
    values = {name: row.get(name) for name in ledger._TEXT} | {
        "kind": "decision", "actor": "me", "evidence": json.dumps(row | {"mood": "good"})
    }  # fmt: skip
    journal.append(store.uri("ledger"), ledger._TEXT, lambda known, at: {**values, "at": at})
    with pytest.raises(SystemExit, match=r"history of 'flights' .* another version of this package.*mood"):
        mlops(MODEL)


def test_a_version_tells_its_whole_story(store: History, capsys: Capture) -> None:
    store.publish("2013-01")
    dataset = store.publish("2013-02")
    first, second = (
        store.train(dataset, tags={"airflow.dag_id": "flights.train"}),
        store.train(dataset, seed=1, decision=Decision(threshold=0.3)),
    )
    store.crown(first, "2013-01")
    store.decide("2013-01", before="1", after="1", reason="nothing has drifted")
    store.decide(
        "2013-02", Action.REFUSED, before="1", after="1", candidate="2", checks=GATES, reason="no better"
    )
    found = told(capsys, MODEL, "--version", "1")
    assert (found["standing"], [row["kind"] for row in found["events"]]) == (
        "the champion",
        ["intent", "done"],
    )
    training = found["training"]
    assert training["dataset"] == dataset.to_dict()
    assert (training["digest"], training["run_id"]) == (first.digest, first.run_id)
    assert (training["score"], training["airflow"]["dag_id"]) == (first.score, "flights.train")
    page = lines(printed(capsys, MODEL, "--version", "1"))
    for fact in (
        "flights version 1: the champion",
        f"flights 2013-02, version {dataset.version} with digest {dataset.digest[:12]}…",
        first.run_id,
        "airflow mlops reproduce flights 1",
        "– → 1",
    ):
        assert fact in page
    refused = told(capsys, MODEL, "--version", "2")
    assert (refused["standing"], refused["training"]["digest"]) == ("never was champion", second.digest)
    assert [gate["name"] for gate in refused["gates"]] == ["versus_champion.roc_auc", "floor.brier"]
    assert [row["reason"] for row in refused["events"]] == ["no better"]
    page = lines(printed(capsys, MODEL, "--version", "2"))
    assert "improvement +0.031 lies above 0" in page
    assert "1 from a probability of 0.3 on (set by the spec)" in page


def test_the_ledger_remembers_a_version_that_was_deleted(store: History, capsys: Capture) -> None:
    assert store.client
    promote(store)
    mlops(MODEL, "--version", "2")
    out, err = capsys.readouterr()
    assert "flights version 2: was champion" in out
    assert "versus_champion.roc_auc" in out
    assert err.startswith("Without what MLflow knows of it: Model 'flights' has no version '2'")


def test_another_version_of_the_same_number_is_not_told_as_the_one_of_the_ledger(
    store: History, capsys: Capture
) -> None:
    store.publish("2013-01")
    store.crown(store.train(store.publish("2013-02")), "2013-01")
    store.client.set_model_version_tag(MODEL, "1", "mlops.digest", "f" * 64)
    mlops(MODEL, "--version", "1")
    out, err = capsys.readouterr()
    assert "flights version 1: was champion" in out
    assert "was deleted and trained again, or somebody has changed it" in err


def test_a_version_that_nobody_knows_is_told(store: History) -> None:
    assert store.client
    promote(store)
    with pytest.raises(
        SystemExit, match="Model 'flights' has no version '9'; it has none.*ledger does not name"
    ):
        mlops(MODEL, "--version", "9")


def trial(store: History, action: Action, partition: str, **changes: Any) -> None:
    facts = {"before": "1", "after": "1", "candidate": "2", "checks": GATES, "key": f"run-{partition}"}
    decision = make_decision(partition, action, **facts | changes)
    for kind in (RowKind.INTENT, RowKind.DONE):
        ledger.record(store.uri("ledger"), kind, decision, actor="flights.monitor/run-2")


def test_a_trial_is_told_from_its_begin_to_its_end(store: History, capsys: Capture) -> None:
    assert store.client
    trial(store, Action.CHALLENGING, "2013-02")
    page = printed(capsys, MODEL)
    assert page.count("challenging") == 2  # what, and the reason
    assert "2 of 2 gates passed" in page
    found = told(capsys, MODEL, "--version", "2")
    assert found["standing"] == "the challenger, on trial"
    trial(store, Action.DROPPED, "2013-03", checks=())
    assert "dropped" in printed(capsys, MODEL)
    found = told(capsys, MODEL, "--version", "2")
    assert (found["standing"], len(found["events"])) == ("never was champion", 4)
    assert [gate["name"] for gate in found["gates"]] == ["versus_champion.roc_auc", "floor.brier"]
