"""What a call of the ledger and of the outbox costs as they grow."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

RUNS = int(os.environ.get("BENCHMARK_RUNS", "15"))
"""Calls of each kind; long and short journals take turns."""
ROWS = (100, 1_000, 10_000, 50_000)
LIMIT = 2.0
"""How much more a call on the longest journal may cost than one on the shortest."""

_START = datetime(2023, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Growth:
    """Seconds of the fastest call on a journal: whatever else the machine does only adds to it.

    :param ratio: to the same call on the shortest journal.
    :param files: of the journal.
    """

    work: str
    case: str
    rows: int
    seconds: float
    ratio: float
    files: int

    def line(self) -> str:
        """Return the figures as a JSON object in one line."""
        return json.dumps(asdict(self))


def compare(say: Callable[[str], None]) -> Iterator[Growth]:
    """Make the calls that stages make, on journals of 100 to 50,000 rows.

    :raises RuntimeError: if a call on the longest costs more than twice what it costs on the shortest.
    """
    slow: list[str] = []
    with tempfile.TemporaryDirectory(prefix="benchmark-journal-") as folder:
        for name, calls in (("ledger", _ledger_calls), ("outbox", _outbox_calls)):
            uris = {count: f"file://{folder}/{count}/{name}" for count in ROWS}
            for count, uri in uris.items():
                say(f"{name}: {count:,} rows")
                fill(uri, name, count)
            calls_of = {count: calls(uri, count) for count, uri in uris.items()}
            for case in calls_of[ROWS[0]]:
                say(f"{name}/{case}")
                took = _take_turns({count: calls_of[count][case] for count in ROWS})
                for count in ROWS:
                    ratio = round(took[count] / took[ROWS[0]], 2)
                    yield Growth(
                        "journal", f"{name}/{case}", count, round(took[count], 4), ratio, files(uris[count])
                    )
                if ratio > LIMIT:
                    slow.append(f"{name}/{case}: {ratio} times")
    if slow:
        raise RuntimeError(
            f"{ROWS[-1]:,} rows cost more than {LIMIT} times what {ROWS[0]} do: {'; '.join(slow)}"
        )


def fill(uri: str, name: str, count: int) -> None:
    """Write a journal as that many appends would have left it: a decision an hour, or a notice an hour that was mailed."""
    import pyarrow as pa
    from deltalake import WriterProperties, write_deltalake

    from airflow_mlops.reporting.alerts import entries
    from airflow_mlops.stores.registry import ledger
    from airflow_mlops.stores.tables import journal, tables

    columns, rows = (
        (ledger._TEXT, _ledger_rows(count)) if name == "ledger" else (entries.COLUMNS, _outbox_rows(count))
    )
    table = pa.Table.from_pylist(rows, journal._schema(columns))
    tables.create(uri, table.schema)
    for first, end in _files(count, journal._FILES):
        write_deltalake(
            uri,
            table.slice(first, end - first).combine_chunks(),
            mode="append",
            writer_properties=WriterProperties(max_row_group_size=journal._GROUP_ROWS),
        )


def files(uri: str) -> int:
    """Return how many files a journal has."""
    from airflow_mlops.stores.tables import tables

    return len(tables.open_table(uri).file_uris())


def _files(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the files of so many rows: as many of each power of a number as it has digits for."""
    first = 0
    while first < count:
        length = 1
        while length * size <= count - first:
            length *= size
        yield first, first + length
        first += length


def _take_turns(calls: dict[int, Callable[[], Any]]) -> dict[int, float]:
    took: dict[int, list[float]] = {count: [] for count in calls}
    for run in range(RUNS + 1):
        for count, call in calls.items():
            began = time.perf_counter()
            call()
            if run:
                took[count].append(time.perf_counter() - began)
    return {count: min(seconds) for count, seconds in took.items()}


def _ledger_calls(uri: str, count: int) -> dict[str, Callable[[], Any]]:
    from airflow_mlops.stores.registry import ledger

    hours = iter(range(count, count + 10 * RUNS))
    last, middle = _decision(count - 1), _decision(count // 2)
    return {
        "record": lambda: ledger.record_decision(uri, _decision(next(hours)), actor="benchmark"),
        "decision": lambda: ledger.decision(uri, last.partition),
        "decision of long ago": lambda: ledger.decision(uri, middle.partition),
        "begun": lambda: ledger.begun(uri, "of no row"),
        "pending": lambda: len(ledger.pending(uri)),
        "reached": lambda: ledger.reached(uri, last.partition),
        "champion_as_of": lambda: ledger.champion_as_of(uri, middle.partition),
        "latest_partition": lambda: ledger.latest_partition(uri),
        "attempts": lambda: ledger.attempts(uri),
        "trial": lambda: ledger.trial(uri),
    }


def _outbox_calls(uri: str, count: int) -> dict[str, Callable[[], Any]]:
    from airflow_mlops.reporting.alerts import outbox
    from airflow_mlops.reporting.alerts.channel import Receipt

    numbers = iter(range(count, count + 10 * RUNS))

    def send(notice: Any, to: Sequence[str]) -> Receipt:
        return Receipt(settled=tuple(to))

    return {
        "put": lambda: outbox.put(uri, _notice(next(numbers)), cooldown=timedelta(days=36500)),
        "pending": lambda: outbox.pending(uri),
        "put and deliver": lambda: (
            outbox.put(uri, _notice(next(numbers))),
            outbox.deliver(uri, send, lambda levels: ["team@example.com"]),
        ),
        "put again": lambda: outbox.put(uri, _notice(count // 3 - 1)),
        "recover": lambda: outbox.recover(uri, "of no notice", lambda notice: notice),
    }


def _ledger_rows(count: int) -> list[dict[str, Any]]:
    from airflow_mlops.stores.registry import ledger

    decisions = [_decision(hour) for hour in range(count)]
    return [
        ledger._columns(
            ledger._new(
                ledger.RowKind.DECISION,
                decision,
                "benchmark",
                decision.reason,
                _START + timedelta(hours=hour),
            )
        )
        for hour, decision in enumerate(decisions)
    ]


def _outbox_rows(count: int) -> list[dict[str, Any]]:
    from airflow_mlops.reporting.alerts import entries
    from airflow_mlops.reporting.alerts.entries import State
    from airflow_mlops.stores.tables.selection import Selection

    rows: list[dict[str, Any]] = []
    for number in range(count):
        notice = _notice(number // 3)
        state = (State.PENDING, State.SENDING, State.SENT)[number % 3]
        rows.append(
            entries.event(
                Selection.of(rows[-1:]), state, _START + timedelta(minutes=20 * number), [notice.id],
                notice=notice if state is State.PENDING else None,
            )
        )  # fmt: skip
    return rows


def _decision(hour: int) -> Any:
    from airflow_mlops.domain.checks import Check, Verdict
    from airflow_mlops.domain.facts.results import PromotionDecision

    partition = f"{_START + timedelta(hours=hour):%Y-%m-%dT%H}"
    checks = [
        Check(
            name=f"check {number}",
            verdict=Verdict.PASS,
            expected="at most 0.1",
            observed="0.05",
            reason="well within its limit",
        )
        for number in range(8)
    ]
    return PromotionDecision(
        model="flights", partition=partition, action="kept", before="12", after="12", checks=tuple(checks),
        reason="no rule asks for a training", key=f"scheduled__{partition}:00:00+00:00",
    )  # fmt: skip


def _notice(number: int) -> Any:
    from airflow_mlops.domain.spec.alerts import Event, Level
    from airflow_mlops.reporting.alerts.notice import Notice, Status

    return Notice(
        id=f"flights.ingest/validate/{number}#0", key="flights.ingest/validate", topic="flights.ingest", event=Event.VALIDATION,
        status=Status.FAILED, levels=(Level.URGENT,), title="flights: the validation failed", badge="FAILED",
        summary=tuple(f"sentence {sentence} of what to know if nothing else is read" for sentence in range(10)),
    )  # fmt: skip
