from __future__ import annotations

import gzip
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.stages.init import inputs
from airflow_mlops.stores.sources.bytes import NULLS


def dirty(folder: Path, rows: int = 300) -> Path:
    """Write CSV as a spreadsheet of a German office saves it."""
    lines = ["Kunde;Datum;Umsatz;Rabatt;PLZ;Stadt"]
    for row in range(rows):
        day = date(2024, 1, 1) + timedelta(days=row)
        amount = "-" if row % 30 == 7 else f"{1 + row % 3}.{row % 1000:03},{row % 100:02}"
        lines.append(
            f"K{row};{day:%d.%m.%Y};{amount};{row % 30},5 %;{1000 + row:05};{'Köln' if row % 2 else 'Bonn'}"
        )
    path = folder / "umsatz.csv"
    path.write_bytes("\r\n".join(lines).encode("cp1252"))
    return path


def test_dirty_csv_is_read_by_the_options_that_a_source_needs(tmp_path: Path) -> None:
    data = inputs.of_path(dirty(tmp_path))
    assert data.options == {
        "encoding": "cp1252",
        "delimiter": ";",
        "types": {"PLZ": "string"},
        "decimal": ",",
        "thousands": ".",
        "percent": ["Rabatt"],
        "times": {"Datum": "%d.%m.%Y"},
        "nulls": ["-", *filter(None, NULLS)],
    }
    rows = pa.Table.from_batches(data.read())
    kinds = {field.name: str(field.type) for field in rows.schema}
    assert kinds == {
        **dict.fromkeys(("Kunde", "PLZ", "Stadt"), "string"),
        **dict.fromkeys(("Umsatz", "Rabatt"), "double"),
        "Datum": "date32[day]",
    }
    assert rows.slice(123, 1).to_pylist() == [
        {"Kunde": "K123", "Datum": date(2024, 5, 3), "Umsatz": 1123.23, "Rabatt": 0.035, "PLZ": "01123", "Stadt": "Köln"}
    ]  # fmt: skip
    assert rows["Umsatz"].null_count == 10
    assert any("'PLZ' has numbers with a zero in front" in note for note in data.notes)


def test_what_two_columns_have_in_common_is_said_of_both(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("id,zip\n01,007\n12,123\n", encoding="utf-8")
    data = inputs.of_path(tmp_path / "codes.csv")
    assert data.notes == ("'id', 'zip' have numbers with a zero in front, which text keeps",)


def test_plain_csv_needs_no_options(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text("id,x\n1,0.5\n2,NA\n", encoding="utf-8")
    data = inputs.of_path(tmp_path / "plain.csv")
    assert (data.options, data.notes) == ({}, ())
    assert pa.Table.from_batches(data.read())["x"].to_pylist() == [0.5, None]


def test_a_date_that_can_be_read_in_two_ways_is_told_of(tmp_path: Path) -> None:
    lines = "".join(f"{row % 12 + 1:02}/{row % 12 + 1:02}/2024\n" for row in range(100))
    (tmp_path / "days.csv").write_text("day\n01/02/2024\n" + lines, encoding="utf-8")
    data = inputs.of_path(tmp_path / "days.csv")
    assert data.options["times"] == {"day": "%d/%m/%Y"}
    (note,) = data.notes
    assert note == (
        "'day', such as '01/02/2024', is read by times: {day: '%d/%m/%Y'}, and could be read by times: {day: '%m/%d/%Y'} too: "
        "look which is right"
    )


@pytest.mark.parametrize(
    ("header", "row", "options", "values"),
    [
        # Fractions of another column have a point, so that the comma stands between thousands.
        ('"amount";x', '"1,{n:03}";0.{n:03}', {"delimiter": ";", "thousands": ","}, (1012.0, 0.012)),
        ("amount;x", "1,{n:03};{n},5", {"delimiter": ";", "decimal": ","}, (1.012, 12.5)),
        # So it does where commas are between fields.
        ("amount,x", '"1,{n:03}",{n}', {"thousands": ","}, (1012.0, 12.0)),
        ("amount,x", '"1,{n:03}","{n},5"', {"decimal": ","}, (1.012, 12.5)),
        ("amount;x", "1,{n:03};{n}", {"delimiter": ";", "decimal": ","}, (1.012, 12.0)),
    ],
)
def test_a_comma_before_three_digits_is_read_as_other_columns_have_it(
    tmp_path: Path, header: str, row: str, options: dict[str, str], values: tuple[float, float]
) -> None:
    lines = "".join(f"{row.format(n=number)}\n" for number in range(100))
    (tmp_path / "sales.csv").write_text(f"{header}\n{lines}", encoding="utf-8")
    data = inputs.of_path(tmp_path / "sales.csv")
    assert data.options == options
    rows = pa.Table.from_batches(data.read())
    assert (rows["amount"][12].as_py(), rows["x"][12].as_py()) == values
    assert any("'amount', such as '1,000', is read by " in note for note in data.notes)


def test_rows_can_be_read_again_and_their_places_are_lines(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write('id,text\n1,"two\nlines"\n2,b\n')
    data = inputs.of_path(tmp_path / "a.csv.gz")
    first, second = (pa.Table.from_batches(data.read()) for _ in range(2))
    assert first.equals(second)
    assert data.places([1]) == ["line 4 of a.csv.gz"]


def test_a_folder_of_partitions_is_read_with_one_type_a_column(tmp_path: Path) -> None:
    (tmp_path / "2024-01.csv").write_text("id,x\n1,1\n", encoding="utf-8")
    (tmp_path / "2024-02.csv").write_text("id,x\n2,1.5\n", encoding="utf-8")
    data = inputs.of_path(tmp_path)
    assert data.named is not None
    assert data.named.path == f"{tmp_path}/{{partition}}.csv"
    assert data.options == {"types": {"x": "double"}}
    assert [str(batch.schema.field("x").type) for batch in data.rows_of("2024-01")] == ["double"]


def test_parquet_and_json_lines_are_read_as_they_are(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": pa.array(["a", "b"]).dictionary_encode()}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"x": 1}\n{"x": 2}\n', encoding="utf-8")
    for name in ("a.parquet", "b.jsonl"):
        data = inputs.of_path(tmp_path / name)
        assert pa.Table.from_batches(data.read()).num_rows == 2
        assert data.places([1]) == [f"row 2 of {name}"]
    with pytest.raises(SourceUnreadable, match="several formats, jsonl, parquet"):
        inputs.of_path(tmp_path)


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(SourceUnreadable, match=r"a\.xlsx ends in none of \.csv"):
        inputs.of_path(tmp_path / "a.xlsx")
    with pytest.raises(SourceMissing, match="no file in"):
        inputs.of_path(tmp_path)
    with pytest.raises(SourceMissing, match="no file or folder"):
        inputs.of_path(tmp_path / "none.csv")
