"""Drift of one table against another, column by column, computed from summaries of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.policies.drift import judge
from airflow_mlops.learning.summaries import build, distance
from airflow_mlops.learning.summaries.summary import Column
from airflow_mlops.stages.drift import nearest
from airflow_mlops.stages.drift.page import render
from airflow_mlops.stages.drift.picture import draw

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import DriftPolicy


TRAINING = "the training data"
"""Name of the reference that is always there."""


class Drift(NamedTuple):
    """Drift of one partition.

    :param overall: the check on the share of drifted columns.
    :param columns: one check a column, with its distance; FAIL means that the column drifted.
    :param html: a page with the distributions, without external resources; "" if no page was requested.
    :param picture: PNG of the columns with the largest distances, at most 30 kB; None if no page was
        requested, or no column was measured.
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
    """Measure the drift of current rows against reference rows; both may come batch by batch.

    :param title: heading of the page.
    :param page: whether to draw a page and a picture too.
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
    seen: Mapping[str, Mapping[str, Column]] | None = None,
    extra: Mapping[str, tuple[Column, Column]] | None = None,
    importance: Mapping[str, float] | None = None,
    page: bool = True,
) -> Drift:
    """Measure and judge the drift of current summaries against those of a reference.

    See :func:`airflow_mlops.learning.summaries.distance.measure` for how distances are measured.

    :param before: summaries of the reference's features, by name; ``now`` has the same features.
    :param title: heading of the page.
    :param seen: summaries of further references, by what they are of, and by the name of a feature; the nearest counts, see
        :func:`airflow_mlops.stages.drift.nearest.measure`.
    :param extra: columns that are reported but not counted, such as predictions: summaries before and now, by
        name.
    :param importance: what each feature is worth to the model; None if that is not known.
    :param page: whether to draw a page and a picture too.
    """
    references = {
        name: {TRAINING: column, **{part: columns[name] for part, columns in (seen or {}).items()}}
        for name, column in before.items()
    }
    closest = {
        name: nearest.measure(name, columns, now[name], min_rows=policy.min_rows)
        for name, columns in references.items()
    }
    sides = {name: (near.column, now[name]) for name, near in closest.items()}
    measures = [measurement for near in closest.values() for measurement in near.measures]
    measures += (
        measurement
        for name, pair in (extra or {}).items()
        for measurement in distance.measure(name, *pair, min_rows=policy.min_rows, feature=False)
    )
    rows = max((column.rows for column in now.values()), default=0)
    overall, checks = judge(measures, policy, importance=importance, rows=rows)
    if not page:
        return Drift(overall, checks)
    drawable = {
        measurement.column: (check, *(sides | dict(extra or {}))[measurement.column])
        for measurement, check in zip(measures, checks, strict=True)
        if not measurement.part and measurement.distance is not None
    }
    return Drift(
        overall,
        checks,
        render(title, (overall, *checks), drawable, policy.threshold),
        draw(title, drawable),
    )
