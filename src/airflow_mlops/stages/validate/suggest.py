"""Suggest: learn expectations from published partitions, and write them as YAML for a person to review."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import TableMissing
from airflow_mlops.stages.validate import learned as expectations
from airflow_mlops.stages.validate import profiles
from airflow_mlops.stages.validate.learned import ProfiledColumn, Suggestion, counted
from airflow_mlops.stores.sources.hints import Looks
from airflow_mlops.stores.tables import tables, versions

if TYPE_CHECKING:
    import pyarrow as pa

_WIDTH = 80
"""Characters in a line of a comment."""


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
    whole = [
        expectations.row_count({key: newest[key].rows for key in there}, learned),
        expectations.unique(latest.key),
    ]
    count = sum(newest[key].rows for key in learned)
    span = learned[0] if len(learned) == 1 else f"{learned[0]} … {learned[-1]}"
    lines = [
        f"# Learned from {counted(len(learned), 'partition')} of {latest.name} ({span}), {counted(count, 'row')}.",
        "# Review it, then paste it into the spec.",
        *_notations(tables.batches(uri, version=table.version(), partition=learned[-1]), learned[-1]),
        "validate:",
    ]
    for suggestion in whole:
        lines += _lines(suggestion)
    for column in columns:
        lines += ["", *profiles.as_text(column.name, column.profiles)]
        if column.name == latest.event_time:
            lines.append(expectations.freshness(column, learned, latest.grain))
        for suggestion in expectations.of_column(column, key=latest.key, event_time=latest.event_time):
            lines += _lines(suggestion)
    return "\n".join(chain.from_iterable(map(_wrapped, lines))) + "\n"


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
