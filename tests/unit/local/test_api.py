from __future__ import annotations

import socket

import pytest

from airflow_mlops.local import api
from airflow_mlops.local.api import AirflowApi, ApiError
from airflow_server import TOKEN, AirflowServer, serving

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more


def test_a_token_that_airflow_does_not_take_is_told_with_where_to_get_another() -> None:
    with serving(AirflowServer()) as server, pytest.raises(ApiError) as refused:
        AirflowApi(server.url, "old").call("GET", "dags", params={"tags": "flights"})
    assert f"POST {server.url}/auth/token" in str(refused.value)
    assert "AIRFLOW_MLOPS_TOKEN or by --token-file" in str(refused.value)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("status", "advice"), [(403, "see, edit and start the DAGs"), (404, "is the name right")]
)
def test_a_refusal_says_what_is_needed(status: int, advice: str) -> None:
    with serving(AirflowServer()) as server:
        server.refusals["GET dags"] = status
        with pytest.raises(ApiError, match=advice) as refused:
            AirflowApi(server.url, TOKEN).call("GET", "dags")
    assert refused.value.status == status


def test_what_a_restarting_server_does_not_answer_is_asked_again() -> None:
    with serving(AirflowServer()) as server:
        server.refusals["GET importErrors"] = 503
        assert AirflowApi(server.url, TOKEN).call("GET", "importErrors") == {"import_errors": []}
    assert server.requests == ["GET importErrors"] * 2


def test_what_was_rolled_back_as_airflow_s_database_was_locked_is_sent_again() -> None:
    with serving(AirflowServer()) as server:
        server.refusals["POST dags/flights.ingest/dagRuns"] = 500
        run = {"dag_run_id": "1", "logical_date": None, "partition_key": "2013-01", "conf": {}}
        run["run_after"] = "2013-01-31T00:00:00+00:00"
        AirflowApi(server.url, TOKEN).call("POST", "dags/flights.ingest/dagRuns", json=run)
    assert server.requests == ["POST dags/flights.ingest/dagRuns"] * 2
    assert len(server.runs) == 1


def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PATIENCE", 0.1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(ApiError, match=rf"at {url}\. Is it up, and reachable from here\?"):
            AirflowApi(url, TOKEN).call("GET", "dags")
