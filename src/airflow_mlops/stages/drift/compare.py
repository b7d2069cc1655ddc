"""Drift: how far a table is from another, column by column, from summaries of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.policies.drift import judge
from airflow_mlops.learning.summaries import build, distance
from airflow_mlops.learning.summaries.summary import Column
from airflow_mlops.stages.drift.page import render
from airflow_mlops.stages.drift.picture import draw

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import DriftPolicy


class Drift(NamedTuple):
    """Drift of one partition.

    :param overall: the share of drifted columns.
    :param columns: how far each is from what it was; FAIL means that it drifted.
    :param html: a page with the distributions, without external resources; "" if none was asked for.
    :param picture: PNG of the columns that are furthest off, at most 30 kB; None if none was asked for or measured.
    """

    overall: Check
    columns: tuple[Check, ...]
    html: str = ""
    picture: bytes | None = None


def measure(
    reference: pa.Table | Iterable[pa.RecordBatch],
    current: pa.Table | Iterable[pa.RecordBatch],
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    policy: DriftPolicy,
    title: str,
    page: bool = True,
) -> Drift:
    """Measure the drift of rows against others; both may come batch by batch.

    :param title: heading of the page.
    :param page: draw a page and a picture too.
    """
    before, now = (
        build.summarise(
            [side] if hasattr(side, "num_rows") else side, numeric=numeric, categorical=categorical
        )
        for side in (reference, current)
    )
    return compare(before, now, policy=policy, title=title, page=page)


def compare(
    before: Mapping[str, Column],
    now: Mapping[str, Column],
    *,
    policy: DriftPolicy,
    title: str,
    extra: Mapping[str, tuple[Column, Column]] | None = None,
    weights: Mapping[str, float] | None = None,
    page: bool = True,
) -> Drift:
    """Measure and judge the drift of summaries against others; see :func:`drift_measure.measure`.

    :param before: the reference's features; ``now`` has the same.
    :param title: heading of the page.
    :param extra: what is told but is not counted among the columns, such as predictions: before and now, by name.
    :param weights: what each feature counts; None means all the same.
    :param page: draw a page and a picture too.
    """
    sides = {name: (column, now[name]) for name, column in before.items()}
    measures = [
        each
        for counted, pairs in ((True, sides), (False, extra or {}))
        for name, pair in pairs.items()
        for each in distance.measure(name, *pair, min_rows=policy.min_rows, feature=counted)
    ]
    rows = max((column.rows for column in now.values()), default=0)
    overall, checks = judge(measures, policy, weights=weights, rows=rows)
    if not page:
        return Drift(overall, checks)
    found = {
        each.column: (check, *(sides | dict(extra or {}))[each.column])
        for each, check in zip(measures, checks, strict=True)
        if not each.part and each.distance is not None
    }
    return Drift(
        overall,
        checks,
        render(title, (overall, *checks), found, policy.threshold),
        draw(title, found),
    )
