"""Data of a partition: read, validated, published, as the DAG ``<model>.ingest`` does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.learning.models import transform
from airflow_mlops.stages.ingest import ingest, quarantine
from airflow_mlops.stages.loop.plan import DataPlan
from airflow_mlops.stages.validate import skew, suites, validate
from airflow_mlops.stages.validate.validate import ValidationPolicy
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa


def staged(plan: DataPlan, partition: Partition) -> DatasetVersion:
    """Read a partition into the staging table, which no reader sees.

    :raises SourceMissing: if its data is not there; and as :func:`airflow_mlops.stages.ingest.ingest.stage`.
    """
    spec = plan.spec
    return ingest.stage(
        plan.source,
        partition,
        uri=plan.uri("staging"),
        published=plan.uri("data"),
        name=spec.name,
        key=spec.key,
        event_time=spec.event_time,
        required=spec.columns,
        policy=spec.schema_policy,
        transform=transform.load(spec.transform) if spec.transform else None,
        types=spec.types,
        pii=spec.pii,
        ambiguous=spec.ambiguous,
        unreadable=plan.uri("unreadable") if spec.on_unreadable == "quarantine" else None,
        run=plan.run_of(partition.key, "ingest"),
    )


class CheckedPartition(NamedTuple):
    """A staged partition with the rows that a person has corrected, and what is wrong with it.

    :param waiting: rows of it with a cell that cannot be read, which are not staged; None if there are none.
    """

    dataset: DatasetVersion
    outcome: validate.Validated
    waiting: pa.Table | None


def checked(plan: DataPlan, dataset: DatasetVersion) -> CheckedPartition:
    """Check a staged partition by its expectations, and keep the report with its pages."""
    spec, run = plan.spec, plan.run_of(dataset.partition, "ingest")
    released = plan.uri("released")
    apart = quarantine.unreadable(dataset, uri=plan.uri("unreadable"), released=released)
    corrected = quarantine.correct(dataset, released=released, run=run, passing=apart.released)
    outcome = validate.version(
        corrected,
        _policy(plan),
        data=plan.uri("data"),
        allowed=partial(quarantine.allowed, corrected, released=released),
        skew=partial(skew.check, corrected, spec.comparison, ledger_uri=plan.uri("ledger"))
        if spec.comparison
        else None,
        waiting=apart.waiting,
    )
    for kind, html in (("data-docs", outcome.docs), ("validation", outcome.html)):
        if html is not None:
            plan.page(dataset.partition, kind, html)
    validate.record(plan.uri("validation"), outcome.report, run)
    return CheckedPartition(corrected, outcome, apart.waiting)


def published(plan: DataPlan, partition: CheckedPartition) -> DatasetVersion:
    """Set bad rows aside, and publish the others in one commit.

    :raises ValidationFailed: if the partition broke an expectation that blocks.
    :raises ValidationErrored: if an expectation could not be evaluated.
    """
    dataset, outcome, waiting = partition
    run = plan.run_of(dataset.partition, "ingest")
    validate.raise_for(outcome.report)
    kept = quarantine.set_aside(
        dataset, outcome.reasons, quarantine=plan.uri("quarantine"), run=run, waiting=waiting
    )
    published = ingest.publish(kept, uri=plan.uri("data"), run=run)
    # As later stages read it, whether it was published now or before: a training is known again by its data.
    return tables.published(plan.uri("data"), dataset.partition) or published


def _policy(plan: DataPlan) -> ValidationPolicy:
    spec = plan.spec
    identifiers = (*spec.key, spec.event_time)
    return ValidationPolicy(
        expectations=suites.expand(spec.expectations, folder=plan.folder),
        required=[*identifiers, *spec.filled],
        identifiers=identifiers,
        pii=spec.pii,
        max_quarantined=spec.max_quarantined,
    )
