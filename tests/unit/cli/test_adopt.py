from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.cli.cli_parser import get_parser
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.stages.promote import promote
from airflow_mlops.stores.registry import ledger, registry
from contexts import deploy
from foreign_models import fitted, register, save
from history import MODEL, History, rows_of

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """Version 1, which nobody has made champion."""
    blessed = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="it predicts alike")
    monkeypatch.setattr(promote, "_blessed", lambda *_: blessed)
    monkeypatch.setattr("airflow.secrets.metastore.MetastoreBackend.get_connection", lambda *_, **__: None)
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.publish("2013-01")
        history.train(history.publish("2013-02"))
        yield history


def mlops(*command: str) -> None:
    args = get_parser().parse_args(["mlops", "adopt", MODEL, *command])
    args.func(args)


def test_a_version_is_adopted_once(history: History, capsys: Capture) -> None:
    mlops("1", "--reason", "by hand")
    told = capsys.readouterr().out
    assert "champion of flights: none → version 1\n" in told
    assert told.endswith(": by hand\n")
    move = ledger.moves(history.uri("ledger"))[-1]
    assert (move.action, move.after, move.reason) == (Action.ADOPTED, "1", "by hand")
    mlops("1", "--reason", "by hand")
    assert capsys.readouterr().out == "Nothing to do: version 1 is the champion already.\n"
    mlops("1", "--challenger", "--reason", "to compare")
    assert capsys.readouterr().out.startswith("challenger of flights: version 1\n")


def test_a_command_that_was_cut_off_is_finished_by_its_repetition(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("the connection was refused")

    with monkeypatch.context() as down:
        down.setattr(MlflowClient, "set_registered_model_alias", refuse)
        with pytest.raises(SystemExit, match=r"refused\nThe alias may have moved. Run it again"):
            mlops("1", "--reason", "by hand")
    mlops("1", "--reason", "by hand")
    assert registry.champion_version(history.client, MODEL) == "1"
    assert len(ledger.moves(history.uri("ledger"))) == 1


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("1", "--reason", " "), "--reason is empty"),
        (("7", "--reason", "r"), "Nothing was adopted: .*no version '7'"),
    ],
)
def test_what_cannot_be_done_is_said(command: tuple[str, ...], problem: str) -> None:
    with pytest.raises(SystemExit, match=problem):
        mlops(*command)


SPEC = """
name: flights
task: classification
target: late
key: [flight]
event_time: departure
partition: month
source: {files: "{partition}.parquet"}
features: {numeric: [distance, wind], categorical: [carrier, origin]}
"""


def test_a_version_of_a_notebook_is_taken_in_and_adopted(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "dags" / "models").mkdir(parents=True)
    spec = tmp_path / "dags" / "models" / "flights.yaml"
    spec.write_text(SPEC)
    monkeypatch.setattr("airflow_mlops.cli.connect.find_code", lambda: [tmp_path / "dags"])
    folder = save(fitted(rows_of("2013-01")), tmp_path / "notebook", "cloudpickle")
    number = register(history.client, folder, tags={"trained_until": "2013-01"})
    with pytest.raises(
        SystemExit, match=r"Nothing was adopted: version 1 of 'notebook' .*train: {trust: pickle}"
    ):
        mlops(number, "--of", "notebook", "--reason", "it serves")
    spec.write_text(f"{SPEC}train: {{trust: pickle}}\n")
    mlops(number, "--of", "notebook", "--to", "2013-01", "--reason", "it serves")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        "version 1 of notebook (cloudpickle) was taken in as version 2 of flights: classification by wind, distance, origin, carrier, "
        "classes 0, 1"
    )
    rows = rows_of("2013-01").num_rows
    assert printed[1] == f"drift is measured against {rows} rows, 2013-01-01 00:00 to 2013-02-01 00:00"
    assert printed[2] == "champion of flights: none → version 2"
    mlops(number, "--of", "notebook", "--to", "2013-01", "--reason", "it serves")
    assert "Nothing to do: version 2 is the champion already.\n" in capsys.readouterr().out


def test_options_of_elsewhere_are_refused_for_a_version_of_ours(history: History) -> None:
    with pytest.raises(SystemExit, match="--trained-until is for a version that was trained elsewhere"):
        mlops("1", "--trained-until", "2013-01", "--reason", "r")
