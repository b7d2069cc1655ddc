"""What becomes of data: partitions that are published, and the latest of them read again, into a folder that goes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.preview import ColumnChange, Effect, Outlook, Part
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.facts.validation import ValidationReport
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.windows import spans
from airflow_mlops.exceptions import SourceMissing
from airflow_mlops.learning.models import transform
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stages.ingest.difference import difference
from airflow_mlops.stages.validate import suites, validate
from airflow_mlops.stages.validate.validate import ValidationPolicy
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.preview import SpecChange
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.stores.sources.source import Source

READING = (
    "source", "transform", "schema", "key", "event_time", "partition", "timezone", "ambiguous", "features", "target",
    "on_unreadable", "labels.source",
)  # fmt: skip
"""Fields that decide how a partition is read."""
CHECKING = ("validate", "max_quarantined")
"""Fields that decide whether a partition is published."""


@dataclass(frozen=True)
class Rehearsal:
    """The latest published partition, read again by the spec, and what follows.

    :param dataset: in a folder that is removed soon; None if it was not read, or cannot be.
    """

    dataset: DatasetVersion | None = None
    effects: tuple[Effect, ...] = ()
    columns: tuple[ColumnChange, ...] = ()


def concerns(changes: Sequence[SpecChange], fields: Sequence[str]) -> list[SpecChange]:
    """Return the changes of some fields, or of what lies below them."""
    return [change for change in changes if any(f"{change.place}.".startswith(f"{name}.") for name in fields)]


def effect(outlook: Outlook, text: str) -> Effect:
    """Return an effect on data."""
    return Effect(part=Part.DATA, outlook=outlook, text=text)


def published_effects(
    spec: DataSpec, published: dict[str, DatasetVersion], changes: Sequence[SpecChange]
) -> Iterator[Effect]:
    """Yield what becomes of the partitions that are published."""
    if not published:
        first = spec.start or "the first one that the source has"
        yield effect(Outlook.SAME, f"No partition is published yet: ingest begins with {first}.")
        return
    keys = sorted(published)
    latest = published[keys[-1]]
    if latest.grain != spec.grain:
        yield effect(
            Outlook.BREAKS,
            f"{counted(len(keys), 'partition')} are published by the {latest.grain}, and partitions by the {spec.grain} are refused beside them: "
            "give the model another name, or keep the former partition and timezone.",
        )
        return
    if concerns(changes, (*READING, *CHECKING)):
        yield effect(
            Outlook.SAME,
            f"{counted(len(keys), 'partition')} published, {span(keys)}: they stay as they are, and only new ones are read and checked by the "
            "changed spec.",
        )
    if tuple(latest.key) != tuple(spec.key) and set(latest.key) != set(spec.key):
        yield effect(
            Outlook.CHANGES,
            f"Their rows are known by {', '.join(latest.key)}, those of new partitions by {', '.join(spec.key)}.",
        )


def to_ingest_again(
    spec: ModelSpec, published: dict[str, DatasetVersion], code: dict[str, str]
) -> tuple[str, ...]:
    """Return the partitions in the window of the next training that other code has prepared than that of the spec.

    A model cannot learn from both, so that training fails until they are ingested again.
    """
    if spec.train.elsewhere:
        return ()
    now = code.get("transform") if spec.transform else None
    if now is not None and "@" not in now:
        return ()  # code that is not found is told elsewhere
    keys = sorted(published)
    longest = spans(spec.train.window)[0]
    if isinstance(longest, int) and isinstance(spec.train.holdout, int):
        # The next partition is one of them.
        keys = keys[-(longest + spec.train.holdout - 1) :] if keys else keys
    return tuple(key for key in keys if published[key].transform != now)


@contextmanager
def rehearsed(
    spec: DataSpec, source: Source, latest: DatasetVersion, *, published: str
) -> Iterator[Rehearsal]:
    """Read a published partition again as the spec says, and compare it; nothing is written where tables are.

    :param published: URI of the published table.
    """
    with TemporaryDirectory(prefix="mlops-plan-") as folder:
        yield _read_again(spec, source, latest, published, Path(folder))


def _read_again(
    spec: DataSpec, source: Source, latest: DatasetVersion, published: str, folder: Path
) -> Rehearsal:
    partition = Partition.parse(latest.partition, spec.grain)
    try:
        staged = ingest.stage(
            source,
            partition,
            uri=f"file://{folder}/staging",
            published=published,
            name=spec.name,
            key=spec.key,
            event_time=spec.event_time,
            required=spec.columns,
            policy=spec.schema_policy,
            transform=transform.load(spec.transform) if spec.transform else None,
            types=spec.types,
            pii=spec.pii,
            ambiguous=spec.ambiguous,
            unreadable=f"file://{folder}/unreadable" if spec.on_unreadable == "quarantine" else None,
            run=f"{spec.name}/plan",
        )
    except SourceMissing as error:
        text = f"Whether {partition} would be read alike is not known: {error}"
        return Rehearsal(effects=(effect(Outlook.UNKNOWN, sentence(text)),))
    except (ValueError, OSError, RuntimeError, LookupError) as error:
        text = f"Partitions like {partition} would be refused: {error}"
        return Rehearsal(effects=(effect(Outlook.BREAKS, sentence(text)),))
    columns = tuple(_columns(latest, staged))
    return Rehearsal(staged, (_compared(latest, staged, columns),), columns)


def _columns(before: DatasetVersion, after: DatasetVersion) -> Iterator[ColumnChange]:
    for name in dict.fromkeys([*before.columns, *after.columns]):
        was, now = before.columns.get(name), after.columns.get(name)
        if was != now:
            yield ColumnChange(table="data", column=name, before=was, after=now)


def _compared(before: DatasetVersion, after: DatasetVersion, columns: Sequence[ColumnChange]) -> Effect:
    read = f"Read again by this spec, {before.partition}"
    if before.digest == after.digest:
        return effect(Outlook.SAME, f"{read} has the same {after.rows:,} rows.")
    if columns or set(before.key) != set(after.key):
        return effect(
            Outlook.CHANGES, f"{read} has {after.rows:,} rows, and had {before.rows:,}, with other columns."
        )
    counts = difference(_rows(before), _rows(after), after.key, before.rows)
    parts = {"others": counts.changed, "more": counts.added, "fewer": counts.removed}
    words = ", ".join(f"{count:,} {word}" for word, count in parts.items() if count)
    return effect(Outlook.CHANGES, f"{read} has other rows: {words}, of {before.rows:,} that it had.")


def _rows(version: DatasetVersion) -> Iterator[object]:
    return tables.batches(version.uri, version=version.version, partition=version.partition)  # type: ignore[no-any-return]


def checked(spec: DataSpec, dataset: DatasetVersion, *, published: str, folder: Path | None) -> Effect:
    """Check a partition by the expectations of the spec, and return what they would do.

    :param published: URI of the published table.
    :param folder: that relative paths of suites begin in.
    """
    identifiers = (*spec.key, spec.event_time)
    policy = ValidationPolicy(
        expectations=suites.expand(spec.expectations, folder=folder),
        required=[*identifiers, *spec.filled],
        identifiers=identifiers,
        pii=spec.pii,
        max_quarantined=spec.max_quarantined,
    )
    try:
        outcome = validate.version(dataset, policy, data=published)
    except (ValueError, OSError, RuntimeError, LookupError) as error:
        return effect(
            Outlook.UNKNOWN, sentence(f"Its expectations cannot be tried on {dataset.partition}: {error}")
        )
    report = outcome.report
    stops = _stops(report)
    what = f"{dataset.partition} by these expectations: {report.reason}"
    return effect(Outlook.BREAKS if stops else Outlook.SAME, sentence(what))


def _stops(report: ValidationReport) -> bool:
    try:
        validate.raise_for(report)
    except (ValueError, RuntimeError):
        return True
    return False


def span(keys: Sequence[str]) -> str:
    """Return the first and the last of some keys in order."""
    return keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"


def sentence(text: str) -> str:
    """Return a text in one line, with a full stop."""
    line = " ".join(text.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."
