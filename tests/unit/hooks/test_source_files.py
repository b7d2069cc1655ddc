"""Files on a local and on an in-memory file system."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceChanging, SourceMissing, SourceUnreadable
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.stores.sources.bytes import NULLS
from airflow_mlops.stores.sources.source import Source

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

JANUARY = Partition.parse("2013-01", "month")
ROWS = pa.table({"id": [1, 2], "x": ["a", "b"]})
CSV, LINES = b"id,x\n1,a\n2,b\n", b'{"id": 1, "x": "a"}\n{"id": 2, "x": "b"}\n'


class Store:
    """A folder of some file system."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fs = fsspec.filesystem(url.partition("://")[0] if "://" in url else "file")

    def write(self, name: str, content: bytes) -> None:
        path = f"{self.url}/{name}"
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.fs.pipe_file(path, content)


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = Store(str(tmp_path / "data") if request.param == "file" else f"memory://{tmp_path.name}")
    yield store
    if request.param == "memory":
        store.fs.store.clear()


def read(source: Source, partition: Partition | None = JANUARY, **types: str) -> pa.Table:
    batches = list(source.batches(partition, types))
    assert len({batch.schema for batch in batches}) == 1
    return pa.Table.from_batches(batches)


def one(store: Store, content: bytes, suffix: str = "csv", **options: Any) -> FileSource:
    store.write(f"2013-01.{suffix}", content)
    return FileSource(f"{store.url}/{{partition}}.{suffix}", **options)


def as_parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".zst", zstd)
]  # fmt: skip

# ---------------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize(("end", "packed"), PACKED, ids=[end or "plain" for end, _ in PACKED])
@pytest.mark.parametrize(("format", "content"), [("csv", CSV), ("jsonl", LINES)])
def test_text_is_read_however_it_is_compressed(
    store: Store, format: str, content: bytes, end: str, packed: Callable[[bytes], bytes]
) -> None:
    assert read(one(store, packed(content), f"{format}{end}")) == ROWS


def test_parquet_is_read(store: Store) -> None:
    assert read(one(store, as_parquet(ROWS), "parquet")) == ROWS


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_a_format_may_be_named_where_the_path_does_not_tell(store: Store, format: str) -> None:
    content = {"csv": CSV, "jsonl": LINES, "parquet": as_parquet(ROWS)}[format]
    assert read(one(store, content, "dat", format=format)) == ROWS
    with pytest.raises(SourceUnreadable, match=r"2013-01.dat does not end in .csv, .jsonl or .parquet"):
        read(one(store, content, "dat"))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{partition}/*.csv", ["2013-01/a.csv", "2013-01/b.csv"]),
        (
            "{partition}/flights_{partition}_*.csv",
            ["2013-01/flights_2013-01_a.csv", "2013-01/flights_2013-01_b.csv"],
        ),
        ("year={year}/month={month}/?.csv", ["year=2013/month=01/a.csv", "year=2013/month=01/b.csv"]),
        ("**/{partition}-*.csv", ["x/2013-01-a.csv", "y/z/2013-01-b.csv"]),
    ],
)
def test_the_files_of_a_partition_are_read_in_the_order_of_their_names(
    store: Store, pattern: str, names: list[str]
) -> None:
    store.write(names[1], b"id,x\n2,b\n")
    store.write(names[0], b"x,id\na,1\n")
    store.write(names[0].replace("2013-01", "2013-02").replace("month=01", "month=02"), b"id,x\n3,c\n")
    store.write(f"{names[0].rpartition('/')[0]}/_2013-01-a.csv", b"id,x\n4,d\n")
    source = FileSource(f"{store.url}/{pattern}")
    assert sorted(read(source).to_pylist(), key=str) == sorted(ROWS.to_pylist(), key=str)
    assert read(source)["x"].to_pylist() == ["a", "b"]
    assert read(source, None).num_rows == 3
    assert [source.key_of(file, "month") for file in source.files(JANUARY)] == ["2013-01"] * 2


def test_types_hold_for_all_values_of_all_files(store: Store) -> None:
    many = b"".join(b"%d,1,2013-01-01\n" % number for number in range(1_000_000))
    store.write("2013-01/a.csv", b"a,b,c\n" + many + b"1,x,\n")
    store.write("2013-01/b.csv", b"a,b,c\n0.5,1,2013-01-01 10:00\n")
    first, *_, last = FileSource(f"{store.url}/{{partition}}/*.csv").batches(JANUARY)
    assert first.schema.types == last.schema.types == [pa.float64(), pa.string(), pa.timestamp("s")]
    assert last.to_pylist()[0]["b"] == "1"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "", "-3"], "int64"), (["1", "2.5", "NA"], "double"), (["true", "False", ""], "bool"), (["NA", "NULL"], "null"),
        (["2013-01-01", "null"], "date32[day]"), (["2013-01-01 10:00", "2013-01-01T10:00:00"], "timestamp[s]"),
        (["2013-01-01", "2013-01-01 10:00"], "timestamp[s]"), (["2013-01-01T10:00:00Z", "2013-01-01 10:00+02:00"], "timestamp[s, tz=UTC]"),
        (["1", "x"], "string"), (["true", "1", "2"], "string"), (["10:00", "11:00"], "string"), (["nan", "inf", "-inf"], "double"),
    ],
)  # fmt: skip
def test_the_type_of_a_column_of_csv_is_found_from_its_values(
    store: Store, values: list[str], kind: str
) -> None:
    content = "n,a\n" + "".join(f"{number},{value}\n" for number, value in enumerate(values))
    assert str(read(one(store, content.encode())).schema.field("a").type) == kind


def test_a_late_surprise_gives_the_same_types_as_an_early_one(store: Store) -> None:
    # Arrow looks at the first block only, so what comes after has to be looked at by us.
    block = "".join(f"{number},1,true,2013-01-01,NA,1\n" for number in range(400_000))
    odd = "1,2.5,no,2013-01-01 10:00:00.5,x,NULL\n"
    early, late = (one(store, f"i,f,b,t,s,n\n{text}".encode()) for text in (odd + block, block + odd))
    schemas = []
    for source, text in ((early, odd + block), (late, block + odd)):
        store.write("2013-01.csv", f"i,f,b,t,s,n\n{text}".encode())
        schemas.append(next(source.batches(JANUARY)).schema)
    assert [pa.types.is_timestamp(kind) for kind in schemas[0].types] == [
        False,
        False,
        False,
        True,
        False,
        False,
    ]
    assert [str(field.type) for field in schemas[1] if field.name != "t"] == [
        "int64",
        "double",
        "string",
        "string",
        "int64",
    ]


def test_text_is_read_as_it_was_published_before(store: Store) -> None:
    source = one(store, b"a,b,c\n1,1,\n")
    assert [str(kind) for kind in read(source, a="string", b="double", c="int64").schema.types] == [
        "string",
        "double",
        "int64",
    ]
    assert str(read(one(store, b"a\n1.5\n"), a="int64").schema.types[0]) == "double"


def test_leading_zeros_are_kept_where_a_column_is_said_to_be_text(store: Store) -> None:
    assert read(one(store, b"zip\n01234\n", types={"zip": "string"}))["zip"].to_pylist() == ["01234"]
    with pytest.raises(
        SourceUnreadable, match=r"'zip' cannot be read as int64 in 1 of 2 values: 'x' \(line 3 of "
    ):
        read(one(store, b"zip\n1\nx\n", types={"zip": "int64"}))


def test_what_is_missing_in_csv(store: Store) -> None:
    content = b'number,text\n1,NA\nNA,\n,""\n-,x\n'
    table = read(one(store, content, nulls=("NA", "-")))
    assert table.to_pydict() == {"number": [1, None, None, None], "text": ["NA", None, None, "x"]}
    assert "-" not in NULLS


@pytest.mark.parametrize("blank", [" ", "   ", "\t", " " * 255, '" "'])
@pytest.mark.parametrize("notation", [{}, {"decimal": ",", "thousands": "."}], ids=["plain", "notation"])
def test_a_field_of_blanks_is_missing_in_a_column_that_is_no_text(
    store: Store, blank: str, notation: dict[str, Any]
) -> None:
    content = f"number;day;flag;text;none\n7;2024-01-05;true;x;{blank}\n{blank};{blank};{blank};{blank};\n"
    table = read(one(store, content.encode(), delimiter=";", **notation))
    last = table.slice(1).to_pylist()[0]
    assert last == {"number": None, "day": None, "flag": None, "text": blank.strip('"'), "none": None}
    assert [str(kind) for kind in table.schema.types] == ["int64", "date32[day]", "bool", "string", "null"]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'a,b\n5",x\n6,"two\nlines"\n', [{"a": '5"', "b": "x"}, {"a": "6", "b": "two\nlines"}]),
        (b'a,b\n1,"two\nlines, and ""quotes"""\n', [{"a": 1, "b": 'two\nlines, and "quotes"'}]),
        (b"a,b\r\n1,x\r\n", [{"a": 1, "b": "x"}]),
        (b"a,b\n1,x", [{"a": 1, "b": "x"}]),
        (b"a,b\n\n1,x\n\n", [{"a": 1, "b": "x"}]),
        (b"a,b\n1,=cmd()\n", [{"a": 1, "b": "=cmd()"}]),
        (b"a,b\n1," + b"x" * 1_000_000 + b"\n", [{"a": 1, "b": "x" * 1_000_000}]),
        (b"\xef\xbb\xbfa,b\n1,x\n", [{"a": 1, "b": "x"}]),
        (b"a,b\n", []),
        (b"a,b", []),
    ],
    ids=["inches", "quoted line ends", "windows", "no line end", "empty lines", "formula", "long cell", "mark", "header", "header only"],
)  # fmt: skip
def test_unusual_csv_is_read(store: Store, content: bytes, rows: list[dict[str, Any]]) -> None:
    table = read(one(store, content))
    assert table.to_pylist() == rows
    assert table.column_names == ["a", "b"]


@pytest.mark.parametrize("digits", ["9" * 400, "9" * 5_000, "1e999"])
@pytest.mark.parametrize("kind", [None, "double"])
def test_a_number_of_json_that_is_larger_than_any_is_refused(
    store: Store, digits: str, kind: str | None
) -> None:
    content = f'{{"x": 1.5}}\n{{"x": {digits}}}\n'.encode()
    types = {} if kind is None else {"x": kind}
    with pytest.raises(
        SourceUnreadable, match="larger than any number|too big to be stored|cannot be read as double"
    ):
        read(one(store, content, "jsonl", types=types))
    text = read(one(store, content, "jsonl", types={"x": "string"}))
    assert text["x"].to_pylist() == ["1.5", digits]


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([{"a": 2**64 - 1}, {"a": 1}, None], "struct<a: decimal128(20, 0)>"),
        ([[2**64 - 1, None], [], [3]], "list<item: decimal128(20, 0)>"),
        ([[[2**63]], [[2**63 - 1]]], "list<item: list<item: decimal128(20, 0)>>"),
        (
            [{"a": 2**64 - 1, "b": [{"c": 1e300, "d": 2**64 - 3}]}],
            "struct<a: decimal128(20, 0), b: list<item: struct<c: double, d: decimal128(20, 0)>>>",
        ),
        ([[2**53 + 1], [2**63 - 1]], "list<item: int64>"),
        ([[2**53, 0.5], [2**70]], "list<item: double>"),
    ],
)
def test_whole_numbers_in_objects_and_lists_of_json_keep_their_digits(
    store: Store, monkeypatch: pytest.MonkeyPatch, values: list[Any], kind: str, blocks: int
) -> None:
    if blocks > 1:
        monkeypatch.setattr("airflow_mlops.stores.sources.json._BLOCK", 8)
    content = "".join(json.dumps({"x": value}) + "\n" for value in values).encode()
    table = read(one(store, content, "jsonl"))
    assert str(table.schema.field("x").type) == kind
    assert table["x"].to_pylist() == values


def test_the_digits_in_which_javascript_writes_fractions_are_enough(store: Store) -> None:
    content = b'{"x": [123456789012345680000, 0.5]}\n{"x": [-9223372036854776000]}\n'
    assert read(one(store, content, "jsonl"))["x"].to_pylist() == [
        [123456789012345680000.0, 0.5],
        [-(2.0**63)],
    ]


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("[1]", "[9007199254740993, 0.5]"),
        ("[0.5]", "[9007199254740993]"),
        ("[0.5]", "[18446744073709551615]"),
        ('{"a": [0.5]}', '{"a": [18446744073709551615]}'),
        ("[[1], [0.5]]", "[[], [-9223372036854775809]]"),
        ('{"a": {"b": 0.25}}', '{"a": {"b": 18446744073709551615}}'),
        ('{"a": null}', '{"a": 18446744073709551616001}'),
        ("[1.5]", "[1e400]"),
        ("[1.5]", "[" + "9" * 5_000 + "]"),
    ],
)
def test_numbers_in_objects_and_lists_of_json_never_lose_digits_silently(
    store: Store, monkeypatch: pytest.MonkeyPatch, first: str, second: str, blocks: int
) -> None:
    if blocks > 1:
        monkeypatch.setattr("airflow_mlops.stores.sources.json._BLOCK", 8)
    content = f'{{"x": {first}}}\n\n{{"x": {second}}}\n'.encode()
    says = "'x' holds a number, .*: write such numbers as text, or types: {x: string}, which|Number too big"
    with pytest.raises(SourceUnreadable, match=f"2013-01.jsonl: line 3: ({says})"):
        read(one(store, content, "jsonl"))
    text = read(one(store, content, "jsonl", types={"x": "string"}))
    assert text["x"].to_pylist() == [first, second]


def test_a_number_is_exact_in_one_file_and_would_not_be_among_the_fractions_of_another(store: Store) -> None:
    store.write("2013-01/a.jsonl", b'{"a": [9007199254740993]}\n')
    store.write("2013-01/b.jsonl", b'{"a": [0.5]}\n')
    with pytest.raises(
        SourceUnreadable, match=r"a.jsonl: line 1: 'a' holds a number, in an object or a list"
    ):
        read(FileSource(f"{store.url}/{{partition}}/*.jsonl"))


def test_objects_and_lists_of_json_are_text_if_types_say_so(store: Store) -> None:
    values = ['{"a": [1, 0.10, "é\\"", true, null]}', "[]", "true", "7"]
    content = "".join(f'{{"x": {value}}}\n' for value in [*values, '"x"', "null"]).encode()
    assert read(one(store, content, "jsonl", types={"x": "string"}))["x"].to_pylist() == [*values, "x", None]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl.gz"])
def test_text_of_another_encoding_is_read_if_it_is_named(store: Store, encoding: str, suffix: str) -> None:
    text = ('{"a": "é"}\n' if "json" in suffix else "a;b\né;1\n").encode(encoding)
    source = one(
        store, gzip.compress(text) if "gz" in suffix else text, suffix, encoding=encoding, delimiter=";"
    )
    assert read(source)["a"].to_pylist() == ["é"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le", "gb18030"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_byte_order_mark_belongs_to_no_name(store: Store, encoding: str, suffix: str) -> None:
    text = "\ufeff" + ('{"a": "\ufeffé"}\n' if suffix == "jsonl" else "a\n\ufeffé\n")
    table = read(one(store, text.encode(encoding), suffix, encoding=encoding))
    assert table.to_pydict() == {"a": ["\ufeffé"]}, "within the text it is a character like others"


@pytest.mark.parametrize(
    "encoding", ["rot13", "base64", "zlib", "hex", "idna", "punycode", "undefined", "unicode_escape"]
)
def test_a_codec_that_encodes_no_text_is_refused(store: Store, encoding: str) -> None:
    with pytest.raises(
        SourceUnreadable, match=f"'{encoding}' is no encoding of text that Python knows; write utf-8"
    ):
        read(one(store, CSV, encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_text_whose_order_of_bytes_nobody_tells_is_refused(store: Store, encoding: str) -> None:
    with pytest.raises(
        SourceUnreadable, match=f"is no {encoding}: .* does not start with BOM; name the encoding"
    ):
        read(one(store, "a\n1\n".encode(f"{encoding}-le"), encoding=encoding))


def test_half_a_character_of_utf_7_is_refused(store: Store) -> None:
    with pytest.raises(SourceUnreadable, match="is no utf-7: .*surrogates not allowed"):
        read(one(store, b"a\n+2AA-\n", encoding="utf-7"))


def test_json_may_be_nested_as_deep_as_people_write(store: Store) -> None:
    points = [[number, [number / 2, {"at": f"[{{{number}"}]] for number in range(500)]
    lines = [{"id": 1, "x": '[[{"' * 200 + "\\"}, {"id": 2, "x": "]}", "shape": [[[[["a"]]]]]}]
    content = "\n".join(map(json.dumps, [*lines, *lines])).encode()
    assert read(one(store, content, "jsonl"))["x"].to_pylist() == [line["x"] for line in lines] * 2
    many = "\n".join(json.dumps({"id": id, "points": str(points)}) for id in range(20)).encode()
    assert read(one(store, many, "jsonl")).num_rows == 20


DEEP = {
    "lists": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "lists that are not closed": b'{"a": ' + b"[" * 100_000,
    "lists on lines of their own": b'{"a":' + b"[" * 50 + b"\n" * 2 + b"[" * 99_950 + b"]" * 100_000 + b"}",
    "lists behind brackets in text": b'{"b": "'
    + b"]" * 200_000
    + b'\\"", "a": '
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "lists behind an escape in text": b'{"b": "\\\\", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("line", DEEP.values(), ids=DEEP)
def test_json_too_deep_to_parse_is_told_and_the_process_lives(store: Store, line: bytes) -> None:
    with pytest.raises(
        SourceUnreadable, match=r"line [35]: more than 100 brackets are open; write flatter objects"
    ):
        read(one(store, LINES + line + b"\n" + LINES, "jsonl"))


def test_a_line_of_json_that_does_not_end_is_not_read_to_its_end(store: Store) -> None:
    bomb = gzip.compress(b'{"id": 1}\n[' + b'{"id": 1},' * (40 << 20), 1)
    with pytest.raises(
        SourceUnreadable, match="line 2 is longer than 64 MiB; write one object a line, not a list"
    ):
        read(one(store, bomb, "jsonl.gz"))


def test_keys_that_lines_of_json_lack_are_missing(store: Store) -> None:
    padding = [{"a": 1, "pad": "x" * 1000}] * 20_000
    lines = [
        {"a": 1},
        *padding,
        {"a": 1.5, "b": [1], "c": {"d": "x"}, "at": "2013-01-01"},
        *padding,
        {"at": "soon"},
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    table = read(one(store, content, "jsonl"))
    assert table.num_rows == len(lines)
    assert table.select(["a", "b", "c", "at"]).take([0, 20_001, 40_002]).to_pylist() == [
        {"a": 1.0, "b": None, "c": None, "at": None},
        {"a": 1.5, "b": [1], "c": {"d": "x"}, "at": "2013-01-01"},
        {"a": None, "b": None, "c": None, "at": "soon"},
    ]


# ------------------------------------------------------------------------------------------------- what is refused


def truncated(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


NOISE = random.Random(1).randbytes(50_000).hex().encode()

BAD: dict[str, tuple[str, bytes, str]] = {
    "0 bytes": ("csv", b"", r"2013-01.csv is empty \(0 bytes\)"),
    "0 bytes of Parquet": ("parquet", b"", r"2013-01.parquet is empty \(0 bytes\)"),
    "nothing compressed": ("csv.gz", gzip.compress(b""), "2013-01.csv.gz cannot be read as CSV: Empty"),
    "truncated gzip": ("csv.gz", truncated(gzip.compress(b"a\n" + NOISE)), "2013-01.csv.gz is truncated, damaged"),
    "truncated bzip2": ("csv.bz2", truncated(bz2.compress(b"a\n" + NOISE)), "2013-01.csv.bz2 is truncated, damaged"),
    "truncated zstandard": ("jsonl.zst", truncated(zstd(NOISE)), "2013-01.jsonl.zst is truncated, damaged"),
    "no gzip": ("csv.gz", CSV, "2013-01.csv.gz is truncated, damaged, or cannot be opened"),
    "truncated Parquet": ("parquet", truncated(as_parquet(ROWS)), "2013-01.parquet is truncated or no Parquet"),
    "no Parquet": ("parquet", CSV * 9, "2013-01.parquet is truncated or no Parquet"),
    "damaged Parquet": ("parquet", b"PAR1" + NOISE[:500] + as_parquet(ROWS)[504:], "2013-01.parquet"),
    "another encoding": ("csv", "a,b\n1,2\n3,é\n".encode("latin-1"), r"byte 10 \(0xe9, line 3\) is no utf-8; .* such as encoding: latin-1"),
    "another encoding late": ("csv", b"a\n" + b"1\n" * 3_000_000 + b"\xff\n", r"byte 6,000,002 \(0xff, line 3,000,002\)"),
    "another encoding of JSON": ("jsonl", '{"a": "é"}\n'.encode("latin-1"), r"byte 7 \(0xe9, line 1\) is no utf-8"),
    "UTF-16": ("csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16; save it as UTF-8, or name its encoding: encoding: utf-16"),
    "NUL bytes": ("csv", b"a,b\n1,2\n3,\x004\n", "line 3 holds a NUL byte"),
    "a hole": ("jsonl", LINES + bytes(4096), "line 3 holds a NUL byte"),
    "a short row": ("csv", b'a,b\n"x\ny",2\n3\n4,5\n', "line 4 has 1 fields, the header 2"),
    "a long row": ("csv", b"a,b\n1,2\n3,4,5\n", "line 3 has 3 fields, the header 2; quote fields"),
    "an open quote": ("csv", b'a,b\n1,"2"\n1,"2\n3,4\n5,6\n', "the row that begins in line 3 is no CSV .unexpected end of data.; a quote is not closed"),
    "two open quotes": ("csv", b'id,at,x\n1,2026-01-01,"abc\n2,2026-01-01,"def\n', "the row that begins in line 2 is no CSV"),
    "an open quote and a long cell": ("csv", b'a,b\n1,"2\n3,4"' + b"x" * 200_000 + b'\n5,"6\n', "a quote is not closed"),
    "an early open quote": ("csv", b'a,b\n1,"2\n' + b"3,4\n" * 6_000_000, "a row is longer than 8 MiB; a quote may not be closed"),
    "two columns of one name": ("csv", b"a,b,a\n1,2,3\n", "the column 'a' is there twice; rename one of them"),
    "two late columns of one name": ("csv", b"a,b,a\n" + b"1,2,3\n" * 2_000_000 + b"x,y,z\n", "the column 'a' is there twice"),
    "no name": ("csv", b"a,,b\n1,2,3\n", "column 2 has no name; give it one, or leave it out"),
    "an index of pandas": ("csv", b",a\n0,2\n", r"column 1 has no name.*\(pandas: to_csv\(index=False\)\)"),
    "no header": ("csv", b"7,7,x\n1,2,3\n", r"rename one of them \(it looks like a value: is the header missing\?\)"),
    "two columns of one name in Parquet": ("parquet", as_parquet(pa.table([[1], [2]], names=["a", "a"])), "'a' is there twice"),
    "mixed kinds": ("jsonl", b'{"a": 1}\n{"a": "x"}\n', r"line 2: Column\(/a\) changed from number to string"),
    "a list": ("jsonl", b'[{"a": 1}]\n', "line 1: .*; write one object a line, not a list"),
    "a cut line": ("jsonl", LINES + b'{"id": 3, "x"', "line 3: Missing a colon"),
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "content", "says"), BAD.values(), ids=BAD)
def test_a_bad_file_is_told(store: Store, suffix: str, content: bytes, says: str) -> None:
    with pytest.raises(SourceUnreadable, match=says) as raised:
        read(one(store, content, suffix))
    assert str(raised.value).startswith("partition 2013-01: ")
    assert f"2013-01.{suffix}" in str(raised.value)


def test_kinds_that_are_mixed_far_apart_are_told(store: Store) -> None:
    # Blocks have 8 MiB, and are looked at one by one.
    content = b'{"a": 1}'.ljust(15) + b"\n"
    content = content * (1 << 19) + b'{"a": "x"}\n'
    with pytest.raises(SourceUnreadable, match="'a' is int64 at first, and string after line 524,289"):
        read(one(store, content, "jsonl"))


def test_a_missing_file_is_named_with_its_partition(store: Store) -> None:
    for pattern, what in (("{partition}.csv", "no file"), ("{partition}/*.csv", "no file that matches")):
        with pytest.raises(SourceMissing, match=f"partition 2013-01: there is {what} .*2013-01"):
            read(FileSource(f"{store.url}/{pattern}"))


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (("csv", b"a,b\n1,2\n"), ("csv", b"a\n1\n"), r"b.csv lacks 'b'"),
        (("csv", b"a\n1\n"), ("csv", b"a,c\n1,2\n"), r"b.csv has 'c' too"),
        (("parquet", as_parquet(pa.table({"a": [1]}))), ("parquet", as_parquet(ROWS)), r"b.parquet lacks 'a'; .*b.parquet has 'id' too"),
        (("parquet", as_parquet(ROWS)), ("parquet", as_parquet(pa.table({"id": ["x"], "x": ["b"]}))), r"'id' is int64 and then string in .*b.parquet"),
        (("jsonl", b'{"a": 1}\n'), ("jsonl", b'{"a": "x"}\n'), r"'a' is int64 and then string in .*b.jsonl"),
    ],
)  # fmt: skip
def test_a_file_that_differs_from_the_others_is_named(
    store: Store, first: tuple[str, bytes], second: tuple[str, bytes], says: str
) -> None:
    store.write(f"2013-01/a.{first[0]}", first[1])
    store.write(f"2013-01/b.{second[0]}", second[1])
    with pytest.raises(SourceUnreadable, match=says):
        read(FileSource(f"{store.url}/{{partition}}/*.{first[0]}"))


def test_numbers_of_several_widths_in_several_files_are_read(store: Store) -> None:
    store.write("2013-01/a.parquet", as_parquet(pa.table({"a": pa.array([1], pa.int32()), "b": pa.nulls(1)})))
    store.write("2013-01/b.parquet", as_parquet(pa.table({"b": ["x"], "a": [2.5]})))
    assert read(FileSource(f"{store.url}/{{partition}}/*.parquet")).to_pydict() == {
        "a": [1.0, 2.5],
        "b": [None, "x"],
    }


def test_a_file_that_grows_while_it_is_read_is_told(store: Store) -> None:
    source = one(store, b"a\n" + b"1\n" * 10)
    batches = source.batches(JANUARY)
    next(batches)
    store.write("2013-01.csv", b"a\n" + b"1\n" * 11)
    with pytest.raises(
        SourceChanging, match=r"2013-01.csv changed while it was read; wait until it is complete"
    ):
        list(batches)


def test_a_path_may_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_bytes(CSV)
    (tmp_path / "data" / "2013-01").mkdir(parents=True)
    (tmp_path / "data" / "2013-01.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "data" / "2013-01" / "a.csv").symlink_to("../../secret.csv")
    for pattern in ("{partition}.csv", "{partition}/*.csv", "{partition}/../../secret.csv"):
        with pytest.raises(SourceUnreadable, match=rf"leads to .*secret.csv, outside of {tmp_path}/data;"):
            read(FileSource(f"{tmp_path}/data/{pattern}"))


def test_a_link_within_its_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "v2.csv").write_bytes(CSV)
    (tmp_path / "2013-01.csv").symlink_to("v2.csv")
    assert read(FileSource(f"{tmp_path}/{{partition}}.csv")) == ROWS


def test_a_relative_path_is_looked_for_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2013-01.csv").write_bytes(CSV)
    assert read(FileSource("{partition}.csv")) == ROWS


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (
            "nosuch://bucket/{partition}.csv",
            "nosuch://bucket/*.csv cannot be opened: Protocol not known: nosuch",
        ),
        ("data/{partition}.csv", "partition 2013-01: there is no file data/2013-01.csv"),
    ],
)
def test_a_place_that_does_not_exist_is_told(path: str, says: str) -> None:
    with pytest.raises((SourceUnreadable, SourceMissing)) as raised:
        read(FileSource(path))
    assert says in str(raised.value)


# -------------------------------------------------------------------------------------------------- what is there


def test_the_stamp_changes_with_every_file(store: Store) -> None:
    source = FileSource(f"{store.url}/{{partition}}/*.csv")
    stamps = [source.stamp(JANUARY)]
    for name, content in (("2013-01/a.csv", CSV), ("2013-01/b.csv", CSV), ("2013-01/b.csv", CSV + b"3,c\n")):
        store.write(name, content)
        stamps.append(source.stamp(JANUARY))
        assert source.stamp(JANUARY) == stamps[-1]
    assert stamps[0] is None
    assert len(set(stamps)) == 4
    store.write("2013-02/a.csv", CSV)
    assert source.stamp(JANUARY) == stamps[-1]


def test_a_file_replaced_by_one_of_the_same_size_has_another_stamp(tmp_path: Path) -> None:
    file = tmp_path / "2013-01.csv"
    file.write_bytes(CSV)
    source = FileSource(f"{tmp_path}/{{partition}}.csv")
    before = source.stamp(JANUARY)
    os.utime(file, (1, 1))
    assert source.stamp(JANUARY) != before


def test_a_listing_is_never_older_than_the_question(store: Store) -> None:
    source = FileSource(f"{store.url}/{{partition}}/*.csv")
    assert source.files(JANUARY) == []
    store.write("2013-01/a.csv", CSV)
    assert len(source.files(JANUARY)) == 1


@pytest.mark.parametrize(
    ("pattern", "name", "grain", "key"),
    [
        ("{partition}.csv", "2013-01.csv", "month", "2013-01"),
        ("{partition}.csv", "2013-01.csv", None, "2013-01"),
        ("{partition}.csv", "latest.csv", "month", None),
        ("{partition}/f_{partition}.csv", "2013-01/f_2013-01.csv", "month", "2013-01"),
        ("{year}/{month}/{day}T{hour}.csv", "2013/01/07T05.csv", "hour", "2013-01-07T05"),
        ("{year}/{month}/{day}.csv", "2013/01/09.csv", "week", "2013-01-07"),
        ("{year}/{month}/{day}.csv", "2024/03/31.csv", "day Europe/Berlin", "2024-03-31"),
        ("{year}/{month}/{day}.csv", "2018/11/04.csv", "day America/Sao_Paulo", "2018-11-04"),
        ("{partition}.csv", "2024-03-31.csv", "day Asia/Kolkata", "2024-03-31"),
        ("{year}/{month}/*.csv", "2013/13/a.csv", "month", None),
        ("{year}/{month}/*.csv", "2013/01/a.csv", None, None),
        ("*.csv", "a.csv", "day", None),
        ("{partition}/**/*.csv", "2013-01/a.csv", "month", "2013-01"),
        ("{partition}/**/*.csv", "2013-01/x/y/a.csv", "month", "2013-01"),
        ("{partition}*.csv", "2013-01-a.csv", "month", "2013-01"),
        ("{partition}*.csv", "2013-01.csv", "month", "2013-01"),
        ("*{partition}*/a.csv", "all-2013-01-02T03-ok/a.csv", "hour", "2013-01-02T03"),
        ("{year}{month}*.csv", "201301-a.csv", "month", "2013-01"),
        ("{year}{month}{day}.csv", "20130105.csv", "day", "2013-01-05"),
    ],
)  # fmt: skip
def test_a_path_tells_its_partition(
    store: Store, pattern: str, name: str, grain: str | None, key: str | None
) -> None:
    store.write(name, CSV)
    source = FileSource(f"{store.url}/{pattern}")
    [file] = source.files(None)
    assert source.key_of(file, grain) == key


def test_a_star_beside_a_part_of_the_partition_reaches_no_folder_below(store: Store) -> None:
    for name in ("2013-01-a/x.csv", "2013-01-a/deeper/x.csv"):
        store.write(name, CSV)
    source = FileSource(f"{store.url}/{{partition}}*/x.csv")
    assert source.describe(None).endswith("/*/x.csv")
    for partition in (None, JANUARY):
        assert [file.name.rpartition("2013")[2] for file in source.files(partition)] == ["-01-a/x.csv"]


def test_a_year_of_a_path_has_four_digits(store: Store) -> None:
    store.write("0033-04.csv", CSV)
    source = FileSource(f"{store.url}/{{year}}-{{month}}.csv")
    april = Partition.parse("0033-04", "month")
    [file] = source.files(april)
    assert source.key_of(file, "month") == april.key


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://h:abc/{partition}.csv", "its port is no whole number"),
        ("http://ada:se-cret@h:99999999/{partition}.csv", "its port is no whole number"),
        ("http:///{partition}.csv", "it names no host"),
        ("s3:///{partition}.csv", "it names no host"),
        ("hdfs:///{partition}.csv", "it names no host"),
        ("http://[::1/{partition}.csv", "one of two brackets"),
        ("foo://x/{partition}.csv", "cannot be opened: "),
    ],
)
def test_an_address_that_nothing_can_be_at_is_refused_without_its_password(url: str, problem: str) -> None:
    with pytest.raises(SourceUnreadable, match=problem) as caught:
        FileSource(url).files(JANUARY)
    assert "se-cret" not in str(caught.value)


def test_an_error_that_only_its_file_system_has_is_one_of_ours(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndpointConnectionError(Exception):
        pass

    source = FileSource(f"{store.url}/{{partition}}.csv")
    for raised, ours in ((EndpointConnectionError, SourceMissing), (RuntimeError, SourceUnreadable)):

        def fail(*_: object, error: type[Exception] = raised) -> None:
            raise error("s3://ada:se-cret@h")

        monkeypatch.setattr(FileSource, "_list", fail)
        with pytest.raises(ours, match="ada|\\*\\*\\*") as caught:
            source.files(JANUARY)
        assert "se-cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "ours"), [("Unable to load libjvm", SourceUnreadable), ("HDFS connection failed", SourceMissing)]
)
def test_a_file_system_that_cannot_be_opened_is_an_error_of_ours(
    said: str, ours: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(protocol: str) -> None:
        raise OSError(said)

    monkeypatch.setattr("fsspec.filesystem", fail)
    with pytest.raises(ours, match=said):
        FileSource("none://host/{partition}.csv").files(JANUARY)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("s3://my_conn@bucket/{partition}.csv", "s3://bucket/2013-01.csv"),
        ("ftp://u:p@ss@host/{partition}.csv", "ftp://host/2013-01.csv"),
        ("https://host/{partition}.csv?X-Amz-Signature=secret", "https://host/2013-01.csv"),
        ("s3://bucket/{partition}/?@.csv", "s3://bucket/2013-01/?@.csv"),
    ],
)
def test_credentials_in_a_path_are_not_shown(path: str, shown: str) -> None:
    assert FileSource(path).describe(JANUARY) == shown


def test_a_place_that_refuses_connections_may_be_reached_later() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for path in ("{partition}.csv", "{partition}/*.csv"):
        with pytest.raises(SourceMissing):
            read(FileSource(f"{place}/{path}"))


def test_reading_needs_little_memory_however_many_rows(tmp_path: Path) -> None:
    content = b"id,x\n" + b"1,some text\n" * 100_000
    with gzip.open(tmp_path / "2013-01.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(20):
            file.write(content[5 if file.tell() else 0 :])
    before = pa.total_allocated_bytes()
    most = rows = 0
    for batch in FileSource(f"{tmp_path}/{{partition}}.csv.gz").batches(JANUARY):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 2_000_000
    assert most < 80_000_000
