from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.cli.cli_parser import get_parser
from airflow.sdk import Connection
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops import config
from airflow_mlops.cli import rollback
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.stages.promote import moves, promote
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import RowKind
from contexts import deploy
from history import MODEL, STIFF, History, make_decision
from synthetic import make_client

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

Capture = pytest.CaptureFixture[str]
STORED = "airflow.secrets.metastore.MetastoreBackend.get_connection"
"""How server processes, and they alone, find the connections in Airflow's database."""


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """Version 2 has followed version 1."""
    monkeypatch.setattr(STORED, lambda *_, **__: None)
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.publish("2013-01")
        dataset = history.publish("2013-02")
        history.crown(history.train(dataset), "2013-02")
        history.crown(history.train(dataset, candidate=STIFF), "2013-03")
        yield history


@pytest.fixture
def unblessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process a test would take minutes in all."""
    blessed = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="blessed in another test")
    monkeypatch.setattr(promote, "_blessed", lambda *_: blessed)


def mlops(*command: str) -> None:
    args = get_parser().parse_args(["mlops", "rollback", MODEL, *command])
    args.func(args)


def test_it_goes_back_to_the_version_before_and_a_second_time_nowhere(
    history: History, capsys: Capture
) -> None:
    mlops("--reason", "complaints")
    told = capsys.readouterr().out
    assert "champion of flights: version 2 → version 1\n" in told
    assert "loaded and predicted" in told
    last = ledger.moves(history.uri("ledger"))[-1]
    assert (last.action, last.after, last.reason, last.partition) == (
        Action.ROLLED_BACK,
        "1",
        "complaints",
        "2013-03",
    )
    assert "@" in last.actor
    assert registry.champion_version(history.client, MODEL) == "1"
    mlops("--reason", "complaints")
    assert "Nothing to do: version 1 is the champion already" in capsys.readouterr().out
    assert ledger.moves(history.uri("ledger"))[-1] == last


@pytest.mark.usefixtures("unblessed")
def test_a_command_that_was_cut_off_is_finished_by_its_repetition(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("the connection was refused")

    with monkeypatch.context() as down:
        down.setattr(MlflowClient, "set_registered_model_alias", refuse)
        with pytest.raises(SystemExit, match=r"refused\n.*may have moved, .*Run it again"):
            mlops("--reason", "complaints")
    assert registry.champion_version(history.client, MODEL) == "2"
    mlops("--reason", "complaints")
    assert registry.champion_version(history.client, MODEL) == "1"
    assert [row.kind for row in ledger.rows(history.uri("ledger"))[-2:]] == [RowKind.INTENT, RowKind.DONE]


@pytest.mark.usefixtures("unblessed")
def test_a_command_with_another_aim_than_one_that_was_cut_off_does_not_continue_it(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = make_decision("2013-03", Action.ROLLED_BACK, before="2", after="3", key="cut off")
    ledger.record(history.uri("ledger"), RowKind.INTENT, left, actor=rollback.person())
    with pytest.raises(SystemExit, match="Nothing was rolled back: .* while cut off moves the alias"):
        mlops("--reason", "complaints", "--to", "1")
    monkeypatch.setattr(moves, "_LEASE", timedelta(0))
    mlops("--reason", "complaints", "--to", "1")
    assert registry.champion_version(history.client, MODEL) == "1"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["--reason", " "], "--reason is empty"),
        (["--reason", "x", "--to", "7"], "has no version '7'; it has 1, 2"),
        (["--reason", "x", "--to", "one"], "has no version 'one'; it has 1, 2"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    history: History, command: list[str], said: str
) -> None:
    before = ledger.rows(history.uri("ledger"))
    with pytest.raises(SystemExit, match=said):
        mlops(*command)
    assert ledger.rows(history.uri("ledger")) == before


def test_a_model_without_a_ledger_is_named() -> None:
    args = get_parser().parse_args(["mlops", "rollback", "trains", "--reason", "x"])
    with pytest.raises(SystemExit, match="no ledger of 'trains' at .*/trains/ledger"):
        args.func(args)


@pytest.mark.usefixtures("unblessed")
def test_mlflow_is_that_of_the_connection_in_airflows_database(
    history: History, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (other := tmp_path / "other").mkdir()
    monkeypatch.setenv("AIRFLOW__MLOPS__TRACKING_URI", make_client(other).tracking_uri)
    config.tracking_uri.cache_clear()
    with pytest.raises(SystemExit, match="The champion of 'flights' is none"):
        mlops("--reason", "complaints")
    stored = Connection(conn_id="mlflow_default", conn_type="mlflow", host=history.client.tracking_uri)
    monkeypatch.setattr(STORED, lambda *_, **__: stored)
    mlops("--reason", "complaints")
    assert registry.champion_version(history.client, MODEL) == "1"
