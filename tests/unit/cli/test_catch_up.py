from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops.cli import main
from airflow_mlops.local import home
from airflow_mlops.local.api import TOKEN as VARIABLE
from airflow_server import TOKEN, AirflowServer, serving
from history import MODEL

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

# Whoever starts the tests may have had it ignored.
DRIVER = """
import signal
from airflow_mlops.cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)
main({words!r})
"""
MONTHS = ["catch-up", MODEL, "--from", "2013-01", "--to", "2013-02"]


def called(*words: str) -> str | int | None:
    with pytest.raises(SystemExit) as ended:
        main.main([*MONTHS, *words])
    return ended.value.code


def test_history_goes_through_the_dags_of_an_airflow_anywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    with serving(AirflowServer()) as server:
        assert called("--url", f"{server.url}/") == 0
    said = capsys.readouterr().out
    assert f"2 partitions of {MODEL} go through its DAGs, one after the other: {server.url}\n" in said
    assert "2013-02 ingest success 1 s" in said
    assert "kept in a test" in said


def test_without_a_span_it_is_that_of_the_spec_beside_the_dag_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    (tmp_path / "models").mkdir()
    for key in ("2013-01", "2013-02", "2013-03"):
        (tmp_path / f"{key}.csv").touch()
    (tmp_path / "models" / f"{MODEL}.yaml").write_text(
        f"name: {MODEL}\ntask: classification\ntarget: late\nkey: [id]\nevent_time: at\npartition: month\n"
        f"start: 2013-02\nsource: {{files: '{tmp_path}/{{partition}}.csv'}}\n"
    )
    with serving(AirflowServer()) as server, pytest.raises(SystemExit) as ended:
        main.main(["catch-up", MODEL, "--url", server.url, "--dags", str(tmp_path)])
    assert ended.value.code == 0
    assert f"2 partitions of {MODEL} go through its DAGs" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"with --from and --to: .*/models/others.yaml, which would tell"):
        main.main(["catch-up", "others", "--dags", str(tmp_path)])


def test_a_token_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with serving(AirflowServer()) as server:
        assert called("--url", server.url, "--token-file", str(tmp_path / "token")) == 0


def test_without_a_token_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with serving(AirflowServer()) as server:
        assert f"A token is needed for {server.url}, in {VARIABLE}" in str(called("--url", server.url))
    assert not server.requests


def test_what_was_decided_already_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    with serving(AirflowServer()) as server:
        server.decide("2013-02")
        assert "With --for-the-record they go through the DAGs" in str(called("--url", server.url))
        assert called("--url", server.url, "--for-the-record") == 0


def test_a_partition_that_failed_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    with serving(AirflowServer(failing=("2013-01",))) as server:
        assert called("--url", server.url) == 1


@pytest.mark.parametrize(
    ("first", "last", "problem"),
    [
        ("2013-02", "2013-01", "--from 2013-02 is after --to 2013-01."),
        ("2013-01", "2013-01-31", "are no partitions; write both as"),
        ("January", "2013-01", "are no partitions"),
    ],
)
def test_keys_that_are_no_span_are_refused(first: str, last: str, problem: str) -> None:
    assert problem in str(called("--from", first, "--to", last))


def test_without_a_running_airflow_it_says_how_to_start_one(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    assert f"airflow-mlops start --dags {dags}" in str(called("--dags", str(dags)))
    with home.locked(home.of(dags)):
        pass
    assert "No Airflow of" in str(called("--dags", str(dags)))


def test_after_ctrl_c_it_says_how_to_go_on() -> None:
    with serving(AirflowServer()) as server:
        # Nothing ever goes on.
        server.go_on = lambda: None  # type: ignore[method-assign]
        words = [*MONTHS, "--url", server.url]
        with subprocess.Popen(
            [sys.executable, "-c", DRIVER.format(words=words)],
            env={**os.environ, VARIABLE: TOKEN}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            while "ingest queued" not in process.stdout.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command follows it again" in said
    assert "Traceback" not in said
