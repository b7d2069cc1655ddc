"""Whether the versions that predict now go on doing so, and what becomes of the table of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.preview import ColumnChange, Effect, Outlook, Part, ServingPreview
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.predictions import INTERVAL, PREDICTION, PROBABILITIES, SCORE, SERVED_BY
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound
from airflow_mlops.learning.models import transform
from airflow_mlops.stages.preview.data import sentence
from airflow_mlops.stages.score import batches
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.stores.registry.client import Client

_ROWS = 200


def previews(
    spec: ModelSpec, client: Client, ledger_uri: str, dataset: DatasetVersion | None, prepared: str | None
) -> Iterator[ServingPreview]:
    """Load the versions that predict now, let them predict some rows, and yield whether they still can.

    :param dataset: rows as the spec would have them; None if they are not known.
    :param prepared: version of the function that prepares new rows; None if none does.
    """
    rows = None if dataset is None else _first_rows(dataset)
    roles: dict[str, Callable[[], ModelRef | None]] = {
        "champion": lambda: champions.current(client, ledger_uri, spec.name).champion
    }
    if spec.score.shadow:
        roles["challenger"] = lambda: champions.challenger(client, ledger_uri, spec.name)
    for role, find in roles.items():
        try:
            ref = find()
        except (DigestMismatch, ModelNotFound) as error:
            yield ServingPreview(role=role, version=None, serves=False, reason=sentence(str(error)))
            continue
        if ref is not None:
            yield _preview(spec, client, role, ref, rows, prepared)


def _preview(
    spec: ModelSpec, client: Client, role: str, ref: ModelRef, rows: pa.Table | None, prepared: str | None
) -> ServingPreview:
    name = f"{role.capitalize()} {ref.version}"

    def answer(serves: bool | None, reason: str) -> ServingPreview:
        return ServingPreview(role=role, version=ref.version, serves=serves, reason=sentence(reason))

    tags = registry.short_tags(client, ref)
    for what, tag, expected in (
        ("target", "mlops.target", spec.target),
        ("task", "mlops.task", spec.task.value),
    ):
        if tags.get(tag, expected) != expected:
            return answer(
                False,
                f"{name} has learned the {what} {tags[tag]}, and the spec asks for {expected}: what it predicts would be taken for "
                "that, and compared with it; give the model another name",
            )
    try:
        scorer = batches.scorer(client, ref, spec.task.value)
    except Exception as error:  # noqa: BLE001 - a library that is missing here raises whatever it likes
        return answer(False, f"{name} cannot be loaded here: {type(error).__name__}: {error}")
    if rows is None:
        return answer(
            None,
            f"{name} can be loaded; whether its columns are there is not known, as there are no rows to try it on",
        )
    try:
        scorer.predict(rows)
    except Exception as error:  # noqa: BLE001 - whatever it raises would end the scoring of each partition
        return answer(False, f"{name} could not predict such rows: {type(error).__name__}: {error}")
    learned = tags.get(transform.VERSION_TAG)
    other = ""
    if learned != prepared:
        other = (
            f". It has learned from rows that {learned or 'nothing'} prepared, and predicts those that {prepared or 'nothing'} "
            "prepares all the same"
        )
    return answer(
        True,
        f"{name} can be loaded, and predicts {counted(rows.num_rows, 'row')} as the spec has them{other}",
    )


def _first_rows(dataset: DatasetVersion) -> pa.Table | None:
    import pyarrow as pa

    reader = tables.batches(dataset.uri, version=dataset.version, partition=dataset.partition)
    first = next((batch for batch in reader if batch.num_rows), None)
    return None if first is None else pa.Table.from_batches([first]).slice(0, _ROWS)


def columns(before: DataSpec | None, after: DataSpec) -> tuple[ColumnChange, ...]:
    """Return the columns of the predictions table that would be new, gone, or of another type."""
    if not (isinstance(before, ModelSpec) and isinstance(after, ModelSpec)):
        return ()
    was, now = _expected(before), _expected(after)
    return tuple(
        ColumnChange(table="predictions", column=name, before=was.get(name), after=now.get(name))
        for name in dict.fromkeys([*was, *now])
        if was.get(name) != now.get(name)
    )


def _expected(spec: ModelSpec) -> dict[str, str]:
    """Return the columns of predictions that follow from a spec, with their types where these follow too."""
    expected = dict.fromkeys((*spec.key, spec.event_time), "as in the data")
    expected[SCORE] = "double"
    if spec.task is Task.CLASSIFICATION:
        expected[PREDICTION] = "string"
    if len(spec.classes) > 2:
        expected[PROBABILITIES] = "list<double>"
    if spec.train.intervals:
        expected |= dict.fromkeys(INTERVAL, "double")
    if spec.score.split is not None:
        expected[SERVED_BY] = "string"
    return expected


def effects(
    predictions_uri: str, again: tuple[str, ...], previews: tuple[ServingPreview, ...]
) -> Iterator[Effect]:
    """Yield what becomes of predictions that were made, and of the versions that make them.

    :param again: keys of partitions that are to be ingested again.
    """
    if tables.exists(predictions_uri):
        text = "No partition is scored again: what was predicted stays."
        if again:
            text = "Each partition that is ingested again is scored again, by the champion of its time."
        outlook = Outlook.CHANGES if again else Outlook.SAME
        yield Effect(part=Part.PREDICTIONS, outlook=outlook, text=text)
    outlooks = {True: Outlook.SAME, False: Outlook.BREAKS, None: Outlook.UNKNOWN}
    for preview in previews:
        yield Effect(part=Part.CHAMPION, outlook=outlooks[preview.serves], text=preview.reason)
    if not previews:
        yield Effect(part=Part.CHAMPION, outlook=Outlook.SAME, text="There is no champion yet.")


def has_ledger(ledger_uri: str) -> bool:
    """Tell whether anything was decided: without it there is no champion, and MLflow is not asked."""
    return bool(ledger.rows(ledger_uri))
