"""What becomes of the types of every source: the right value, or an error that says what to do."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy
from pyarrow import parquet

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.exceptions import BadRows, SchemaMismatch, SourceUnreadable
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.sources import PythonSource, Source
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stores.arrow import micros
from airflow_mlops.stores.sources import sql
from airflow_mlops.stores.tables import tables

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

JANUARY, FEBRUARY = (Partition.parse(f"2013-{month:02}", "month") for month in (1, 2))
LARGEST = 2**64 - 1
AT = "2013-01-02T00:00:00Z"
DAY = datetime(2013, 1, 2, tzinfo=UTC)


class Store:
    """The tables of a dataset, and the folder of its sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = f"file://{folder}/store/data"

    def publish(self, source: Source, partition: Partition = JANUARY, **changes: Any) -> DatasetVersion:
        arguments: dict[str, Any] = {
            "uri": f"file://{self.folder}/store/staging",
            "published": self.data,
            "name": "flights",
            "key": ["id"],
            "event_time": "at",
            "run": "run",
        }
        staged = ingest.stage(source, partition, **arguments | changes)
        return ingest.publish(staged, uri=self.data, run="run")

    def column(self, name: str) -> list[Any]:
        return list(tables.read(self.data)[name].to_pylist())

    def csv(self, text: str, **options: Any) -> FileSource:
        (self.folder / "2013-01.csv").write_text(text)
        return FileSource(f"{self.folder}/{{partition}}.csv", **options)

    def lines(self, text: str, **options: Any) -> FileSource:
        (self.folder / "2013-01.jsonl").write_text(text)
        return FileSource(f"{self.folder}/{{partition}}.jsonl", **options)

    def parquet(self, table: pa.Table, **options: Any) -> FileSource:
        parquet.write_table(table, self.folder / "2013-01.parquet", **options)
        return FileSource(f"{self.folder}/{{partition}}.parquet")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


# ------------------------------------------------------------------------------------------------ unsigned numbers


def of_csv(store: Store, ids: list[int]) -> Source:
    return store.csv("id,at\n" + "".join(f"{number},{AT}\n" for number in ids))


def of_lines(store: Store, ids: list[int]) -> Source:
    return store.lines("".join(f'{{"id": {number}, "at": "{AT}"}}\n' for number in ids))


def of_parquet(store: Store, ids: list[int]) -> Source:
    return store.parquet(pa.table({"id": pa.array(ids, pa.uint64()), "at": [DAY] * len(ids)}))


def of_batches(store: Store, ids: list[int]) -> Source:
    def read(partition: Any) -> Any:
        return (pa.table({"id": pa.array([number], pa.uint64()), "at": [DAY]}) for number in ids)

    return PythonSource(read)


UNSIGNED: list[Callable[[Store, list[int]], Source]] = [of_csv, of_lines, of_parquet, of_batches]


@pytest.mark.parametrize("source", UNSIGNED)
def test_unsigned_numbers_that_fit_into_63_bits_are_whole_numbers(store: Store, source: Any) -> None:
    ids = [2**53 + 1, 2**63 - 1, 3]
    assert store.publish(source(store, ids)).columns["id"] == "int64"
    assert store.column("id") == ids


@pytest.mark.parametrize("source", UNSIGNED)
@pytest.mark.parametrize("ids", [[LARGEST, 2**53 + 1, 5], [5, 2**53 + 1, LARGEST, LARGEST - 1]])
def test_larger_unsigned_numbers_keep_every_digit(store: Store, source: Any, ids: list[int]) -> None:
    assert store.publish(source(store, ids)).columns["id"] == "decimal128(20, 0)"
    assert store.column("id") == [Decimal(number) for number in ids]


def test_unsigned_numbers_of_a_database_keep_every_digit(store: Store) -> None:
    column = sql.column("id", [LARGEST, None, 5], "query")
    assert column.type == pa.decimal128(20, 0)
    assert column.to_pylist() == [Decimal(LARGEST), None, Decimal(5)]
    assert sql.column("id", [-5, None, 2**63 - 1], "query").type == pa.int64()
    with pytest.raises(SourceUnreadable, match="'id' holds int, .* convert it in the query with CAST"):
        sql.column("id", [10**30], "query")


def test_fractions_beyond_the_exact_ones_stay_fractions(store: Store) -> None:
    lines = f'{{"id": 1, "at": "{AT}", "x": 1e300, "y": -9223372036854775809}}\n'
    assert store.publish(store.lines(lines)).columns["x"] == "double"
    rows = f"id,at,x,y\n1,{AT},1e300,7.0\n2,{AT},7.0,8.0\n"
    assert store.publish(store.csv(rows)).columns["x"] == "double"


def test_a_published_column_that_grows_beyond_63_bits_is_refused_with_what_would_take_it(
    store: Store,
) -> None:
    store.publish(of_parquet(store, [1, 2]))
    with pytest.raises(SchemaMismatch, match=r"`schema: evolve` would make it decimal128\(20, 0\)"):
        store.publish(of_parquet(store, [LARGEST]))


@pytest.mark.parametrize("value", ["{}", "[{}]", '{{"a": [{}]}}'])
def test_unsigned_numbers_within_objects_and_lists_of_json_keep_every_digit(store: Store, value: str) -> None:
    text = "".join(
        f'{{"id": {place}, "at": "{AT}", "x": {value.format(number)}}}\n'
        for place, number in enumerate((5, LARGEST))
    )
    assert "decimal128(20, 0)" in store.publish(store.lines(text)).columns["x"]
    assert str(Decimal(LARGEST)) in str(store.column("x")[1])


@pytest.mark.parametrize("value", ["{}", "[{}]"])
def test_published_numbers_that_fractions_would_round_are_told(store: Store, value: str) -> None:
    evolve = {"policy": SchemaPolicy.EVOLVE}
    first = f'{{"id": 1, "at": "{AT}", "x": {value.format(2**53 + 1)}}}\n'
    store.publish(store.lines(first), **evolve)
    text = f'{{"id": 2, "at": "2013-02-02T00:00:00Z", "x": {value.format(0.5)}}}\n'
    (store.folder / "2013-02.jsonl").write_text(text)
    says = (
        r"partition 2013-01 of file.*: column 'x' is .*int64.*, of which values would lose digits as .*double"
    )
    with pytest.raises(SchemaMismatch, match=says):
        store.publish(FileSource(f"{store.folder}/{{partition}}.jsonl"), FEBRUARY, **evolve)


# --------------------------------------------------------------------------------------------------- types of JSON


def test_types_of_json_are_kept(store: Store) -> None:
    lines = (
        f'{{"id": 18446744073709551615, "at": "{AT}", "zip": 123, "x": 1, "flag": true}}\n'
        f'{{"id": 1.50, "at": "{AT}", "zip": "007", "x": 2, "flag": null}}\n'
    )
    source = store.lines(lines, types={"id": "string", "zip": "string", "x": "double", "flag": "bool"})
    columns = store.publish(source).columns
    assert [columns[name] for name in ("id", "zip", "x", "flag")] == ["string", "string", "double", "bool"]
    assert store.column("id") == ["18446744073709551615", "1.50"]
    assert store.column("zip") == ["123", "007"]


def test_json_that_does_not_hold_the_types_that_were_named_is_refused(store: Store) -> None:
    source = store.lines(f'{{"id": 1, "at": "{AT}", "x": "thirty"}}\n', types={"x": "int64"})
    with pytest.raises(SchemaMismatch, match="'x' cannot be read as int64 in 1 of 1 values"):
        store.publish(source)


def test_truth_values_of_json_are_text_if_types_say_so(store: Store) -> None:
    source = store.lines(f'{{"id": 1, "at": "{AT}", "x": true}}\n', types={"x": "string"})
    store.publish(source)
    assert store.column("x") == ["true"]


# ----------------------------------------------------------------------------------------------------------- times


def test_times_after_2262_are_read_from_int96(store: Store) -> None:
    times = [
        datetime(9999, 12, 31, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2013, 1, 2, 3, 4, 5, 678901, UTC),
    ]
    table = pa.table({"id": [1, 2, 3], "at": [DAY] * 3, "until": pa.array(times, pa.timestamp("us"))})
    store.publish(store.parquet(table, use_deprecated_int96_timestamps=True))
    assert store.column("until") == times


TEXTS = ["2013-01-02T03:04:05.1234567", "2013-01-02T03:04:05.123456789Z", "2013-01-02 05:04:05.1234567+02:00"]
CUT = datetime(2013, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


def frame_of(text: str) -> Source:
    moment = pd.to_datetime([text])
    return PythonSource(lambda partition: pd.DataFrame({"id": [1], "at": moment, "seen": moment}))


def parquet_of(store: Store, text: str) -> Source:
    moment = pa.Table.from_pandas(pd.DataFrame({"at": pd.to_datetime([text], utc=True)}))["at"]
    return store.parquet(pa.table({"id": [1], "at": moment, "seen": moment}))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("key", [["id"], ["id", "seen"]])
def test_digits_of_a_second_beyond_the_sixth_are_cut_off(store: Store, text: str, key: list[str]) -> None:
    sources = [
        store.csv(f"id,at,seen\n1,{text},{text}\n"),
        store.lines(f'{{"id": 1, "at": "{text}", "seen": "{text}"}}\n'),
        frame_of(text),
        parquet_of(store, text),
    ]
    for source in sources:
        columns = store.publish(source, key=key).columns
        assert columns["at"] == columns["seen"] == "timestamp[us, tz=UTC]"
        assert store.column("at") == store.column("seen") == [CUT]


@pytest.mark.parametrize("text", TEXTS)
def test_text_with_more_digits_of_a_second_is_an_event_time(store: Store, text: str) -> None:
    table = pa.table({"id": [1], "at": [text]})
    lines = store.lines(f'{{"id": 1, "at": "{text}"}}\n')
    for source in (lines, store.parquet(table), PythonSource(lambda partition: table)):
        store.publish(source)
        assert store.column("at") == [CUT]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["2013-01-02T03:04:05.678Z", "2013-01-02T03:04:05Z", None], "timestamp[us, tz=UTC]"),
        (["2013-01-02 05:04:05.678+02:00", "2013-01-02T03:04:05.1234567Z"], "timestamp[us, tz=UTC]"),
        (["2013-01-02T03:04:05.678", "2013-01-02T03:04:05.678Z"], "string"),
        (["2013-01-02T03:04:05.678Z", "later"], "string"),
        (["2013-02-31T03:04:05.678Z"], "string"),
    ],
)
def test_times_of_json_have_fractions_of_a_second_as_those_of_csv(
    store: Store, texts: list[str | None], kind: str
) -> None:
    lines = "".join(
        f'{{"id": {number}, "at": "2013-01-02", "seen": {json.dumps(text)}}}\n'
        for number, text in enumerate(texts)
    )
    rows = "".join(f"{number},2013-01-02,{text or ''}\n" for number, text in enumerate(texts))
    assert store.publish(store.lines(lines)).columns["seen"] == kind
    read = store.column("seen")
    assert store.publish(store.csv(f"id,at,seen\n{rows}")).columns["seen"] == kind
    assert store.column("seen") == read


def test_times_before_1970_are_cut_off_downwards_too() -> None:
    column = pa.chunked_array([pa.array([-1, -1001, None], pa.timestamp("ns", "UTC"))])
    assert micros(column).cast(pa.int64()).to_pylist() == [-1, -2, None]


def test_times_of_the_hour_that_occurs_twice_are_cut_off_too() -> None:
    moments = pa.chunked_array([pa.array([1383456600000000001], pa.timestamp("ns", "America/New_York"))])
    assert micros(moments).type == pa.timestamp("us", "America/New_York")
    assert micros(moments).cast(pa.int64()).to_pylist() == [1383456600000000]


BEYOND = 253_402_300_800
"""The first second after the year 9999."""


@pytest.mark.parametrize(
    "column",
    [
        pa.array([BEYOND // 86_400], pa.int32()).view(pa.date32()),
        pa.array([2**31 - 1], pa.int32()).view(pa.date32()),
        pa.array([BEYOND * 1_000], pa.int64()).view(pa.date64()),
        *(
            pa.array([BEYOND * factor], pa.int64()).view(pa.timestamp(unit, "UTC"))
            for unit, factor in (("s", 1), ("ms", 1_000), ("us", 1_000_000))
        ),
        pa.array([-(2**62)], pa.int64()).view(pa.timestamp("us")),
        pa.ListArray.from_arrays([0, 1], pa.array([BEYOND * 1_000_000], pa.timestamp("us"))),
    ],
)
def test_times_beyond_the_calendar_are_refused_before_a_table_is_made(store: Store, column: pa.Array) -> None:
    table = pa.table({"id": [1], "at": [DAY], "x": column})
    with pytest.raises(
        BadRows, match="'x' has times before year 1 or after 9999: correct them, or make them null"
    ):
        store.publish(PythonSource(lambda partition: table))
    assert not tables.exists(store.data)


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")])
def test_a_time_of_day_is_the_same_text_in_every_unit(store: Store, kind: pa.DataType) -> None:
    clock = pa.array([8 * 3600, None], pa.int32()).view(pa.time32("s")).cast(kind)
    table = pa.table({"id": [1, 2], "at": [DAY] * 2, "x": clock})
    for source in (PythonSource(lambda partition: table), store.parquet(table)):
        store.publish(source)
        assert store.column("x") == ["08:00:00", None]


def test_digits_of_a_second_stay_in_a_time_of_day(store: Store) -> None:
    table = pa.table({"id": [1], "at": [DAY], "x": pa.array([8 * 3600 * 10**9 + 1_500], pa.time64("ns"))})
    store.publish(PythonSource(lambda partition: table))
    assert store.column("x") == ["08:00:00.000001"]


def test_a_key_that_is_no_number_is_a_missing_one(store: Store) -> None:
    table = pa.table({"id": [1.5, float("nan")], "at": [DAY] * 2})
    with pytest.raises(BadRows, match="1 row has no 'id', which is part of the key"):
        store.publish(PythonSource(lambda partition: table))


# --------------------------------------------------------------------------------------- identifiers and categories


def test_identifiers_are_text(store: Store) -> None:
    ids = [uuid.UUID(int=number) for number in (5, 6)]
    column = pa.array([identifier.bytes for identifier in ids], pa.uuid())
    table = pa.table({"id": column, "at": [DAY] * 2, "other": column})
    frame = pd.DataFrame({"id": ids, "at": [DAY] * 2, "other": ids})
    for source in (store.parquet(table), PythonSource(lambda _: table), PythonSource(lambda _: frame)):
        assert store.publish(source).columns["id"] == "string"
        assert sorted(store.column("other")) == sorted(map(str, ids))


@pytest.mark.parametrize("index", [pa.int8(), pa.int16(), pa.int32(), pa.uint8()])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_column_may_be_a_category_in_one_part_and_text_in_the_next(
    store: Store, index: pa.DataType, is_first: bool
) -> None:
    category = pa.table(
        {
            "id": [1, 2],
            "at": [DAY] * 2,
            "x": pa.array(["a", "b"]).dictionary_encode().cast(pa.dictionary(index, pa.string())),
        }
    )
    text = pa.table({"id": [3, 4], "at": [DAY] * 2, "x": ["c", "d"]})
    parts = [category, text] if is_first else [text, category]
    for number, part in enumerate(parts):
        parquet.write_table(part, store.folder / f"2013-01-{number}.parquet")
    frames = [part.to_pandas() for part in parts]
    sources: list[Source] = [
        FileSource(f"{store.folder}/{{partition}}-*.parquet"),
        PythonSource(lambda partition: iter(parts)),
        PythonSource(lambda partition: iter(frames)),
    ]
    for source in sources:
        assert store.publish(source).columns["x"] == "string"
        assert sorted(store.column("x")) == ["a", "b", "c", "d"]


def test_more_categories_than_the_first_part_can_number(store: Store) -> None:
    def part(first: int) -> pa.Table:
        names = pa.array([f"{first + number}" for number in range(100)]).dictionary_encode()
        return pa.table(
            {
                "id": range(first, first + 100),
                "at": [DAY] * 100,
                "x": names.cast(pa.dictionary(pa.int8(), pa.string())),
            }
        )

    store.publish(PythonSource(lambda partition: iter([part(0), part(100), part(200)])))
    assert sorted(store.column("x"), key=int) == [str(number) for number in range(300)]


# ----------------------------------------------------------------------------------------------------- odd places


@pytest.mark.parametrize("path", ["{partition}.parquet", "{partition}.parq*"])
def test_a_folder_of_spark_is_read_like_a_file(store: Store, path: str) -> None:
    source, folder = FileSource(f"{store.folder}/{path}"), store.folder / "2013-01.parquet"
    folder.mkdir()
    (folder / "_temporary").mkdir()
    for number in range(2):
        part = pa.table({"id": [number], "at": [DAY], "x": [number]})
        parquet.write_table(part, folder / f"part-{number:05}-c0ffee.snappy.parquet")
        (folder / f".part-{number:05}-c0ffee.snappy.parquet.crc").write_bytes(b"crc")
    assert source.stamp(JANUARY) is None
    (folder / "_temporary").rmdir()
    (folder / "_SUCCESS").touch()
    assert source.stamp(JANUARY)
    assert {source.key_of(file, "month") for file in source.files(None)} == {"2013-01"}
    store.publish(source)
    assert store.column("x") == [0, 1]
    (folder / "country=de").mkdir()
    with pytest.raises(SourceUnreadable, match=r"has folders of its own, such as .*country=de"):
        source.files(JANUARY)


@pytest.mark.parametrize(
    "end", ["", ";", "; -- the day's parcels", ";\n/* done; */\n-- :nothing of 'it'\n", " -- no semicolon"]
)
def test_a_query_may_end_in_a_comment(end: str) -> None:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    query = f"select 1 as id, '; --' as x, :start as at{end}"
    rows = list(sql.batches(engine, query, JANUARY, None, "query"))
    assert rows[0].column("x").to_pylist() == ["; --"]
    assert sql.count(engine, query, JANUARY, "query") == 1


def test_a_header_may_hold_a_line_end(store: Store) -> None:
    many = "".join(f"{number},{AT},{number}\n" for number in range(3))
    assert "dep\ndelay" in store.publish(store.csv(f'id,at,"dep\ndelay"\n{many}')).columns
    with pytest.raises(SourceUnreadable, match="line 6 has 4 fields"):
        store.publish(store.csv(f'id,at,"dep\ndelay"\n{many}3,{AT},x,y\n'))


# ------------------------------------------------------------------------------------------- what no table can keep

REFUSED = {
    "fixed_shape_tensor": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int32(), [1]), pa.array([[1], [2]], pa.list_(pa.int32(), 1))
    ),
    "opaque": pa.ExtensionArray.from_storage(
        pa.opaque(pa.binary(), "point", "postgis"), pa.array([b"1", b"2"])
    ),
    "duration": pa.array([1, 2], pa.duration("s")),
    "month_day_nano_interval": pa.array([(1, 2, 3)] * 2, pa.month_day_nano_interval()),
    "decimal256": pa.array([Decimal(1), Decimal(2)], pa.decimal256(50, 2)),
    "decimal128": pa.array([Decimal(100)] * 2, pa.decimal128(5, -2)),
    "dense_union": pa.UnionArray.from_dense(
        pa.array([0, 0], pa.int8()), pa.array([0, 1], pa.int32()), [pa.array([1, 2])]
    ),
    "struct<>, within list": pa.array([[{}], []], pa.list_(pa.struct([]))),
    "opaque.*, within list_view": pa.ListViewArray.from_arrays(
        pa.array([0, 0], pa.int32()),
        pa.array([1, 1], pa.int32()),
        pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "point", "postgis"), pa.array([b"1"])),
    ),
    "struct<a: int64, A: int64>": pa.StructArray.from_arrays([pa.array([1, 2])] * 2, names=["a", "A"]),
    "struct<a: int64, a: int64>": pa.StructArray.from_arrays([pa.array([1, 2])] * 2, names=["a", "a"]),
    "time32.*: a value is not between 00:00 and 24:00": pa.array([0, 86_400], pa.int32()).view(
        pa.time32("s")
    ),
    "time32.*, within list": pa.array([[1], [2]], pa.list_(pa.time32("s"))),
}

TAKEN = {
    "json": (pa.array(['{"a": 1}', None], pa.json_()), ['{"a": 1}', None]),
    "bool8": (
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8())),
        [True, False],
    ),
    "category of views": (
        pa.DictionaryArray.from_arrays(pa.array([0, None], pa.uint32()), pa.array(["a"], pa.string_view())),
        ["a", None],
    ),
    "list view that overlaps": (
        pa.ListViewArray.from_arrays(
            pa.array([1, 0], pa.int32()), pa.array([2, 2], pa.int32()), pa.array([1, 2, 3])
        ),
        [[2, 3], [1, 2]],
    ),
    "list view": (pa.array([[1], None], pa.list_view(pa.int64())), [[1], None]),
    "large list view": (pa.array([[1], [2, 3]], pa.large_list_view(pa.int64())), [[1], [2, 3]]),
    "run end encoded": (pa.RunEndEncodedArray.from_arrays([2], ["a"]), ["a", "a"]),
    "time of day": (pa.array([1, None], pa.time32("s")), ["00:00:01", None]),
    "decimal32": (pa.array([Decimal("1.50"), None], pa.decimal32(5, 2)), [Decimal("1.50"), None]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_table_keeps_is_refused_before_one_is_made(store: Store, name: str) -> None:
    table = pa.table({"id": [1, 2], "at": [DAY] * 2, "x": REFUSED[name]})
    with pytest.raises(SchemaMismatch, match=f"column 'x' is .*{name}.* cast it"):
        store.publish(PythonSource(lambda partition: table))
    assert not (store.folder / "store").exists()
    store.publish(PythonSource(lambda partition: table.set_column(2, "x", pa.array([1, 2]))))
    assert store.column("x") == [1, 2]


@pytest.mark.parametrize("name", TAKEN)
def test_types_that_only_write_values_otherwise_are_taken(store: Store, name: str) -> None:
    column, values = TAKEN[name]
    table = pa.table({"id": [1, 2], "at": [DAY] * 2, "x": column})
    store.publish(PythonSource(lambda partition: table))
    assert store.column("x") == values


@pytest.mark.parametrize("key", [[[1], [2]], [{"a": 1}, {"a": 2}], [[], []]])
def test_a_key_of_lists_or_parts_is_refused(store: Store, key: list[Any]) -> None:
    table = pa.table({"id": key, "at": [DAY] * 2})
    with pytest.raises(
        SchemaMismatch, match="'id', which is part of the key, is .*: a key is text, a number"
    ):
        store.publish(PythonSource(lambda partition: table))
    assert not (store.folder / "store").exists()


def test_names_that_differ_only_in_capital_letters_are_refused(store: Store) -> None:
    table = pa.table({"id": [1], "at": [DAY], "x": [1], "X": [2]})
    with pytest.raises(SchemaMismatch, match="has 'x', 'X', which differ only in capital letters"):
        store.publish(PythonSource(lambda partition: table))
    assert not (store.folder / "store").exists()


@pytest.mark.parametrize("policy", list(SchemaPolicy))
def test_a_later_column_that_differs_from_another_only_in_capital_letters_is_refused(
    store: Store, policy: SchemaPolicy
) -> None:
    def table(partition: Partition, name: str) -> pa.Table:
        return pa.table({"id": [1], "at": [partition.start], name: [1]})

    store.publish(PythonSource(lambda partition: table(partition, "x")))
    with pytest.raises(SchemaMismatch, match="'X'"):
        store.publish(PythonSource(lambda partition: table(partition, "X")), FEBRUARY, policy=policy)
    store.publish(PythonSource(lambda partition: table(partition, "x")), FEBRUARY, policy=policy)
    assert store.column("x") == [1, 1]


def test_a_table_may_have_thousands_of_columns(store: Store) -> None:
    def table(partition: Partition, first: int) -> pa.Table:
        columns = {f"x{number}": [first + number, None] for number in range(5_000)}
        return pa.table({"id": [1, 2], "at": [partition.start] * 2} | columns)

    for partition, first in ((JANUARY, 0), (FEBRUARY, 0), (JANUARY, 7)):
        source = table(partition, first)
        version = store.publish(PythonSource(lambda _, rows=source: rows), partition)
        assert len(version.columns) == 5_002
    read = tables.read(store.data, partition="2013-01")
    assert [read[f"x{number}"][0].as_py() for number in (0, 4_999)] == [7, 5_006]
    fewer = table(JANUARY, 0).select(["id", "at", *(f"x{number}" for number in range(4_000))])
    with pytest.raises(SchemaMismatch, match="column 'x4999' is lost"):
        store.publish(PythonSource(lambda _: fewer), JANUARY)


# -------------------------------------------------------------------------------------------------- nested values


def nested(levels: int, opened: str, closed: str) -> str:
    return f'{{"id": 1, "at": "{AT}", "x": {opened * levels}1{closed * levels}}}\n'


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a": ', "}")], ids=["lists", "objects"])
@pytest.mark.parametrize("source", ["json", "parquet"])
def test_values_are_nested_as_deep_as_a_table_keeps_them(
    store: Store, opened: str, closed: str, source: str
) -> None:
    def of(levels: int) -> Source:
        lines = store.lines(nested(levels, opened, closed))
        if source == "json":
            return lines
        return store.parquet(pa.Table.from_batches(lines.batches(JANUARY)))

    store.publish(of(30))
    [value] = store.column("x")
    assert str(value).count("[") + str(value).count("{") == 30
    for levels in (31, 64, 98):
        with pytest.raises(SchemaMismatch, match="column 'x' is nested deeper than 30 levels"):
            store.publish(of(levels))
