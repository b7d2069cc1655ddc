"""What the first rows of its data tell about the labels and the features of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec.predicted import PredictionSpec

_LEAST = 20
"""Texts of a column below which nothing is said of how many are alike."""
_UNIQUE = 0.9
"""Share of the texts that differ from which on they are no categories."""
_WORDS = 2
"""Mean number of words from which on texts are sentences."""
_MOST = 20
"""Most names in one line."""
_WORD_OF = {"numeric": "numbers", "categorical": "categories", "dates": "times"}


def of_labels(spec: PredictionSpec, rows: pa.Table) -> tuple[list[str], list[str]]:
    """Return what the labels of rows are, and what is wrong with them; nothing of rows without their column."""
    from airflow_mlops.domain.classes import class_name
    from airflow_mlops.exceptions import SchemaMismatch
    from airflow_mlops.learning.models import classes, pipeline

    if spec.target not in rows.column_names or not rows.num_rows:
        return [], []
    masked = spec.target in spec.pii
    try:
        _, labels = pipeline.labels(rows, spec.target, spec.task)
        names = classes.in_order(labels, spec.target) if spec.task == "classification" and len(labels) else ()
    except SchemaMismatch as error:
        return [], [f"{spec.target!r} cannot be learned as it is" if masked else str(error)]
    said: list[str] = []
    if missing := rows.num_rows - len(labels):
        said.append(
            f"{missing:,} of {rows.num_rows:,} rows have no {spec.target!r}, and train nothing until they have one"
        )
    if not names:
        return said, []
    counts = dict.fromkeys(names, 0)
    for label in labels.tolist():
        counts[class_name(label)] += 1
    there = [name for name, count in counts.items() if count]
    shown = _listed([f"{name} ({counts[name]:,})" for name in there])
    said.append(
        f"{spec.target!r} has {counted(len(there), 'class', 'classes')}{'' if masked else f': {shown}'}"
    )
    if len(there) == 1:
        said[-1] += "; a training needs rows of two"
    named = [class_name(name) for name in spec.classes]
    if not named or not (strange := [name for name in there if name not in named]):
        return said, []
    which = "" if masked else f": {_listed([f'{name!r} ({counts[name]:,} rows)' for name in strange])}"
    wrong = (
        f"{spec.target!r} has {counted(len(strange), 'class', 'classes')} that classes does not name{which}"
    )
    return said, [f"{wrong}; name them there, or correct the labels"]


def of_features(spec: PredictionSpec, rows: pa.Table) -> list[str]:
    """Return what the columns are used as where a spec does not say it, and which texts are no categories."""
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.learning.labels.labels import LABELLED_AT
    from airflow_mlops.stages.train.recipe import by_type

    if spec.transform or not rows.num_rows:
        return []
    if spec.features:
        return [*_no_categories(spec.features.categorical, rows)]
    types = {name: str(kind) for name, kind in zip(rows.schema.names, rows.schema.types, strict=True)}
    roles = {spec.event_time: "event time", spec.target: "target", **dict.fromkeys(spec.key, "key")}
    if isinstance(spec, ModelSpec):
        uses = ((spec.train.weights, "weights"), (spec.train.groups, "groups"))
        roles |= {column: use for column, use in uses if column}
    roles |= {LABELLED_AT: "time of labels"} if spec.labels.source else {}
    kinds = by_type({name: kind for name, kind in types.items() if name not in roles})
    used = {name for names in kinds.values() for name in names}
    without = [f"{name} ({roles.get(name, types[name])})" for name in types if name not in used]
    parts = [f"{_WORD_OF[kind]} {_listed(names)}" for kind, names in kinds.items() if names]
    line = f"features is left out, so columns are used by their types: {'; '.join(parts) or 'none'}"
    return [f"{line}; left out {_listed(without)}", *_no_categories(kinds["categorical"], rows)]


def _no_categories(names: Sequence[str], rows: pa.Table) -> Iterator[str]:
    """Yield what to do with each text column of which nearly all values differ."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in names:
        if name not in rows.column_names or not pa.types.is_string(rows[name].type):
            continue
        texts = rows[name].drop_null()
        distinct = pc.count_distinct(texts).as_py()
        if len(texts) < _LEAST or distinct < _UNIQUE * len(texts):
            continue
        spaces = pc.mean(pc.count_substring_regex(texts, r"\S+")).as_py()
        advice = (
            f"to learn from its words, list it in features: {{text: [{name}]}}"
            if spaces >= _WORDS
            else "it tells rows apart and predicts none: list the features without it"
        )
        yield f"{name!r} has {distinct:,} different texts in {len(texts):,} rows, and is no category; {advice}"


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _MOST:,} more"] if len(names) > _MOST else []
    return ", ".join([*names[:_MOST], *more])
