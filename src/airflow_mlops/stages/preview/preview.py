"""Preview: compare a spec with what was before, and say what would follow, without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.preview import Effect, Outlook, Part, Preview, ServingPreview, SpecChange
from airflow_mlops.domain.spec import defaults
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.predicted import PredictionSpec
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, ModelRefused, RegistryUnavailable
from airflow_mlops.stages.preview import data, functions, meaning, serving, training
from airflow_mlops.stages.preview.data import Rehearsal
from airflow_mlops.stores.registry import champions
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import DatasetVersion
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.stages.preview.memory import FormerSpec
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.sources.source import Source


@dataclass(frozen=True)
class PreviewPlan:
    """What a spec is compared with, and where its model lives.

    :param storage: URI under which the model's tables are.
    :param source: where the rows of each partition come from; None reads none.
    :param connect: opens MLflow, once something was decided.
    :param folder: that relative paths of suites begin in.
    """

    spec: DataSpec
    former: FormerSpec
    storage: str
    source: Source | None
    connect: Callable[[], Client]
    folder: Path | None = None

    def uri(self, table: str) -> str:
        """Return the URI of one of the model's tables."""
        return tables.uri_of(self.storage, self.spec.name, table)

    @property
    def folders(self) -> list[Path]:
        """Folders that code of the spec is looked for in first: its own, and the one above, as DAG files lie there."""
        return [self.folder, self.folder.parent] if self.folder else []


def preview(plan: PreviewPlan) -> Preview:
    """Return what the spec would do; what cannot be known is said, with the reason.

    :raises TableUnreadable: if a table is damaged.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    code = functions.versions(plan.spec, plan.folders)
    changes = _changes(plan, code)
    published = tables.newest(plan.uri("data"))
    latest = published[max(published)] if published else None
    effects = [*_of_comparison(plan, changes, published), *_of_functions(plan)]
    effects += data.published_effects(plan.spec, published, changes)
    model = None
    with _rehearsed(plan, changes, latest) as rehearsal:
        effects += rehearsal.effects
        effects += _checked(plan, changes, rehearsal.dataset or latest)
        if isinstance(plan.spec, ModelSpec):
            rows = None if latest is None else _rows_of(plan, changes, rehearsal, latest)
            model = _of_model(plan, plan.spec, code, changes, published, rows)
    effects += model.effects if model else ()
    after = model.after if model else None
    return Preview(
        model=plan.spec.name,
        against=plan.former.label,
        compared=plan.former.spec is not None,
        changes=changes,
        columns=(*rehearsal.columns, *serving.columns(plan.former.spec, plan.spec)),
        published=tuple(sorted(published)),
        ingest_again=model.again if model else (),
        trains_at=after.partition if after else None,
        trains=after.trains if after else None,
        why=after.decision.reason if after else "",
        seconds=model.seconds if model else None,
        serving=model.serving if model else (),
        newer=defaults.newer(plan.spec) if isinstance(plan.spec, PredictionSpec) else {},
        effects=tuple(sorted(effects, key=lambda effect: list(Part).index(effect.part))),
    )


class _ModelPreview(NamedTuple):
    """What becomes of a model, as the fields of :class:`Preview` have it."""

    after: training.NextDecision | None
    seconds: float | None
    serving: tuple[ServingPreview, ...]
    again: tuple[str, ...]
    effects: list[Effect]


def _of_model(
    plan: PreviewPlan,
    spec: ModelSpec,
    code: dict[str, str],
    changes: Sequence[SpecChange],
    published: dict[str, DatasetVersion],
    rows: DatasetVersion | None,
) -> _ModelPreview:
    ledger_uri = plan.uri("ledger")
    # Without decisions there is no champion, and to open MLflow could make a database.
    client = plan.connect() if serving.has_ledger(ledger_uri) else None
    again = data.to_ingest_again(spec, published, code)
    previews = (
        tuple(serving.previews(spec, client, ledger_uri, rows, code.get("transform"))) if client else ()
    )
    after, of_training = _of_training(plan, spec, changes, published, client, again)
    seconds, time = _of_time(spec, client, changes)
    effects = [_of_other_code(again)] if again else []
    effects += [*serving.effects(plan.uri("predictions"), again, previews), *of_training, *time]
    return _ModelPreview(after, seconds, previews, again, effects)


def _changes(plan: PreviewPlan, code: dict[str, str]) -> tuple[SpecChange, ...]:
    former = plan.former
    if former.spec is None:
        return ()
    # Its suites are there already: they were read where it was found.
    fields = meaning.differences(meaning.values(former.spec), meaning.values(plan.spec, plan.folder))
    return (*fields, *functions.differences(former.code, code))


def _of_comparison(
    plan: PreviewPlan, changes: Sequence[SpecChange], published: dict[str, DatasetVersion]
) -> Iterator[Effect]:
    former = plan.former
    if former.spec is None and published:
        text = f"What changes in the spec is not known, because {former.why}: compare with a file or a revision by --against."
        yield data.effect(Outlook.UNKNOWN, text)
    names = {change.place: change for change in changes}
    if "name" in names:
        before = names["name"].before
        there = tables.newest(tables.uri_of(plan.storage, str(before), "data"))
        keys = sorted(there)
        has = (
            f"{counted(len(keys), 'partition')} and the champion of {before}"
            if keys
            else f"What there is of {before}"
        )
        yield data.effect(
            Outlook.BREAKS if keys and not published else Outlook.CHANGES,
            f"{has} stay under that name, and {plan.spec.name} begins {'with nothing' if not published else 'with its own'}; "
            f"to take them along: airflow mlops rename-model {before} {plan.spec.name}.",
        )


def _of_functions(plan: PreviewPlan) -> Iterator[Effect]:
    for fault in functions.faults(plan.spec, plan.former.code, plan.folders):
        part = Part.TRAINING if fault.place.startswith("train.") else Part.DATA
        outlook = Outlook.BREAKS if fault.is_certain else Outlook.UNKNOWN
        what = "could not be called" if fault.is_certain else "may not be there where tasks run"
        yield Effect(part=part, outlook=outlook, text=data.sentence(f"{fault.place} {what}: {fault.reason}"))


def _of_other_code(again: tuple[str, ...]) -> Effect:
    return data.effect(
        Outlook.CHANGES,
        f"To be ingested again: {counted(len(again), 'partition')}, {data.span(again)}, whose rows other code has prepared.",
    )


@contextmanager
def _rehearsed(
    plan: PreviewPlan, changes: Sequence[SpecChange], latest: DatasetVersion | None
) -> Iterator[Rehearsal]:
    if latest is None or latest.grain != plan.spec.grain or not _reads_otherwise(plan, changes):
        yield Rehearsal()
    elif plan.source is None:
        text = f"Whether {latest.partition} would be read alike is not known, as no data was to be read."
        yield Rehearsal(effects=(data.effect(Outlook.UNKNOWN, text),))
    else:
        with data.rehearsed(plan.spec, plan.source, latest, published=plan.uri("data")) as rehearsal:
            yield rehearsal


def _rows_of(
    plan: PreviewPlan, changes: Sequence[SpecChange], rehearsal: Rehearsal, latest: DatasetVersion
) -> DatasetVersion | None:
    """Return rows as the spec has them: those that were read again, or those that are published if nothing there changes."""
    return rehearsal.dataset if rehearsal.dataset or _reads_otherwise(plan, changes) else latest


def _reads_otherwise(plan: PreviewPlan, changes: Sequence[SpecChange]) -> bool:
    return plan.former.spec is None or bool(data.concerns(changes, data.READING))


def _checked(
    plan: PreviewPlan, changes: Sequence[SpecChange], dataset: DatasetVersion | None
) -> Iterator[Effect]:
    if dataset is None or not data.concerns(changes, data.CHECKING):
        return
    if plan.source is None:
        text = "What the changed expectations would do is not known, as no data was to be read."
        yield data.effect(Outlook.UNKNOWN, text)
        return
    yield data.checked(plan.spec, dataset, published=plan.uri("data"), folder=plan.folder)


def _of_training(
    plan: PreviewPlan,
    spec: ModelSpec,
    changes: Sequence[SpecChange],
    published: dict[str, DatasetVersion],
    client: Client | None,
    again: tuple[str, ...],
) -> tuple[training.NextDecision | None, list[Effect]]:
    if not published:
        return None, training.first_effects(spec)
    if published[max(published)].grain != spec.grain:
        return None, []
    if spec.train.elsewhere and client is None:
        return None, training.first_effects(spec)
    before = None
    former = plan.former.spec
    try:
        champion = champions.current(client, plan.uri("ledger"), spec.name).champion if client else None
        after = training.next_decision(spec, plan.storage, published, champion, client)
        if isinstance(former, ModelSpec) and former.name == spec.name and changes:
            before = training.next_decision(former, plan.storage, published, champion, client)
    except (DigestMismatch, ModelNotFound, ModelRefused) as error:
        text = f"Whether the next partition trains is not known, as its decision would fail: {error}"
        return None, [training.effect(Outlook.UNKNOWN, text)]
    return after, training.effects(after, before, changes, again, spec)


def _of_time(
    spec: ModelSpec, client: Client | None, changes: Sequence[SpecChange]
) -> tuple[float | None, list[Effect]]:
    if spec.train.elsewhere:
        return None, []
    if client is None:
        text = "How long a training takes is not known, because this model has never been trained."
        return None, [Effect(part=Part.TIME, outlook=Outlook.UNKNOWN, text=text)]
    try:
        history = training.durations(client, spec.name)
    except RegistryUnavailable as error:
        text = data.sentence(f"How long a training takes is not known: {error}")
        return None, [Effect(part=Part.TIME, outlook=Outlook.UNKNOWN, text=text)]
    return training.time_effects(spec, history, changes)
