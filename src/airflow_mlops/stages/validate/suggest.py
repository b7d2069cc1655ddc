"""Suggest: learn expectations from published partitions, and write them as YAML for a person to review."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from airflow_mlops.domain.counts import counted
from airflow_mlops.exceptions import TableMissing
from airflow_mlops.stages.validate import learned as expectations
from airflow_mlops.stages.validate import profiles
from airflow_mlops.stages.validate.learned import ProfiledColumn, Suggestion
from airflow_mlops.stores.sources.hints import Looks
from airflow_mlops.stores.tables import tables, versions

if TYPE_CHECKING:
    import pyarrow as pa

_WIDTH = 80
"""Characters in a line of a comment."""
_NOT_NULL = "expect_column_values_to_not_be_null"
_WITHOUT_VALUES = ("expect_column_values_to_be_of_type", _NOT_NULL)
"""Expectations that show no value of their column."""


def suggest(uri: str, partitions: int | None = None) -> str:
    """Learn a suite from published partitions, in bounded memory, and return it as YAML.

    Expectations about types, keys, ranges and values that were never missing block or set rows aside;
    expectations about a partition as a whole only warn. All partitions that it was learned from meet the
    suite.

    :param uri: URI of the published table.
    :param partitions: how many of the latest partitions to learn from; None means all.
    :raises TableMissing: if nothing was published.
    """
    newest = tables.newest(uri)
    there = set(versions.partitions(uri)) if newest else set()
    learned = sorted(there & newest.keys())[-(partitions or 0) :]
    if not learned:
        raise TableMissing(f"Nothing has been published at {uri} yet, so there is nothing to learn from.")
    table = tables.open_table(uri)
    partition_profiles = [profiles.measure(uri, table.version(), key) for key in learned]
    latest = newest[learned[-1]]
    schema = tables.batches(uri, version=table.version(), partition=learned[-1]).schema
    columns = [
        ProfiledColumn(
            field.name, field.type, [of_partition[field.name] for of_partition in partition_profiles]
        )
        for field in schema
    ]
    rows = {key: newest[key].rows for key in there}
    count = sum(newest[key].rows for key in learned)
    span = learned[0] if len(learned) == 1 else f"{learned[0]} … {learned[-1]}"
    lines = [
        f"# Learned from {counted(len(learned), 'partition')} of {latest.name} ({span}), {counted(count, 'row')}.",
        "# Review it, then paste it into the spec.",
        *_notations(tables.batches(uri, version=table.version(), partition=learned[-1]), learned[-1]),
    ]
    section = section_of(columns, rows, learned, latest.key, latest.event_time, latest.grain)
    return "\n".join([*chain.from_iterable(map(_wrapped, lines)), *section]) + "\n"


def section_of(
    columns: Sequence[ProfiledColumn],
    rows: Mapping[str, int],
    learned: Sequence[str],
    key: Sequence[str],
    event_time: str,
    grain: str,
    *,
    pii: Collection[str] = (),
    may_lack: Collection[str] = (),
    advises: bool = True,
) -> list[str]:
    """Return the lines of the section `validate` that partitions let one write.

    :param columns: as they are published, each with its profiles of the partitions to learn from.
    :param rows: number of rows by partition, those that are not learned from included.
    :param learned: keys of the partitions to learn from, in order.
    :param pii: columns whose values are not shown.
    :param may_lack: columns of which nothing says that they have a value, such as labels that come later.
    :param advises: whether to say which columns of text are features by their words.
    """
    lines = ["validate:"]
    for suggestion in (expectations.row_count(rows, learned), expectations.unique(key)):
        lines += _lines(suggestion)
    for column in columns:
        lines += ["", *(profiles.as_text(column.name, column.profiles) if advises else ())]
        if column.name == event_time:
            lines.append(expectations.freshness(column, learned, grain))
        for suggestion in expectations.of_column(column, key=key, event_time=event_time):
            is_shown = column.name not in pii or suggestion.name in _WITHOUT_VALUES
            if is_shown and not (column.name in may_lack and suggestion.name == _NOT_NULL):
                lines += _lines(suggestion)
    return list(chain.from_iterable(map(_wrapped, lines)))


def _wrapped(line: str) -> list[str]:
    """Return a comment in lines that fit a terminal, and anything else as it is."""
    indent, mark, text = line.partition("# ")
    if indent.strip() or not mark:
        return [line]
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent + mark, subsequent_indent=indent + mark, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _notations(batches: Iterable[pa.RecordBatch], partition: str) -> Iterator[str]:
    looks = Looks()
    for batch in batches:
        looks.add(batch)
    for hint in looks.hints():
        yield (
            f"# {hint.sentence([partition] * len(hint.values))}. Of CSV, write in source.files: {hint.written()}; of others, "
            "change it in a transform."
        )


def _lines(suggestion: Suggestion) -> list[str]:
    import yaml

    args = {**suggestion.args, "severity": suggestion.severity.value}
    written = yaml.safe_dump(args, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return [f"  # {suggestion.seen}", f"  - {suggestion.name}: {written.strip()}"]
