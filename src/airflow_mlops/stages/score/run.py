"""One pass over the rows of a partition, which the champion and a challenger beside it predict."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import union
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.predictions import (
    CHAMPION_PREDICTION,
    CHAMPION_PROBABILITIES,
    CHAMPION_SCORE,
    CHAMPION_VERSION,
    DATASET_DIGEST,
    MODEL_DIGEST,
    MODEL_VERSION,
    SERVED_BY,
)
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stages.score import batches, traffic
from airflow_mlops.stages.score.batches import Scorer, Scores
from airflow_mlops.stores.registry.registry import CHALLENGER
from airflow_mlops.stores.tables import tables
from airflow_mlops.stores.tables.commits import commit
from airflow_mlops.stores.tables.drafts import Draft

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Beside:
    """A challenger that predicts the same rows.

    :param uri: URI of the Delta table with the predictions of both.
    """

    challenger: ModelRef
    uri: str


@dataclass(frozen=True)
class ScoringPlan:
    """The models and the data of a pass, and where it writes.

    :param uri: URI of the Delta table of the predictions that are served.
    :param beside: the challenger; None if the champion predicts alone.
    :param split: share of the keys that the challenger serves, if there is one; None if the spec sets no split.
    """

    dataset: DatasetVersion
    champion: ModelRef
    uri: str
    beside: Beside | None = None
    split: float | None = None

    def served(self, rows: pa.Table) -> np.ndarray | None:
        """Return for each row whether the challenger serves it; None if it serves none."""
        if self.beside is None or self.split is None:
            return None
        return traffic.chosen(rows, self.dataset.key, self.split)


def is_done(plan: ScoringPlan) -> bool:
    """Return whether the same models have predicted the same data already."""
    beside = plan.beside
    challenger_done = beside is None or _is_of(plan, beside.uri, [CHAMPION_VERSION], beside.challenger)
    return challenger_done and _is_served(plan)


def _is_served(plan: ScoringPlan) -> bool:
    key = plan.dataset.key if plan.beside is not None and plan.split is not None else ()
    names = [*key, *((SERVED_BY,) if plan.split is not None else ())]
    return _is_of(plan, plan.uri, names, plan.champion)


def served_by_challenger(plan: ScoringPlan) -> int:
    """Return how many of the predictions that are served are the challenger's."""
    import pyarrow.compute as pc

    if plan.beside is None or plan.split is None:
        return 0
    served = tables.batches(plan.uri, partition=plan.dataset.partition, columns=[SERVED_BY])
    return sum(pc.sum(pc.equal(batch[SERVED_BY], CHALLENGER), min_count=0).as_py() or 0 for batch in served)


def _is_of(plan: ScoringPlan, uri: str, names: list[str], ref: ModelRef) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not tables.exists(uri):
        return not plan.dataset.rows
    origin = [MODEL_VERSION, MODEL_DIGEST, DATASET_DIGEST]
    columns = list(dict.fromkeys([*names, *origin]))
    if not {*columns} <= {*tables.dataset(uri).schema.names}:
        return False
    count = 0
    for batch in tables.batches(uri, partition=plan.dataset.partition, columns=columns):
        rows = pa.Table.from_batches([batch])
        expected = {**_origin(plan, rows, uri, ref), DATASET_DIGEST: plan.dataset.digest}
        if CHAMPION_VERSION in names:
            expected[CHAMPION_VERSION] = plan.champion.version
        same = [pc.fill_null(pc.equal(rows[name], value), False) for name, value in expected.items()]
        if not all(pc.all(equal, min_count=0).as_py() for equal in same):
            return False
        count += rows.num_rows
    return count == plan.dataset.rows


def _origin(plan: ScoringPlan, rows: pa.Table, uri: str, ref: ModelRef) -> dict[str, object]:
    import pyarrow.compute as pc

    origin: dict[str, object] = {MODEL_VERSION: ref.version, MODEL_DIGEST: ref.digest}
    chosen = plan.served(rows) if uri == plan.uri else None
    if chosen is not None and plan.beside is not None:
        theirs = plan.beside.challenger
        origin = {
            MODEL_VERSION: pc.if_else(chosen, theirs.version, ref.version),
            MODEL_DIGEST: pc.if_else(chosen, theirs.digest, ref.digest),
        }
    return origin


def write(plan: ScoringPlan, champion: Scorer, challenger: Scorer | None, at: datetime) -> str:
    """Predict the rows and write the predictions, or nothing if the challenger fails.

    :param at: the time of scoring, which is only recorded.
    :return: why the challenger failed; "" if it did not.
    :raises SchemaMismatch: if a feature that the champion needs is missing or of another type.
    """
    scorers = [scorer for scorer in (champion, challenger) if scorer is not None]
    with ExitStack() as stack:
        served = stack.enter_context(Draft(plan.uri, plan.dataset.partition))
        shadow = None
        if plan.beside is not None:
            shadow = stack.enter_context(Draft(plan.beside.uri, plan.dataset.partition))
        for rows in batches.read(plan.dataset, scorers):
            ours = champion.predict(rows)
            theirs = None
            if challenger is not None and shadow is not None:
                theirs, problem = _tried(challenger, rows)
                if theirs is None:
                    return problem
                shadow.add(_beside(plan, rows, ours, theirs, champion, challenger, at))
            served.add(_served(plan, rows, ours, theirs, champion, challenger, at))
        if shadow is not None:
            try:
                commit(shadow, {})
            except SchemaMismatch as error:
                return str(error)
        # A challenger that was set later leaves the predictions that were served as they are.
        if not _is_served(plan):
            commit(served, {})
    return ""


def _tried(challenger: Scorer, rows: pa.Table) -> tuple[Scores | None, str]:
    import numpy as np

    try:
        scores = challenger.predict(rows)
    except SchemaMismatch as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - whatever a challenger does, the champion serves
        # The text of the error may repeat values of a row.
        return (
            None,
            f"it cannot predict these rows: {type(error).__name__}; train it again or remove its alias",
        )
    if not np.isfinite(scores.score).all():
        return None, "it predicts what is no finite number; train it again or remove its alias"
    return scores, ""


def _beside(
    plan: ScoringPlan, rows: pa.Table, ours: Scores, theirs: Scores, champion: Scorer, challenger: Scorer, at: datetime
) -> pa.Table:  # fmt: skip
    import pyarrow as pa

    # Probabilities of both are in the order of the challenger's classes, then those that only the champion has.
    classes = union(challenger.classes, champion.classes)
    table = batches.predictions(rows, plan.dataset, challenger.arranged(theirs, classes), challenger.ref, at)
    champions = champion.arranged(ours, classes)
    beside = {
        CHAMPION_SCORE: pa.array(champions.score, pa.float64()),
        CHAMPION_PREDICTION: None if ours.chosen is None else pa.array(ours.chosen, pa.string()),
        CHAMPION_PROBABILITIES: batches.lists(champions.probabilities),
        CHAMPION_VERSION: pa.repeat(pa.scalar(champion.ref.version, pa.string()), rows.num_rows),
    }
    for name, column in beside.items():
        table = table if column is None else table.append_column(name, column)
    return table


def _served(
    plan: ScoringPlan,
    rows: pa.Table,
    ours: Scores,
    theirs: Scores | None,
    champion: Scorer,
    challenger: Scorer | None,
    at: datetime,
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = batches.predictions(rows, plan.dataset, ours, champion.ref, at)
    if plan.split is None:
        return table
    chosen = plan.served(rows) if theirs is not None else None
    if chosen is None or theirs is None or challenger is None:
        names = pa.repeat(pa.scalar("champion"), rows.num_rows)
        return table.append_column(SERVED_BY, names)
    other = batches.predictions(rows, plan.dataset, theirs, challenger.ref, at)
    mask = pa.array(chosen)
    columns = {}
    for name in dict.fromkeys([*other.column_names, *table.column_names]):
        kind = (other if name in other.column_names else table).schema.field(name).type
        challenger_column, champion_column = (
            part[name] if name in part.column_names else pa.nulls(rows.num_rows, kind)
            for part in (other, table)
        )
        columns[name] = pc.if_else(mask, challenger_column, champion_column)
    columns[SERVED_BY] = pc.if_else(mask, CHALLENGER, "champion")
    return pa.table(columns)
