"""A server that answers like Airflow's REST API, for the DAGs of one model of months."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse

from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.catch_up import STAGES
from history import MODEL, make_decision, month

TOKEN = "a-token"
JUDGED = {"name": "c", "verdict": "PASS", "expected": "e", "reason": "r"}


class AirflowServer:
    """DAGs with their runs, which go on by one partition whenever somebody looks.

    :param scheduled: key of the partition that the schedule starts as soon as ``ingest`` is unpaused; None for none.
    :param failing: keys of partitions whose ``ingest`` fails, until it is cleared.
    """

    def __init__(self, scheduled: str | None = None, failing: tuple[str, ...] = ()) -> None:
        self.scheduled = scheduled
        self.failing = {*failing}
        self.paused = {f"{MODEL}.{stage}": True for stage in STAGES}
        self.unpaused: list[str] = []
        self.runs: list[dict[str, Any]] = []
        self.decided: list[tuple[str, Action]] = []
        self.decisions: dict[str, PromotionDecision] = {}
        self.refusals: dict[str, int] = {}
        self.cleared: list[tuple[str, bool]] = []
        self.requests: list[str] = []
        self.numbers = count()
        self.url = ""

    def add(self, stage: str, key: str, state: str, **changes: Any) -> dict[str, Any]:
        number = next(self.numbers)
        run = {
            "dag_id": f"{MODEL}.{stage}", "dag_run_id": f"run {number}", "partition_key": key, "state": state,
            "duration": 1.0, "run_after": month(key).end.isoformat(), "conf": {}, "number": number,
        } | changes  # fmt: skip
        self.runs.append(run)
        return run

    def decide(self, key: str, action: Action = Action.KEPT, **changes: Any) -> None:
        """Leave the runs of a partition that was decided."""
        for stage in STAGES[:-1]:
            self.add(stage, key, "success")
        self._decide(self.add("train", key, "success"), action, **changes)

    def _decide(self, run: dict[str, Any], action: Action = Action.KEPT, **changes: Any) -> None:
        run["state"] = "success"
        key = run["partition_key"]
        self.decided.append((key, action))
        self.decisions[run["dag_run_id"]] = make_decision(key, action, **changes)

    def go_on(self) -> None:
        """Bring the partition that is first in line through the DAGs."""
        waiting = [run for run in self.runs if run["state"] == "queued" and not self.paused[run["dag_id"]]]
        for run in sorted(waiting, key=lambda run: run["run_after"])[:1]:
            stage, key = run["dag_id"].rpartition(".")[2], run["partition_key"]
            if key in self.failing:
                run["state"] = "failed"
                return
            run["state"] = "success"
            if stage == "train":
                self._decide(
                    run, Action.RECORDED if run["conf"].get("record") else Action.KEPT, checks=(JUDGED,)
                )
            for later in STAGES[STAGES.index(stage) + 1 :]:
                following = self.add(later, key, "success")
                if later == "train":
                    past = any(other > key for other, _ in self.decided)
                    self._decide(following, checks=() if past else (JUDGED,))

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if path == "dags":
            dags = [{"dag_id": dag, "is_paused": paused} for dag, paused in self.paused.items()]
            return 200, {"dags": [dag for dag in dags if dag["dag_id"].startswith(f"{query['tags'][0]}.")]}
        if path == "importErrors":
            return 200, {"import_errors": []}
        if path == "backfills/dry_run":
            first, last = (Partition.parse(body[key][:7], "month") for key in ("from_date", "to_date"))
            return 200, {"backfills": [{"partition_key": partition.key} for partition in first.through(last)]}
        dag, _, rest = path.removeprefix("dags/").partition("/")
        if method == "PATCH":
            return self._unpause(dag)
        if rest == "dagRuns":
            return self._dag_runs(dag, method, query, body)
        return self._of_a_run(rest, body)

    def _unpause(self, dag: str) -> tuple[int, Any]:
        self.paused[dag] = False
        self.unpaused.append(dag.rpartition(".")[2])
        if dag.endswith(".ingest") and self.scheduled:
            self.add("ingest", self.scheduled, "queued")
        return 200, {}

    def _dag_runs(self, dag: str, method: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        stage = dag.rpartition(".")[2]
        if method == "POST":
            self.add(stage, body["partition_key"], "queued", **body)
            return 200, {}
        if stage == "ingest":
            self.go_on()
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        runs = [run for run in self.runs if run["dag_id"] == dag]
        return 200, {"dag_runs": runs[offset : offset + limit]}

    def _of_a_run(self, rest: str, body: Any) -> tuple[int, Any]:
        run_id = rest.split("/")[1]
        if rest.endswith("/clear"):
            [run] = [run for run in self.runs if run["dag_run_id"] == run_id]
            run["state"] = "queued"
            self.cleared.append((run["dag_id"].rpartition(".")[2], body["only_failed"]))
            self.failing.discard(run["partition_key"])
            return 200, {}
        if "/xcomEntries/" in rest:
            decision = self.decisions.get(run_id) if "/record/" in rest else None
            value = decision.to_dict() if decision else {"rows": 1234} if "/publish/" in rest else None
            return (200, {"value": value}) if value else (404, {"detail": "no XCom"})
        return 200, {"task_instances": []}


@contextmanager
def serving(server: AirflowServer) -> Iterator[AirflowServer]:
    """Serve until the block ends; ``server.refusals`` says which requests get another status, as ``GET dags``; 500 and 503 once."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            url = urlparse(self.path)
            path = url.path.removeprefix("/team/api/v2/").replace("%20", " ")
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            request = f"{self.command} {path}"
            server.requests.append(request)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, answer = 401, {"detail": "Invalid token"}
            elif request in server.refusals:
                status, answer = server.refusals[request], {"detail": "no"}
                if status == 500:
                    answer = {"detail": {"reason": "Database error", "statement": "hidden"}}
                if status in (500, 503):
                    del server.refusals[request]
            else:
                status, answer = server.answer(self.command, path, parse_qs(url.query), body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_one

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=http.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{http.server_port}/team"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
