"""What to write, or to correct, where a column of text looks like numbers or times."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops.stores.sources.bytes import File
from airflow_mlops.stores.sources.hints import LONGEST, MISSING, Hint
from airflow_mlops.stores.sources.quotes import places


def advice(hint: Hint, files: Sequence[File], *, masked: bool = False) -> str | None:
    """Say what would read a column of files that looks like numbers or times.

    :param masked: whether the values may not be shown.
    :return: None if ``types`` says that the column is text.
    """
    layout = files[0].layout
    if hint.column in layout.types:
        return None
    is_csv = files[0].format == "csv"
    if not hint.options:
        return _correction(hint, files, layout.nulls if is_csv else MISSING, masked=masked)
    if not is_csv:
        return f"{hint.sentence(masked=masked)}; change it in a transform"
    written = hint.written(layout.notation)
    sentence = hint.sentence(places(files, [before for before, _ in hint.values]), masked=masked)
    return f"{sentence}; write {written}, or types: {{{hint.column}: string}} if it is text"


def stray(
    hint: Hint, nulls: Sequence[str] = MISSING, files: Sequence[File] = (), *, masked: bool = False
) -> str | None:
    """Say how many values of a column are no numbers as the others are, and which; None if there are none.

    :param nulls: texts that count as missing.
    :param files: files of CSV that the rows are of.
    """
    count, cells = hint.strays(nulls)
    if not count:
        return None
    rows = [before for before, _ in cells]
    where = places(files, rows) if files else [f"row {before + 1:,}" for before in rows]
    shown = ", ".join(
        place if masked else f"{text[:LONGEST]!r} ({place})"
        for (_, text), place in zip(cells, where, strict=True)
    )
    values = hint.count + count - hint.others
    return (
        f"{count:,} of {values:,} values {'is no number' if count == 1 else 'are no numbers'}: "
        f"{shown}{', …' if count > len(cells) else ''}"
    )


def _correction(hint: Hint, files: Sequence[File], nulls: Sequence[str], *, masked: bool) -> str | None:
    said = stray(hint, nulls, files if files[0].format == "csv" else (), masked=masked)
    if said is None:
        return None
    if files[0].format == "parquet":
        return f"{hint.column!r} is text, for {said}; correct them in the source or a transform"
    said, column = f"{hint.column!r} is text, for {said}", hint.column
    missing = ", or list under nulls what stands for a missing value" if files[0].format == "csv" else ""
    return (
        f"{said}; correct them{missing}, or set their rows aside (on_unreadable: quarantine and types: {{{column}: double}}), "
        f"or write types: {{{column}: string}} if it is text"
    )
