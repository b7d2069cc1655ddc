"""What a column of text looks like, and what merely resembles it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_mlops.stores.sources.hints import Hint, Looks
from airflow_mlops.stores.sources.notation import Notation


def hints(*batches: list[str | None], kind: pa.DataType | None = None) -> list[Hint]:
    looks = Looks()
    for values in batches:
        looks.add(pa.table({"x": pa.array(values, kind or pa.string())}))
    return list(looks.hints())


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (["1,5", "2,25", "3"], "decimal: ','"), (["1.234,5", "2.345", "3"], "decimal: ',', thousands: ."),
        (["1,234.5", "2,345", "3"], "thousands: ','"), (["1'234", "2\u2019000", "5"], "thousands: ''''"),
        (["1 234,5", "2\u00a0000", "5"], "decimal: ',', thousands: ' '"), (["12.5 %", "3%", "4 %"], "percent: [x]"),
        (["12,5 %", "3 %", "4 %"], "decimal: ',', percent: [x]"), (["31.12.2025", "1.2.2026", "3.4.2025"], "times: {x: '%d.%m.%Y'}"),
        (["31.12.25", "01.02.26", "03.04.25"], "times: {x: '%d.%m.%y'}"), (["12/31/2025 1:05 PM"] * 3, "times: {x: '%m/%d/%Y %I:%M %p'}"),
        (["31-DEC-2025", "01-Feb-2026", "03-APR-2025"], "times: {x: '%d-%b-%Y'}"), (["2026/01/31 23:59:58"] * 3, "times: {x: '%Y/%m/%d %H:%M:%S'}"),
        (["1,234", "2,345", "3,000"], "decimal: ',' or thousands: ','"), (["1/2/2026"] * 3, "times: {x: '%d/%m/%Y'} or times: {x: '%m/%d/%Y'}"),
        (["1,5", None, "", "-", "NA", "2,5", "3,5"], "decimal: ','"),
    ],
)  # fmt: skip
def test_a_column_in_another_notation_gets_the_options_that_read_it(
    values: list[str | None], written: str
) -> None:
    for kind in (pa.string(), pa.large_string()):
        assert [hint.written() for hint in hints(values, kind=kind)] == [written]


@pytest.mark.parametrize(
    "values",
    [
        ["007", "0815", "4711"], ["1", "2", "3"], ["1.5", "2.5", "1e3"], ["2026-01-31", "2026-02-01", "2026-02-02"], ["10:30", "11:45", "12:00"],
        ["110 00", "120 00", "530 02"], ["030 123 456", "040 123 456", "089 123 456"], ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        ["1.2.3", "1.2.4", "2.0.1"], ["52.52,13.40", "48.13,11.57", "53.55,9.99"], ["A1,5", "B2,5", "C3,5"], ["yes", "no", "no"],
        ["1,5", "2,5"], ["1,5", "x", "2,5", "y"], ["31.02.2026", "30.02.2026", "31.04.2026"], ["", None, "NA"],
    ],
    ids=str,
)  # fmt: skip
def test_codes_and_words_get_no_hint(values: list[str | None]) -> None:
    assert hints(values) == []


def test_nearly_all_values_of_all_batches_must_look_so() -> None:
    (hint,) = hints(["NA"], ["1,5"] * 97, ["x", "n/a", "2,5"], ["y", "3,5"])
    assert hint.others == 2
    assert hint.sentence() == (
        "'x' is text, and looks like numbers in another notation, but for 2 values: '1,5' (row 2), '1,5' (row 3), "
        "'1,5' (row 4)"
    )
    assert hints(["1,5"] * 97, ["x"] * 10) == []
    assert hint.sentence(["here"] * 3, masked=True).endswith("2 values: here, here, here")


def test_a_batch_without_rows_says_nothing() -> None:
    looks = Looks(Notation())
    looks.add(pa.table({"x": pa.chunked_array([], pa.string())}))
    assert list(looks.hints()) == []


def test_values_that_are_not_in_the_declared_notation_are_shown_with_what_is_written_for_missing_ones() -> (
    None
):
    looks = Looks(Notation(",", "."))
    for batch in (["-", "n/a"], ["1.234,5"] * 97, ["x", "2,5", "-"]):
        looks.add(pa.table({"x": pa.array(batch)}))
    (hint,) = looks.hints()
    assert hint.strays(nulls=["n/a"]) == (3, [(0, "-"), (99, "x"), (101, "-")])
    assert hint.strays(nulls=["n/a", "-"]) == (1, [(99, "x")])


@pytest.mark.parametrize("values", [["007", "0815", "4711"], ["A1", "2", "3"], ["1", "2", "x", "y"]])
def test_codes_and_words_are_in_no_declared_notation(values: list[str]) -> None:
    looks = Looks(Notation())
    looks.add(pa.table({"x": values}))
    assert list(looks.hints()) == []


@pytest.mark.parametrize("thousands", [None, "."])
def test_numbers_that_are_written_as_usual_are_told_where_another_notation_is_said(
    thousands: str | None,
) -> None:
    looks = Looks(Notation(decimal=",", thousands=thousands))
    looks.add(pa.table({"x": ["1.5", "12.25", "3"] * 9}))
    (hint,) = looks.hints()
    options: dict[str, object] = {"decimal": ".", "thousands": None}
    assert options in hint.options
    assert hint.written(Notation(decimal=",", thousands=thousands)).startswith("decimal: .")
