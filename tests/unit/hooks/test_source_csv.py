"""CSV as people write it: escaped quotes, numbers and times of other countries."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.learning.labels import labels
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stores.sources import quotes
from airflow_mlops.stores.tables import tables

JANUARY = Partition.parse("2026-01", "month")
GERMAN: dict[str, Any] = {"delimiter": ";", "decimal": ",", "thousands": "."}


def csv(folder: Path, *texts: str, **options: Any) -> FileSource:
    for number, text in enumerate(texts):
        (folder / f"2026-01-{number}.csv").write_text(text, encoding="utf-8")
    return FileSource(f"{folder}/{{partition}}-*.csv", **options)


def read(source: FileSource, **types: str) -> pa.Table:
    return pa.Table.from_batches(list(source.batches(JANUARY, types)))


def column(folder: Path, *values: str, **options: Any) -> list[Any]:
    lines = "".join(f"{number};{value}\n" for number, value in enumerate(values))
    values_read: list[Any] = read(csv(folder, f"id;x\n{lines}", **{"delimiter": ";"} | options))[
        "x"
    ].to_pylist()
    return values_read


# ------------------------------------------------------------------------------------------- names, and the delimiter


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("Plz", {"types": {"Plz": "string"}}), ("PLZ ", {"percent": ["PLZ "]}), ("PLZZ", {"times": {"PLZZ": "%d.%m.%Y"}})],
)  # fmt: skip
def test_a_column_that_is_named_in_another_spelling_is_refused(
    tmp_path: Path, name: str, options: dict[str, Any], format: str
) -> None:
    (tmp_path / "2026-01.csv").write_text("id,PLZ\n1,01067\n")
    (tmp_path / "2026-01.jsonl").write_text('{"id": 1, "PLZ": "01067"}\n')
    source = FileSource(f"{tmp_path}/{{partition}}.{format}", **options)
    with pytest.raises(
        SourceUnreadable,
        match=f"{next(iter(options))} names '{name}', which is no column of .*; did you mean 'PLZ'\\?$",
    ):
        read(source)


@pytest.mark.parametrize(
    "types", [{"PLZ": "string", "Plz": "string"}, {"city": "string"}, {"PLZ_of": "string"}]
)
def test_a_column_that_is_gone_is_told_and_stops_nothing(
    tmp_path: Path, types: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = read(csv(tmp_path, "id,PLZ\n1,01067\n", types=types), PLZ_of="string")
    assert rows.column_names == ["id", "PLZ"]
    assert f"types names {list(types)[-1]!r}, which is no column of" in caplog.text


def test_a_key_that_only_some_files_have_may_be_named(tmp_path: Path) -> None:
    for name, row in {"a": '{"id": 1, "notes": "x"}', "b": '{"id": 2, "notes": "x", "note": "007"}'}.items():
        (tmp_path / f"2026-01-{name}.jsonl").write_text(row)
    rows = read(FileSource(f"{tmp_path}/{{partition}}-*.jsonl", types={"note": "string"}))
    assert rows["note"].to_pylist() == [None, "007"]


def test_a_named_column_that_was_published_may_be_lost(tmp_path: Path) -> None:
    source = csv(tmp_path, "id,PLZ2\n1,01067\n", types={"PLZ": "string"})
    with pytest.raises(SourceUnreadable, match="did you mean 'PLZ2'"):
        read(source)
    assert read(source, PLZ="string").num_rows == 1


@pytest.mark.parametrize("mark", [";", "\t", "|", ","])
@pytest.mark.parametrize("row", ["1|2|3", "1,5|2,5|x", '"a"|b'])
@pytest.mark.parametrize("options", [{}, {"thousands": " "}])
def test_the_delimiter_of_a_header_of_one_field_is_named(
    tmp_path: Path, mark: str, row: str, options: dict[str, Any]
) -> None:
    text = f"id|at|x\n{row}\n".replace("|", mark)
    source = csv(tmp_path, text, delimiter="#" if mark == "," else ",", **options)
    with pytest.raises(SourceUnreadable) as raised:
        read(source)
    written = "\\t" if mark == "\t" else mark
    assert str(raised.value).endswith(f': write delimiter: "{written}"')


# --------------------------------------------------------------------------------------------------- escaped quotes

ESCAPED = {
    "in the middle": '1,"x \\"q\\" y"\n',
    "at the end": '1,"5\\""\n2,"6\\""\n',
    "before a delimiter": '1,"x\\", y"\n',
    "in one row": '1,"a"\n2,"b \\"c\\" d"\n3,"e"\n',
    "without quotes around": "1,5\\\" pipe\n",
    "so that it can be read in two ways": '1,"a\\""\n2,5\\"\n',
    "over lines": '1,"two\nlines \\"q\\" x"\n',
}  # fmt: skip


@pytest.mark.parametrize("text", ESCAPED.values(), ids=ESCAPED)
def test_quotes_that_a_backslash_escapes_are_refused_and_the_option_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"line \d.*: write escape: \\$"):
        read(csv(tmp_path, f"id,x\n{text}"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (ESCAPED["in the middle"], ['x "q" y']), (ESCAPED["at the end"], ['5"', '6"']), (ESCAPED["before a delimiter"], ['x", y']),
        (ESCAPED["without quotes around"], ['5" pipe']), (ESCAPED["over lines"], ['two\nlines "q" x']), ('1,"a ""b"""\n', ['a "b"']),
        ('1,"C:\\\\dir\\\\"\n', ["C:\\dir\\"]), ("1,a\\,b\n", ["a,b"]), ("1,\\N\n2,N\n3,\\N\n", [None, "N", None]), ('1,"\\\\N"\n', ["\\N"]),
    ],
)  # fmt: skip
def test_quotes_that_a_backslash_escapes_are_read_if_the_spec_says_so(
    tmp_path: Path, text: str, values: list[str | None]
) -> None:
    assert read(csv(tmp_path, f"id,x\n{text}", escape="\\"))["x"].to_pylist() == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('1,"C:\\dir\\"\n', "C:\\dir\\"), ('1,"{""a"": ""say \\""hi\\""""}"\n', '{"a": "say \\"hi\\""}'), ("1,\\N\n", "\\N"),
        ('1,"a, \\"" b"\n', 'a, \\" b'), ('1,"{""a"": ""x\\"",b""}"\n', '{"a": "x\\",b"}'), ('1,"5\\"""\n', '5\\"'),
    ],
    ids=["folder", "JSON", "no escape", "doubled", "JSON with a delimiter", "doubled at the end"],
)  # fmt: skip
def test_backslashes_of_files_that_double_their_quotes_stay(tmp_path: Path, text: str, value: str) -> None:
    assert read(csv(tmp_path, f"id,x\n{text}"))["x"].to_pylist() == [value]


def test_missing_fields_of_a_long_escaped_file_are_missing_wherever_a_block_ends(tmp_path: Path) -> None:
    source = csv(tmp_path, "id,x\n" + "1,\\N\n" * 300_000, escape="\\")
    assert read(source)["x"].null_count == 300_000


def test_a_line_is_named_also_in_a_file_with_an_escape(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="line 3 has 3 fields, the header 2"):
        read(csv(tmp_path, 'id,x\n1,"a\\", b"\n2,"c",d\n', escape="\\"))
    with pytest.raises(
        SourceUnreadable, match="the row that begins in line 2 is no CSV .*a quote is not closed"
    ):
        read(csv(tmp_path, 'id,x\n1,"a\\"\n2,c\n', escape="\\"))


# ---------------------------------------------------------------------------------------------- numbers and percent


@pytest.mark.parametrize(
    ("options", "values", "right"),
    [
        ({"decimal": ","}, ["1,5", "-0,25", "12", "1e3", "NA", ""], [1.5, -0.25, 12, 1000, None, None]),
        ({"decimal": ",", "thousands": "."}, ["1.234,5", "1.234.567", "-12"], [1234.5, 1234567, -12]),
        ({"thousands": ","}, ["1,234.5", "12,345,678.25", "5"], [1234.5, 12345678.25, 5]),
        ({"thousands": "."}, ["x"], ["x"]),
        ({"thousands": " ", "decimal": ","}, ["1 234,5", "1\u00a0234,5", "1\u202f234,5"], [1234.5] * 3),
        ({"thousands": "'"}, ["1'234.5", "1\u2019234.5"], [1234.5] * 2),
        ({"thousands": "_"}, ["1_234", "-1_000_000"], [1234, -1_000_000]),
        ({"decimal": ","}, ["1.5", "2"], ["1.5", "2"]),
        ({"decimal": ",", "thousands": "."}, ["1.23", "12.34,5"], ["1.23", "12.34,5"]),
        ({"decimal": ","}, ["true", "false"], [True, False]),
        ({"decimal": ","}, ["2026-01-02", ""], [date(2026, 1, 2), None]),
        ({"decimal": ","}, ["9223372036854775808", "1"], [9223372036854775808, 1]),
        ({"percent": ["x"]}, ["12.5 %", "0.1%", "-3\u00a0%", ""], [0.125, 0.001, -0.03, None]),
        ({"percent": ["x"], "decimal": ",", "thousands": "."}, ["12,5%", "1.234,5 %"], [0.125, 12.345]),
        ({"percent": ["x"]}, [f"1{309 * '0'}%", f"0.{400 * '0'}1%"], [1e307, 0.0]),
        ({"decimal": ","}, ["1,5e308", "-Infinity", "inf"], [1.5e308, float("-inf"), float("inf")]),
        ({"decimal": ","}, ["1,5", "1e400"], ["1,5", "1e400"]),
    ],
)  # fmt: skip
def test_numbers_are_read_as_they_are_written(
    tmp_path: Path, options: dict[str, Any], values: list[str], right: list[Any]
) -> None:
    if options.get("thousands") == ".":
        options = {"decimal": ","} | options
    assert column(tmp_path, *values, **options) == right


def test_whole_numbers_stay_whole_and_codes_stay_text_if_types_say_so(tmp_path: Path) -> None:
    source = csv(tmp_path, "a;b;c\n1.234;10.115;1,5\n", **GERMAN, types={"b": "string"})
    assert [str(kind) for kind in read(source).schema.types] == ["int64", "string", "double"]
    assert read(source).to_pylist() == [{"a": 1234, "b": "10.115", "c": 1.5}]


def test_numbers_may_hold_the_delimiter_within_quotes(tmp_path: Path) -> None:
    assert read(csv(tmp_path, 'id,x\n1,"1,5"\n', decimal=","))["x"].to_pylist() == [1.5]


def test_a_notation_holds_for_all_values_of_all_files(tmp_path: Path) -> None:
    late = "".join(f"{number};1.000\n" for number in range(800_000))
    source = csv(tmp_path, f"id;x\n{late}1;2,5\n", "id;x\n3;4\n", **GERMAN)
    table = read(source)
    assert (str(table.schema.field("x").type), table["x"][0].as_py(), table["x"][-2].as_py()) == (
        "double", 1000, 2.5
    )  # fmt: skip
    source = csv(tmp_path, "id;x\n1;2,5\n", "id;x\n3;k.A.\n", **GERMAN)
    assert read(source)["x"].to_pylist() == ["2,5", "k.A."]


def test_a_compressed_file_of_another_encoding_is_read_in_its_notation(tmp_path: Path) -> None:
    (tmp_path / "2026-01.csv.gz").write_bytes(gzip.compress("id;größe\n1;1.234,5\n".encode("cp1252")))
    source = FileSource(f"{tmp_path}/{{partition}}.csv.gz", encoding="cp1252", **GERMAN)
    assert read(source).to_pylist() == [{"id": 1, "größe": 1234.5}]


def test_what_is_no_percentage_is_named_with_its_line(tmp_path: Path) -> None:
    text = 'id;x\n1;"two\nlines"\n'
    with pytest.raises(
        SourceUnreadable, match=r"2026-01-0.csv: 'x' holds 1 value \('two.nlines' \(line 2\)\) that are"
    ):
        read(csv(tmp_path, text, percent=["x"], delimiter=";"))
    says = r"'x' holds 4 values \('12' \(line 3\), '0.5' \(line 4\), 'x' \(line 6\), …\) that are no percentage, as percent says"
    with pytest.raises(SourceUnreadable, match=says):
        column(tmp_path, "5 %", "12", "0.5", "7%", "x", "9", percent=["x"])


# ------------------------------------------------------------------------------------------------------------ times


@pytest.mark.parametrize(
    ("format", "values", "right", "kind"),
    [
        ("%d.%m.%Y", ["31.12.2025", "1.2.2026", "", "NA"], [date(2025, 12, 31), date(2026, 2, 1), None, None], "date32[day]"),
        ("%d.%m.%y", ["31.12.25", "01.02.70"], [date(2025, 12, 31), date(1970, 2, 1)], "date32[day]"),
        ("%m/%d/%Y %I:%M %p", ["12/31/2025 12:05 AM", "1/2/2026 3:04 pm"], [datetime.fromisoformat("2025-12-31T00:05"), datetime.fromisoformat("2026-01-02T15:04")], "timestamp[s]"),
        ("%Y%m%d", ["20251231", "20240229"], [date(2025, 12, 31), date(2024, 2, 29)], "date32[day]"),
        ("%d-%b-%Y", ["31-DEC-2025", "1-Feb-2026"], [date(2025, 12, 31), date(2026, 2, 1)], "date32[day]"),
        ("%d.%m.%Y %H:%M:%S.%f", ["31.12.2025 23:59:58.1234567"], [datetime.fromisoformat("2025-12-31T23:59:58.123456")], "timestamp[us]"),
        ("%d.%m.%Y %H:%M%z", ["31.12.2025 23:59+02:00", "31.12.2025 23:59Z"],
         [datetime(2025, 12, 31, 21, 59, tzinfo=UTC), datetime(2025, 12, 31, 23, 59, tzinfo=UTC)], "timestamp[s, tz=UTC]"),
    ],
)  # fmt: skip
def test_times_are_read_in_their_format(
    tmp_path: Path, format: str, values: list[str], right: list[Any], kind: str
) -> None:
    assert column(tmp_path, *values, times={"x": format}) == right
    assert (
        str(
            read(
                FileSource(f"{tmp_path}/{{partition}}-*.csv", delimiter=";", times={"x": format})
            ).schema.types[1]
        )
        == kind
    )


@pytest.mark.parametrize(
    "value", ["31.02.2026", "2026-01-31", "31.1.26", "1.13.2026", "31.01.2026 10:00", "soon"]
)
def test_what_is_no_time_of_the_format_is_named_with_its_line(tmp_path: Path, value: str) -> None:
    says = rf"'x' holds 1 value \('{value}' \(line 3\)\) that are no %d.%m.%Y, as times says"
    with pytest.raises(SourceUnreadable, match=says):
        column(tmp_path, "01.02.2026", value, times={"x": "%d.%m.%Y"})


def test_options_of_a_source_by_hand_are_checked(tmp_path: Path) -> None:
    for options, says in (
        ({"escape": "\\\\"}, "escape is .*; it must be one character"),
        ({"escape": ";"}, "escape is ';'; it must be one character, such as .*, and no delimiter"),
        ({"decimal": ";"}, "decimal is ';' and thousands None"),
        ({"thousands": "."}, "decimal and thousands are both '.'"),
        ({"percent": "x"}, "percent is the text 'x'; name columns in a list"),
        ({"times": {"x": "%d.%m"}}, "times: the format '%d.%m' of 'x' must have a year"),
        ({"times": {"x": "%Q"}}, "times: the format '%Q' of 'x' holds %Q; allowed: %Y, %y"),
    ):  # fmt: skip
        with pytest.raises(SourceUnreadable, match=says):
            column(tmp_path, "1", **options)


# ------------------------------------------------------------------------------------------- keys, times and labels


def published(source: FileSource, folder: Path) -> tuple[DatasetVersion, pa.Table]:
    options: dict[str, Any] = {"name": "orders", "key": ["id"], "event_time": "at", "run": "test"}
    data = f"file://{folder}/data"
    staged = ingest.stage(source, JANUARY, uri=f"file://{folder}/staging", published=data, **options)
    version = ingest.publish(staged, uri=data, run="test")
    return version, tables.read(data)


def test_keys_event_times_and_labels_are_published_in_their_notation(tmp_path: Path) -> None:
    times = {"at": "%d.%m.%Y %H:%M"}
    source = csv(
        tmp_path, "id;at;x\n1.001;31.01.2026 10:00;0,5\n1.002;01.01.2026 00:00;12\n", **GERMAN, times=times
    )
    version, rows = published(source, tmp_path)
    assert version.columns == {"id": "int64", "at": "timestamp[us, tz=UTC]", "x": "double"}
    assert rows.sort_by("id").select(["id", "at", "x"]).to_pylist() == [
        {"id": 1001, "at": datetime(2026, 1, 31, 10, tzinfo=UTC), "x": 0.5},
        {"id": 1002, "at": datetime(2026, 1, 1, tzinfo=UTC), "x": 12.0},
    ]
    (tmp_path / "labels").mkdir()
    truth = csv(tmp_path / "labels", "id;at;y\n1.001;31.01.2026 10:00;1.234,5\n", **GERMAN, times=times)
    report = labels.ingest(
        truth, JANUARY, uri=f"file://{tmp_path}/truth", data=version.uri, key=["id"], event_time="at", target="y",
        task="regression",
    )  # fmt: skip
    assert (report.new, report.unmatched.unknown if report.unmatched else None) == (1, 0)
    assert tables.read(f"file://{tmp_path}/truth").select(["id", "y"]).to_pylist() == [
        {"id": 1001, "y": 1234.5}
    ]


def test_a_source_with_a_notation_survives_the_way_to_the_triggerer(tmp_path: Path) -> None:
    from airflow_mlops.hooks.sources import pack, unpack

    source = csv(
        tmp_path, "id;x\n1;5 %\n", delimiter=";", percent=("x",), times={"at": "%d.%m.%Y"}, escape="\\"
    )
    assert read(unpack(json.loads(json.dumps(pack(source)))))["x"].to_pylist() == [0.05]  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------- what Arrow reads, and people do not


@pytest.mark.parametrize("text", ["0x10", "0XfF", " 0x10", "1e400", "-1e999"])
@pytest.mark.parametrize("others", [[], ["7"], ["7.5"], ["word"], [""]])
@pytest.mark.parametrize("options", [{}, {"decimal": ","}, {"escape": "\\"}])
def test_what_only_a_parser_takes_for_a_number_is_text(
    tmp_path: Path, text: str, others: list[str], options: dict[str, Any]
) -> None:
    rows = column(tmp_path, text, *others, **options)
    assert rows == [text, *(other or None for other in others)]
    assert column(tmp_path, *["7"] * 5, text, **options)[-1] == text


@pytest.mark.parametrize("options", [{"types": {"x": "int64"}}, {"types": {"x": "double"}}])
@pytest.mark.parametrize("text", ["0x10", "1e400"])
def test_what_only_a_parser_takes_for_a_number_is_none_where_a_number_is_due(
    tmp_path: Path, text: str, options: dict[str, Any]
) -> None:
    with pytest.raises(
        SourceUnreadable, match=f"'x' cannot be read as .* in 1 of 2 values: '{text}' .line 3"
    ):
        column(tmp_path, "7", text, **options)


def test_a_published_number_is_not_read_by_a_parser_alone(tmp_path: Path) -> None:
    assert read(csv(tmp_path, "x\n0x10\n7\n"), x="int64")["x"].to_pylist() == ["0x10", "7"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 1", 1), ("1 ", 1), ("\t1", 1), ("+1", 1.0), (".5", 0.5), ("5.", 5.0), ("1e5", 1e5), ("007", 7), ("-0", 0),
        ("inf", float("inf")), ("-Infinity", float("-inf")), (" 1.5", 1.5), ("TRUE", True), ("False", False), ("t", "t"),
        ("yes", "yes"), (" true", " true"), ("2024", 2024), ("2024-01", "2024-01"), (" 2024-01-02", date(2024, 1, 2)),
        ("2024-01-02T03", datetime(2024, 1, 2, 3, tzinfo=UTC).replace(tzinfo=None)), ("2024-1-2", "2024-1-2"), ("12:30", "12:30"), ("1d", "1d"),
        ("1_000", "1_000"), ("\u0661", "\u0661"), ("0b1", "0b1"), ("1%", "1%"),
    ],
)  # fmt: skip
def test_a_value_is_the_same_however_far_down_the_file_its_type_is_found(
    tmp_path: Path, text: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert column(tmp_path, text) == [value]
    # A value of another column that does not fit, in a later block, makes all columns be looked at again.
    monkeypatch.setattr(quotes, "BLOCK", 256)
    (tmp_path / "2026-01-0.csv").write_text("x,other\n" + f"{text},1\n" * 200 + f"{text},word\n")
    assert set(read(FileSource(f"{tmp_path}/{{partition}}-*.csv"))["x"].to_pylist()) == {value}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        *((text, {"percent": ["x"]}) for text in ("nan%", "inf %", "-Infinity%", f"1{320 * '0'}%", f"-{400 * '9'}.5 %")),
        *((f"31.12.2025 10:00 {z}", {"times": {"x": "%d.%m.%Y %H:%M %z"}}) for z in ("+25:00", "+0199", "-24:00", "+1:00")),
    ],
)  # fmt: skip
def test_what_is_no_percentage_and_no_offset_is_none(
    tmp_path: Path, text: str, options: dict[str, Any]
) -> None:
    with pytest.raises(SourceUnreadable, match=r"'x' holds 1 value .*line 2\)\) that are no .* says"):
        column(tmp_path, text, **options)


def test_an_offset_may_be_as_large_as_a_day(tmp_path: Path) -> None:
    times = {"times": {"x": "%d.%m.%Y %H:%M %z"}}
    (noon,) = column(tmp_path, "31.12.2025 12:00 +14:00", **times)
    assert noon == datetime(2025, 12, 30, 22, tzinfo=UTC)
