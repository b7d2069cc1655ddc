from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops import ModelSpec
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.local import demo, home, ui
from history import make_decision

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _signals_are_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the demo in a folder, and return its exit code and what it said, on one line."""
    code = demo.main(["--home", str(folder / "home"), "--dags", str(folder / "dags"), *arguments])
    return code, " ".join(capsys.readouterr().out.split())


def test_without_dag_files_it_says_where_they_were_looked_for_and_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/of-the-last-demo").touch()
    code, said = run(tmp_path, capsys)
    assert code == 1
    assert "There are no DAG files in" in said
    assert "run the demo in a checkout" in said
    assert (tmp_path / "home/of-the-last-demo").exists()


def test_a_port_in_use_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dags").mkdir()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = run(tmp_path, capsys, "--port", str(port))
    assert code == 1
    assert f"Port {port} of 127.0.0.1 is in use; choose another one" in said


def test_a_month_that_is_none_is_named_with_the_form_it_should_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dags").mkdir()
    code, said = run(tmp_path, capsys, "--from", "January")
    assert code == 1
    assert "'January' is no month partition; write it as %Y-%m" in said


def test_an_unknown_option_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, capsys, "--kepe")
    assert stopped.value.code == 2
    assert "--kepe" in capsys.readouterr().err


def test_state_of_a_demo_lies_in_its_folder(tmp_path: Path) -> None:
    settings = home.settings(tmp_path, 5001)
    assert settings["AIRFLOW__MLOPS__STORAGE"] == f"file://{tmp_path}/storage"
    assert settings["AIRFLOW__MLOPS__TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert settings["AIRFLOW__MLOPS__MLFLOW_URL"] == "http://127.0.0.1:5001"


def test_mlflow_is_not_opened_before_there_was_a_demo(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run make demo first"):
        ui.main(tmp_path)


def test_a_demo_that_is_kept_mails_from_a_copy_of_its_spec(tmp_path: Path) -> None:
    dags = demo._mailing(ROOT / "dags", tmp_path / "dags")
    spec = ModelSpec.load(dags / f"models/{demo.MODEL}.yaml")
    assert spec.alerts.email == ("you@localhost",)
    assert not ModelSpec.load(ROOT / f"dags/models/{demo.MODEL}.yaml").alerts.email
    assert (dags / f"{demo.MODEL}.py").exists()


def test_five_pages_are_worth_opening() -> None:
    airflow, mlflow, mailbox = "http://127.0.0.1:8080", "http://127.0.0.1:5000", "http://127.0.0.1:8025"
    promoted = [make_decision(key, Action.PROMOTED) for key in ("2013-02", "2013-03")]
    pages = demo._worth_opening(airflow, mlflow, mailbox, promoted)
    assert len(pages) == 5
    assert pages["the model card"].endswith("/mlops/reports/flight_delays/2013-03/model_card.html")
    assert "pip install" in demo._worth_opening(airflow, mlflow, None, [])["the mails"]
