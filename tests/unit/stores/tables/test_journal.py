"""Journals that grow: few files, every row once and in order, and no more read than is asked for."""

from __future__ import annotations

from math import log
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from airflow_mlops.stores.tables import journal, tables
from airflow_mlops.stores.tables.ordered import Match
from airflow_mlops.stores.tables.selection import Selection

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

FILES, ROWS = 3, 100


class Noted:
    """A row, as a list of rows that were read before has it."""

    def __init__(self, row: journal.JournalRow) -> None:
        self.number, self.kind, self.note = row["number"], row["kind"], row["note"]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Noted) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_FILES", FILES)
    monkeypatch.setattr(journal, "_GROUP_ROWS", 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "flights/ledger"


@pytest.fixture
def uri(folder: Path) -> str:
    return f"file://{folder}"


def append(uri: str, number: int) -> None:
    def decide(earlier: journal.OrderedRows, at: Any) -> journal.JournalRow:
        assert len(earlier) == number
        kind = "rare" if number % 40 == 7 else "common"
        return {"at": at, "number": f"{number:04}", "kind": kind, "note": None if number % 3 else "third"}

    journal.append(uri, ["number", "kind", "note"], decide)


def fill(uri: str, count: int = ROWS, first: int = 0) -> None:
    for number in range(first, first + count):
        append(uri, number)


def numbers(rows: list[journal.JournalRow]) -> list[int]:
    return [int(row["number"]) for row in rows]


def test_files_grow_with_the_logarithm_of_the_rows_and_rows_are_written_again_as_often(
    uri: str, folder: Path
) -> None:
    most = 0
    for number in range(ROWS):
        append(uri, number)
        sizes = journal.read(uri).sizes
        assert sum(sizes) == number + 1
        assert sizes == sorted(sizes, reverse=True)
        most = max(most, len(sizes))
    levels = log(ROWS, FILES) + 1
    assert most <= (FILES - 1) * levels
    written = sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))
    assert written <= ROWS * levels
    assert numbers(journal.rows(uri)) == list(range(ROWS))


def test_commits_and_merged_files_are_forgotten_once_they_are_old_and_no_row_is(
    uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(uri)
    commits, files = (sum(1 for _ in folder.glob(kind)) for kind in ("_delta_log/*.json", "*.parquet"))
    assert min(commits, files) > ROWS
    # As if a day had gone by.
    monkeypatch.setattr(journal, "_KEPT", dict.fromkeys(journal._KEPT, "interval 0 seconds"))
    fill(uri, FILES**2, ROWS)
    commits, files = (sum(1 for _ in folder.glob(kind)) for kind in ("_delta_log/*.json", "*.parquet"))
    assert max(commits, files) < 3 * FILES**2
    assert numbers(journal.rows(uri)) == list(range(ROWS + FILES**2))


def test_what_may_still_be_read_is_not_forgotten(uri: str) -> None:
    fill(uri, 10)
    reader = journal.read(uri)
    fill(uri, ROWS, 10)
    assert numbers(reader.rows()) == list(range(10))


@pytest.mark.parametrize(
    ("sizes", "first"),
    [
        ([], None),
        ([1], None),
        ([1, 1], None),
        ([1, 1, 1], 0),
        ([3, 1, 1], None),
        ([3, 1, 1, 1], 1),
        ([3, 3, 1, 1, 1], 0),
        ([9, 3, 1, 1, 1], 2),
        ([9, 9, 3, 3, 1, 1, 1], 0),
        # Of a former build: one large file, and many small ones.
        ([5000, *[1] * 40], 1),
    ],
)
def test_as_many_files_of_one_size_become_one(sizes: list[int], first: int | None) -> None:
    assert journal._first_merged(sizes) == first


def test_rows_are_found_where_they_lie(uri: str) -> None:
    fill(uri)
    stored = journal.read(uri)
    random = Random(0)
    for _ in range(20):
        positions = sorted(random.sample(range(ROWS), random.randint(0, 12)))
        assert numbers(stored.rows(positions)) == positions
    assert (
        stored.table([5, 77], ["kind", "of a later build"]).to_pylist()
        == [{"kind": "common", "of a later build": None}] * 2
    )


@pytest.mark.parametrize("stirred", [False, True])
def test_what_is_selected_is_what_a_list_would_give(uri: str, stirred: bool) -> None:
    fill(uri)
    if stirred:
        rows = tables.read(uri).to_pylist()
        Random(1).shuffle(rows)
        write_deltalake(uri, pa.Table.from_pylist(rows, tables.read(uri).schema), mode="overwrite")
        assert not journal.read(uri).in_order
    listed = [Noted(row) for row in journal.rows(uri)]
    assert [row.number for row in listed] == [f"{number:04}" for number in range(ROWS)]
    for rows in (Selection.stored(journal.read(uri), Noted), Selection.of(listed)):
        assert rows == listed
        assert rows[3:9:2] == listed[3:9:2]
        assert list(reversed(rows)) == listed[::-1]
        rare = rows.having("kind", "rare")
        assert rare == [row for row in listed if row.kind == "rare"]
        assert rare[-1] == [row for row in listed if row.kind == "rare"][-1]
        assert rows.without("kind", "common") == rare
        assert rows.without("note", "third") == [row for row in listed if row.note is None]
        assert rows.having("note", "third").having("kind", "rare") == [
            row for row in listed if row.note and row.kind == "rare"
        ]
        assert rows.from_on("number", "0090") == listed[90:]
        assert rows.before("number", "0003") == listed[:3]
        assert rows.since(rare) == listed[88:]
        assert rows.tail(4) == listed[-4:]
        assert [row.number for row in rows.last_of_each("kind")] == ["0087", "0099"]
        assert rows.having("kind", "rare").texts("number") == ["0007", "0047", "0087"]
        assert rows.lacks("note")
        assert not rows.lacks("kind")
        assert len(rows.having("kind", "of no row")) == 0
        with pytest.raises(IndexError):
            rows.having("kind", "of no row")[-1]


def test_an_append_puts_rows_in_order_that_somebody_else_has_stirred(uri: str) -> None:
    fill(uri, 20)
    rows = tables.read(uri).to_pylist()[::-1]
    write_deltalake(uri, pa.Table.from_pylist(rows, tables.read(uri).schema), mode="overwrite")
    fill(uri, 1, 20)
    assert journal.read(uri).in_order
    assert numbers(journal.rows(uri)) == list(range(21))


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the row groups that are read of one column or more beside the time."""
    counts: list[int] = []
    read_groups = pq.ParquetFile.read_row_groups

    def counted(self: Any, groups: list[int], *args: Any, **kwargs: Any) -> Any:
        counts.append(len(groups))
        return read_groups(self, groups, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counted)
    return counts


def test_only_what_may_hold_the_row_is_read(uri: str, groups: list[int]) -> None:
    fill(uri)
    stored = journal.read(uri)
    groups.clear()
    assert stored.find(Match("number", ("0042",))).to_pylist() == [42]
    assert sum(groups) == 1
    assert numbers(stored.rows([42])) == [42]
    assert sum(groups) == 2
    assert stored.find(Match("number", lowest="0097")).to_pylist() == [97, 98, 99]
    assert sum(groups) <= 5


def test_a_column_that_a_former_build_lacks_is_added(uri: str) -> None:
    journal.append(uri, ["number"], lambda rows, at: {"at": at, "number": "a"})
    assert Selection.stored(journal.read(uri), dict).lacks("kind")
    journal.append(uri, ["number", "kind"], lambda rows, at: {"at": at, "number": "b", "kind": "new"})
    assert [(row["number"], row["kind"]) for row in journal.rows(uri)] == [("a", None), ("b", "new")]
    rows = Selection.stored(journal.read(uri), lambda row: row)
    assert rows.without("kind", "new").texts("number") == ["a"]
    journal.complete(uri, ["number", "kind"], lambda row: {**row, "kind": row["kind"] or "old"})
    assert [row["kind"] for row in journal.rows(uri)] == ["old", "new"]
