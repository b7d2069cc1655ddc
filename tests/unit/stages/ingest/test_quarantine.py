from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import ReleaseRefused
from airflow_mlops.stages.ingest import ingest, quarantine
from airflow_mlops.stages.ingest.quarantine import Aside, Released
from airflow_mlops.stores.tables import exports, tables

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

START = datetime(2013, 1, 1, tzinfo=UTC)
COUNT = 10


def make_rows(count: int = COUNT, **columns: Any) -> pa.Table:
    """Build orders of January, of which the second and the fifth have a wrong weight."""
    weights = [1.5 + i for i in range(count)]
    weights[1], weights[4] = -1.0, -4.0
    rows = {
        "id": list(range(count)),
        "line": ["a"] * count,
        "at": [START + timedelta(hours=i) for i in range(count)],
        "weight": weights,
        "note": [("", None, 'say "no",\nplease')[i % 3] for i in range(count)],
        "gift": [(True, None)[i % 2] for i in range(count)],
        "price": pa.array([Decimal("1.20")] * count, pa.decimal128(9, 2)),
    }
    return pa.table({name: values for name, values in (rows | columns).items() if values is not None})


class Rows:
    """A source that always has the same rows."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def batches(self, partition: Any, types: Any = None) -> Iterator[pa.RecordBatch]:
        return iter(self.rows.to_batches())

    def describe(self, partition: Any) -> str:
        return "rows"

    def stamp(self, partition: Any) -> str:
        return "same"


class Prepare:
    """Feature preparation that leaves rows as they are, but for moving them to their partition."""

    version = "prepare:rows@1"

    def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
        if partition.start == START:
            return rows
        moved = pa.array([partition.start] * rows.num_rows, pa.timestamp("us", "UTC"))
        return rows.set_column(rows.column_names.index("at"), "at", moved)


class Orders:
    """The tables of a dataset, and a validation that refuses weights below 0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.aside = f"file://{folder}/quarantine"
        self.released = f"file://{folder}/released"
        self.staged = self.stage(make_rows())

    def stage(self, rows: pa.Table, partition: str = "2013-01") -> DatasetVersion:
        self.staged = ingest.stage(
            Rows(rows), Partition.parse(partition, "month"), uri=f"file://{self.folder}/staging",
            published=f"file://{self.folder}/data", name="orders", key=["id", "line"], event_time="at",
            transform=Prepare(), run="test",
        )  # fmt: skip
        return self.staged

    def run(self, rows: pa.Table | None = None) -> pa.Table:
        """Ingest and validate, as tasks do, and return the rows that go on."""
        staged = self.stage(make_rows() if rows is None else rows)
        staged = quarantine.correct(staged, released=self.released, run="test")
        found = tables.read(staged.uri, version=staged.version, partition=staged.partition)
        bad = pc.indices_nonzero(pc.fill_null(pc.less(found["weight"], 0), False)).to_pylist()
        allowed = quarantine.allowed(staged, bad, released=self.released)
        reasons = {row: f"weight is below 0 ({row})" for row in bad if row not in allowed}
        self.staged = quarantine.set_aside(staged, reasons, quarantine=self.aside, run="test")
        return tables.read(self.staged.uri, version=self.staged.version, partition=staged.partition)

    def export(self, name: str = "rows.csv") -> str:
        file = str(self.folder / name)
        exports.write(quarantine.rows(self.aside, "2013-01"), file, True)
        return file

    def edited(self, ending: str = ".jsonl", **changes: Any) -> str:
        """Export what is set aside, change columns of the first row, and return the file."""
        rows = pa.Table.from_batches(quarantine.rows(self.aside, "2013-01")).to_pylist()
        rows[0] |= changes
        file = self.folder / f"edited{ending}"
        file.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
        return str(file)

    def release(self, file: str | None = None, reason: str = "looked at", by: str = "ann") -> Released:
        return quarantine.release(
            self.staged, quarantine=self.aside, released=self.released, by=by, reason=reason, file=file
        )

    def weights_aside(self) -> list[float]:
        found = tables.read(self.aside, partition="2013-01") if tables.exists(self.aside) else None
        return sorted(found["weight"].to_pylist()) if found is not None else []


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path)


def weights(rows: pa.Table) -> dict[int, float]:
    return dict(zip(rows["id"].to_pylist(), rows["weight"].to_pylist(), strict=True))


def test_bad_rows_are_moved_with_their_reasons_and_the_others_stay(orders: Orders) -> None:
    good = orders.run()
    aside = tables.read(orders.aside, partition="2013-01")
    assert sorted(weights(good)) == [0, 2, 3, 5, 6, 7, 8, 9]
    assert orders.staged.rows == 8
    assert orders.staged.transform == "prepare:rows@1"
    assert weights(aside) == {1: -1.0, 4: -4.0}
    assert aside[quarantine.REASONS].to_pylist() == ["weight is below 0 (1)", "weight is below 0 (4)"]


def test_the_next_run_replaces_what_the_partition_has_in_quarantine(orders: Orders) -> None:
    orders.run()
    fixed = make_rows().filter(pc.field("weight") > 0)
    orders.run(pa.concat_tables([fixed, make_rows().slice(4, 1)]))
    assert orders.weights_aside() == [-4.0]
    orders.run(fixed)
    assert orders.weights_aside() == []
    assert quarantine.partitions(orders.aside) == []


def test_without_bad_rows_no_table_is_made_and_no_version_written(orders: Orders) -> None:
    staged = orders.stage(make_rows())
    assert quarantine.set_aside(staged, {}, quarantine=orders.aside, run="test") == staged
    assert quarantine.correct(staged, released=orders.released, run="test") == staged
    assert not tables.exists(orders.aside)


def test_other_partitions_keep_their_rows_in_quarantine(orders: Orders) -> None:
    orders.run()
    february = orders.stage(make_rows(), "2013-02")
    quarantine.set_aside(february, {0: "odd"}, quarantine=orders.aside, run="test")
    assert quarantine.partitions(orders.aside) == ["2013-01", "2013-02"]
    assert orders.weights_aside() == [-4.0, -1.0]


def test_a_row_is_found_by_position_also_behind_many_batches(orders: Orders) -> None:
    count, wrong = 200_000, [0, 65_535, 65_536, 131_072, 199_999]
    rows = make_rows(count, weight=[1.0] * count, at=[START] * count)
    staged = orders.stage(rows)
    positions = tables.read(staged.uri, version=staged.version, partition="2013-01", columns=["id"])[
        "id"
    ].to_pylist()
    kept = quarantine.set_aside(staged, dict.fromkeys(wrong, "odd"), quarantine=orders.aside, run="test")
    left = tables.read(kept.uri, version=kept.version, partition="2013-01")["id"].to_pylist()
    assert left == [each for row, each in enumerate(positions) if row not in wrong]
    aside = tables.read(orders.aside)["id"].to_pylist()
    assert aside == [positions[row] for row in wrong]


def test_rows_released_as_they_are_go_on_with_each_later_run(orders: Orders) -> None:
    orders.run()
    assert orders.release() == Released(as_they_are=2, corrected=0, already=0)
    assert orders.weights_aside() == [-4.0, -1.0]
    for _ in range(2):
        assert weights(orders.run())[1] == -1.0
        assert orders.weights_aside() == []


def test_a_row_that_has_changed_at_its_source_since_is_judged_anew(orders: Orders) -> None:
    orders.run()
    orders.release()
    rows = make_rows()
    changed = rows["weight"].to_pylist()
    changed[1] = -1.25
    orders.run(make_rows(weight=changed))
    assert orders.weights_aside() == [-1.25]


def test_a_release_outlasts_a_new_column_and_a_wider_type(orders: Orders) -> None:
    whole = make_rows(weight=[5, -1, 5, 5, -4, 5, 5, 5, 5, 5])
    orders.run(whole)
    orders.release()
    assert orders.run(make_rows(colour=pa.nulls(COUNT, pa.string()))).num_rows == COUNT
    changed = [5.5, -1.0, -2.5, 5, -4, 5, 5, 5, 5, 5]
    orders.run(make_rows(weight=changed))
    assert orders.weights_aside() == [-2.5]
    orders.release()
    for rows in (make_rows(weight=changed), whole):
        assert orders.run(rows).num_rows == COUNT


@pytest.mark.parametrize("ending", exports.FORMATS)
def test_an_exported_file_that_nobody_edited_holds_the_rows_as_they_are(orders: Orders, ending: str) -> None:
    orders.run()
    assert orders.release(orders.export(f"rows{ending}")) == Released(2, 0, 0)


def test_an_edited_export_corrects_rows_until_their_source_does(orders: Orders) -> None:
    orders.run()
    file = orders.export()
    with open(file, newline="") as text:
        rows = list(csv.DictReader(text))
    rows[0]["weight"] = "1"
    with open(file, "w", newline="") as text:
        # As a spreadsheet program writes it: without quotes, with other columns first, with what we added.
        writer = csv.DictWriter(text, fieldnames=sorted(rows[0]))
        writer.writeheader()
        writer.writerow(rows[0])
    assert orders.release(file) == Released(as_they_are=0, corrected=1, already=0)
    for _ in range(2):
        assert weights(orders.run()) == {i: 1.5 + i for i in range(COUNT) if i not in (1, 4)} | {1: 1.0}
        assert orders.weights_aside() == [-4.0]
    assert orders.staged.transform == "prepare:rows@1"
    at_source = make_rows().filter(pc.field("id") != 1)
    assert 1 not in weights(orders.run(at_source))


def test_a_file_holds_both_rows_corrected_and_rows_as_they_are(orders: Orders) -> None:
    orders.run()
    assert orders.release(orders.edited(weight=1.0)) == Released(as_they_are=1, corrected=1, already=0)
    good = weights(orders.run())
    assert (good[1], good[4]) == (1.0, -4.0)


def test_a_correction_is_validated_and_can_be_corrected_again(orders: Orders) -> None:
    orders.run()
    orders.release(orders.edited(weight=-9.0))
    orders.run()
    assert orders.weights_aside() == [-9.0]
    orders.release(orders.edited(weight=7.0))
    assert weights(orders.run())[1] == 7.0


def test_a_correction_that_breaks_an_expectation_can_be_released_as_it_is(orders: Orders) -> None:
    orders.run()
    orders.release(orders.edited(weight=-9.0))
    orders.run()
    orders.release()
    assert weights(orders.run())[1] == -9.0


def test_corrections_that_lead_back_end(orders: Orders) -> None:
    orders.run()
    for weight, aside in ((-9.0, [-9.0]), (-1.0, [-1.0]), (-9.0, [-9.0])):
        assert orders.release(orders.edited(weight=weight)).corrected == 1
        orders.run()
        assert orders.weights_aside() == aside


def test_releasing_twice_writes_nothing_and_says_so(orders: Orders) -> None:
    orders.run()
    orders.release(orders.edited(weight=1.0))
    version = tables.open_table(orders.released).version()
    assert orders.release(orders.edited(weight=1.0)) == Released(0, 0, already=2)
    assert tables.open_table(orders.released).version() == version


def test_a_later_release_of_a_row_takes_the_place_of_an_earlier_one(orders: Orders) -> None:
    orders.run()
    orders.release()
    orders.release(orders.edited(weight=1.0))
    assert weights(orders.run())[1] == 1.0


def test_who_released_a_row_and_why_is_kept_for_ever(orders: Orders) -> None:
    orders.run()
    orders.release(by="ann", reason="returns weigh less")
    orders.release(orders.edited(weight=1.0), by="bob", reason="scales were wrong")
    told = tables.read(orders.released).select(["id", "_by", "_reason"]).to_pylist()
    assert sorted(tuple(each.values()) for each in told) == [
        (1, "ann", "returns weigh less"), (1, "bob", "scales were wrong"), (4, "ann", "returns weigh less"),
    ]  # fmt: skip
    assert all(at.tzinfo for at in tables.read(orders.released)["_at"].to_pylist())


def test_what_is_set_aside_is_counted_by_reason(orders: Orders) -> None:
    orders.run()
    orders.release(orders.edited(weight=1.0))
    quarantine.set_aside(
        orders.stage(make_rows(), "2013-02"),
        {0: "odd", 1: "odd", 2: "old"},
        quarantine=orders.aside,
        run="test",
    )
    assert quarantine.summary(orders.aside, orders.released) == [
        Aside("2013-01", "weight is below 0 (1)", 1, 1),
        Aside("2013-01", "weight is below 0 (4)", 1, 1),
        Aside("2013-02", "odd", 2, 0),
        Aside("2013-02", "old", 1, 0),
    ]


@pytest.mark.parametrize(("written", "price"), [(5, "5.00"), ("5", "5.00"), (5.0, "5.00"), ("5.000", "5.00")])
def test_a_corrected_decimal_is_the_same_however_it_is_written(
    orders: Orders, written: Any, price: str
) -> None:
    orders.run()
    orders.release(orders.edited(price=written, weight=1.0, id="1.00"))
    assert tables.read(orders.released)["price"].to_pylist()[0] == Decimal(price)


def test_rows_in_quarantine_that_their_key_does_not_tell_apart_are_not_corrected_by_a_file(
    orders: Orders,
) -> None:
    orders.run()
    rows = tables.read(orders.aside, partition="2013-01")
    twice = rows.set_column(rows.column_names.index("id"), "id", pa.array([4, 4], pa.int64()))
    tables.replace_partition(orders.aside, twice, "2013-01")
    with pytest.raises(ReleaseRefused, match="row 1: 2 rows of orders 2013-01 with id 4, line a are in qua"):
        orders.release(orders.edited(weight=1.0))
    assert not tables.exists(orders.released)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weight": "heavy"}, "row 1: 'weight' is 'heavy', which is no double; correct it"),
        ({"id": 1.5}, "row 1: 'id' is '1.5', which is no int64; correct it"),
        ({"price": 1.005}, "row 1: 'price' is '1.005', which is no decimal128(9, 2); correct it"),
        ({"at": 5}, "row 1: 'at' is '5', which is no timestamp[us, tz=UTC]; write it like 2024-10-28 04:55:00"),
        ({"at": "1.1.2013 04:55"}, "row 1: 'at' is '1.1.2013 04:55', which is no timestamp[us, tz=UTC]; write it like 2"),
        ({"note": 5}, "row 1: 'note' is '5', which is no string; correct it"),
        ({"id": 77}, "row 1: no row of orders 2013-01 with id 77, line a is in quarantine; leave the key"),
        ({"id": 2}, "row 1: no row of orders 2013-01 with id 2, line a is in quarantine"),
        ({"id": 4}, "rows 1 and 2 both have id 4, line a; remove one"),
        ({"at": "2013-02-01T00:00:00Z"}, "row 1: 'at' is 2013-02-01 00:00:00+00:00, outside of the partition"),
        ({"at": None}, "row 1: 'at' is empty"),
        ({"wieght": 5}, "row 2 does not have the names that row 1 has"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_named_and_nothing_is_released(
    orders: Orders, changes: dict[str, Any], told: str
) -> None:
    orders.run()
    with pytest.raises(ReleaseRefused) as refused:
        orders.release(orders.edited(**changes))
    assert told in str(refused.value)
    assert not tables.exists(orders.released)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.csv", None, "there is no file"),
        ("rows.xlsx", b"", "must end in one of .parquet, .csv"),
        ("rows.csv", b"", "cannot be read as .csv"),
        ("rows.csv", b"id,weight\n1,2\n", "lacks 'line', 'at', 'note', 'gift', 'price'; keep the columns"),
        ("rows.csv", b"id,id\n1,2\n", "two columns have the same name"),
        ("rows.csv", b"id,line,at,weight,note,gift,price,extra\n", "has 'extra' too"),
        ("rows.csv", b"id,line,at,weight,note,gift,price\n", "has no rows; nothing is released"),
        ("rows.csv", "id,line,at,weight,note,gift,price\n1,ä,,,,,\n".encode("latin-1"), "in UTF-8"),
        ("rows.csv.gz", b"id", "cannot be read as .csv.gz"),
        ("rows.csv.gz", gzip.compress(b"id,line\n" * 99, mtime=0)[:-9], "cannot be read as .csv.gz"),
        ("rows.jsonl", b"[1]\n", "row 1 does not have the names"),
        ("rows.jsonl", b"{\n", "cannot be read as .jsonl"),
        ("rows.jsonl", b"[" * 100_000 + b"]" * 100_000, "cannot be read as .jsonl"),
        ("rows.parquet", b"PAR1", "cannot be read as .parquet"),
    ],
)
def test_a_file_that_is_no_export_is_refused(
    orders: Orders, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    orders.run()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ReleaseRefused) as refused:
        orders.release(str(tmp_path / name))
    assert told in str(refused.value)
    assert name in str(refused.value)


def test_types_of_a_parquet_file_that_lose_nothing_are_taken(orders: Orders, tmp_path: Path) -> None:
    orders.run()
    rows = pq.read_table(orders.export("rows.parquet"))
    rows = rows.set_column(rows.column_names.index("weight"), "weight", pa.array([1, 2], pa.int32()))
    pq.write_table(rows, tmp_path / "edited.parquet")
    assert orders.release(str(tmp_path / "edited.parquet")).corrected == 2


def test_there_must_be_rows_and_a_reason(orders: Orders) -> None:
    with pytest.raises(ReleaseRefused, match="orders 2013-01 has no rows in quarantine"):
        orders.release()
    orders.run()
    with pytest.raises(ReleaseRefused, match="say why"):
        orders.release(reason=" ")
