"""Numbers and times in other notations than Arrow's, as texts that Arrow reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.domain.spec.time_formats import MONTHS, has_time, pattern
from airflow_mlops.exceptions import SourceUnreadable

if TYPE_CHECKING:
    import pyarrow as pa

DECIMALS = (".", ",")
"""What may stand before the fraction of a number."""
THOUSANDS = {",": ",", ".": r"\.", "'": "['\u2019]", "_": "_", " ": "[ \u00a0\u2009\u202f]"}
"""What may separate thousands, each with the regular expression of all characters that it stands for."""


@dataclass(frozen=True)
class Notation:
    """How numbers and times are written.

    :param decimal: what stands before the fraction of a number.
    :param thousands: what separates its thousands; None for nothing.
    :param percent: columns that are written in percent.
    :param times: ``strptime`` format of columns whose times are not ISO 8601.
    :raises SourceUnreadable: if it is none; the message names the option.
    """

    decimal: str = "."
    thousands: str | None = None
    percent: Sequence[str] = ()
    times: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the options of sources that are written by hand."""
        if self.decimal not in DECIMALS or self.thousands not in (None, *THOUSANDS):
            raise SourceUnreadable(
                f"decimal is {self.decimal!r} and thousands {self.thousands!r}; there are {', '.join(DECIMALS)} and "
                f"{', '.join(map(repr, THOUSANDS))}"
            )
        if self.decimal == self.thousands:
            raise SourceUnreadable(f"decimal and thousands are both {self.decimal!r}; change one of them")
        if isinstance(self.percent, str):
            raise SourceUnreadable(f"percent is the text {self.percent!r}; name columns in a list")
        for name, format in self.times.items():
            try:
                pattern(format)
            except ValueError as error:
                raise SourceUnreadable(f"times: the format {format!r} of {name!r} {error}") from None

    @property
    def is_plain(self) -> bool:
        """Whether Arrow reads all of it by itself."""
        return (self.decimal, self.thousands) == (".", None) and not self.percent and not self.times

    @property
    def kinds(self) -> dict[str, pa.DataType]:
        """The types of the columns that are percentages or times."""
        import pyarrow as pa

        return dict.fromkeys(self.percent, pa.float64()) | {
            name: type_of(format) for name, format in self.times.items()
        }

    def plain(self, name: str, column: pa.StringArray) -> pa.StringArray:
        """Return texts that Arrow reads as numbers or times; null where a value is none of this notation."""
        if name in self.times:
            return times(column, self.times[name])
        return numbers(column, self.decimal, self.thousands, percent=name in self.percent)

    def read(self, name: str, column: pa.StringArray, kind: pa.DataType, missing: Sequence[str]) -> pa.Array:
        """Return the values of texts that are all of this notation.

        :param missing: texts that count as missing.
        :raises pa.ArrowInvalid: if one is none.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import types

        if types.is_null(kind):
            return pa.nulls(len(column))
        is_missing = pc.is_in(column, value_set=pa.array(missing, pa.string()))
        texts = pc.if_else(is_missing, pa.scalar(None, pa.string()), column)
        is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        if name not in self.times and not is_number:
            return (pc.ascii_trim(texts, " \t") if types.is_date(kind) else texts).cast(kind)
        plain = self.plain(name, texts)
        if plain.null_count != texts.null_count:
            raise pa.ArrowInvalid(f"{name!r} holds a value that is no {kind}")
        return plain.cast(kind)


_HUGE = r"\d{308}|[eE]\+?\d{3}"
"""What a number that may be too large for a double holds: digits before its point, or an exponent."""


def numbers(
    column: pa.StringArray, decimal: str, thousands: str | None, *, percent: bool = False
) -> pa.StringArray:
    """Return numbers as Arrow reads them; null where a text is none.

    :param percent: whether they are written in percent, which a sign has to say.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    between = THOUSANDS[thousands] if thousands else ""
    whole = rf"(?:\d{{1,3}}(?:{between}\d{{3}})+|\d+)" if thousands else r"\d+"
    point = re.escape(decimal)
    end = "[\\s\u00a0\u2009\u202f]*%" if percent else ""
    exponent = "" if percent else r"(?:[eE][+-]?\d+)?"
    words = "" if percent else "|(?i:nan|inf|infinity)"
    number = rf"(?:(?:{whole}(?:{point}\d*)?|{point}\d+){exponent}{words})"
    text = pc.utf8_trim_whitespace(column)
    matches = pc.match_substring_regex(text, f"^[+-]?{number}{end}$")
    if thousands:
        text = pc.replace_substring_regex(text, between, "")
    if decimal != ".":
        text = pc.replace_substring(text, decimal, ".")
    text = pc.replace_substring_regex(text, r"^\+", "")
    if percent:
        # The power of ten is left to the parser: to divide by 100 would round a second time.
        text = pc.replace_substring_regex(text, f"{end}$", "e-2")
    plain = pc.if_else(matches, text, pa.scalar(None, pa.string()))
    return _finite(plain) if pc.any(pc.match_substring_regex(plain, _HUGE)).as_py() else plain


def _finite(numbers: pa.StringArray) -> pa.StringArray:
    """Return numbers without those that are too large for a double, which would be read as infinite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_endless = pc.is_inf(numbers.cast(pa.float64()))
    is_too_large = pc.and_(is_endless, pc.match_substring_regex(numbers, r"\d"))
    return pc.if_else(is_too_large, pa.scalar(None, pa.string()), numbers)


def times(column: pa.StringArray, format: str) -> pa.StringArray:
    """Return times or dates in ISO 8601; null where a text is none of a format."""
    import pyarrow as pa
    import pyarrow.compute as pc

    groups = pc.extract_regex(pc.utf8_trim_whitespace(column), pattern(format))
    part = {groups.type.field(number).name: number for number in range(groups.type.num_fields)}

    def get(name: str) -> pa.StringArray:
        return pc.struct_field(groups, part[name])

    def two(name: str) -> pa.StringArray:
        return pc.utf8_lpad(get(name), 2, "0") if name in part else pa.scalar("00")

    join = pc.binary_join_element_wise
    if "Y" in part:
        year = get("Y")
    else:
        # As POSIX has it: 69 is 1969, 68 is 2068.
        year = join(pc.if_else(pc.greater_equal(get("y"), "69"), "19", "20"), get("y"), "")
    if "b" in part:
        place = pc.index_in(pc.utf8_lower(get("b")), value_set=pa.array(MONTHS))
        month = pc.utf8_lpad(pc.add(place, 1).cast(pa.string()), 2, "0")
    else:
        month = two("m")
    text = join(year, month, two("d"), "-")
    if has_time(format):
        hour = _hour(get("I"), get("p")) if "I" in part else two("H")
        text = join(text, join(hour, two("M"), two("S"), ":"), "T")
    if "f" in part:
        text = join(text, get("f"), ".")
    if "z" in part:
        text = join(text, pc.utf8_upper(get("z")), "")
    exists = pc.and_(pc.is_valid(groups), _exists(text))
    return pc.if_else(exists, text, pa.scalar(None, pa.string()))


def type_of(format: str) -> pa.DataType:
    """Return the type of the times of a format."""
    import pyarrow as pa

    if not has_time(format):
        return pa.date32()
    return pa.timestamp("us" if "%f" in format else "s", "UTC" if "%z" in format else None)


def _hour(hour: pa.StringArray, half: pa.StringArray) -> pa.StringArray:
    """Return hours of a clock of twelve as those of a day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    hours = pa.array(["12", *(f"{number}" for number in range(1, 12))])
    place = pc.index_in(pc.utf8_ltrim(hour, "0"), value_set=hours)
    later = pc.if_else(pc.equal(pc.utf8_lower(half), "pm"), 12, 0)
    return pc.utf8_lpad(pc.add(place, later).cast(pa.string()), 2, "0")


def _exists(text: pa.StringArray) -> pa.BooleanArray:
    """Tell whether dates are in the calendar: Arrow takes the 31st of February for the 3rd of March."""
    import pyarrow as pa
    import pyarrow.compute as pc

    day = pc.utf8_slice_codeunits(text, 0, 10)
    read = pc.strptime(day, format="%Y-%m-%d", unit="s", error_is_null=True)
    return pc.fill_null(pc.equal(read.cast(pa.date32()).cast(pa.string()), day), False)
