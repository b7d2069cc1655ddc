"""Print lines of the benchmark as a table in Markdown: the defaults on each stream, beside the best fixed policy."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from airflow_mlops.domain.spec.replay import CURRENT, EVERY
from benchmarks.streams.replays import FORMER

HEADER = (
    "stream", "months", "trainings, of every month's", "gap closed, ranking", "gap closed, proper score",
    "worst quarter", "false alarms", "delay of alarms", "worthless months, untold", "untold by the former defaults",
)  # fmt: skip


def rows(lines: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield a row of cells for each stream and length.

    :param lines: of the benchmark; others are left out.
    """
    outcomes = [json.loads(line) for line in lines if line.startswith("{")]
    for line in outcomes:
        if line["policy"] == CURRENT:
            same = [other for other in outcomes if _stream(other) == _stream(line)]
            yield _row(line, {other["policy"]: other for other in same})


def _stream(line: dict[str, Any]) -> tuple[str, int]:
    return line["stream"], line["length"]


def _row(line: dict[str, Any], policies: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    trainings = policies[EVERY]["trainings"]
    delays = ["none" if delay is None else str(delay) for delay in line["delays"]]
    return (
        line["stream"],
        str(line["length"]),
        f"{line['trainings']} of {trainings} ({line['trainings'] / trainings:.0%})",
        _closed(line["ranking"]),
        _closed(line["proper"]),
        f"{line['ranking']['worst']:+.3f}, {line['proper']['worst']:+.3f}",
        str(line["false_alarms"]),
        ", ".join(delays),
        f"{line['worthless']}, {line['untold']}",
        str(policies[FORMER]["untold"]),
    )


def _closed(gap: dict[str, Any]) -> str:
    distance, low, high = gap["distance"]
    if gap["closed"] is None:
        return f"no gap: {distance:+.4f} [{low:+.4f}, {high:+.4f}]"
    closed, least, most = gap["closed"]
    return f"{closed:.2f} [{least:.2f}, {most:.2f}] of {distance:.4f}"


def main(lines: Iterable[str]) -> None:
    """Print the table."""
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for row in rows(lines):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main(sys.stdin)
