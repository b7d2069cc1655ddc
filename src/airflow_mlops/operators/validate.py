"""Hold a partition to its expectations, and set bad rows aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.results import DatasetVersion
from airflow_mlops.domain.spec import Expectation
from airflow_mlops.engines import tables, validate
from airflow_mlops.exceptions import ValidationErrored, ValidationFailed
from airflow_mlops.links import ReportLink
from airflow_mlops.runs import push, run_of, save_report, table_uri

if TYPE_CHECKING:
    from airflow.sdk import Context


class ValidateOperator(BaseOperator):
    """Check a dataset version with Great Expectations.

    Returns the version to go on with as a dict: the same, or one without the quarantined rows. The report is pushed
    as XCom ``validation`` and kept as a page before anything is raised.

    :param dataset: what :class:`IngestOperator` returned.
    :param expectations: expectations, or dicts in the form of a spec: ``{"expect_…": {"column": …}}``.
    :param required: columns that must be there and not be all null.
    """

    template_fields: Sequence[str] = ("dataset",)
    operator_extra_links = (ReportLink(),)
    ui_color = "#e8f5e9"

    def __init__(
        self, *, dataset: Any, expectations: Sequence[Any] = (), required: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.expectations = expectations
        self.required = required

    def execute(self, context: Context) -> dict[str, Any]:
        """Validate, keep the report, move bad rows, and raise last."""
        dataset = DatasetVersion.from_dict(self.dataset)
        rows = tables.read(dataset.uri, version=dataset.version, partition=dataset.partition)
        found = validate.validate(
            rows,
            dataset=dataset.name,
            partition=dataset.partition,
            expectations=[Expectation.model_validate(each) for each in self.expectations],
            required=[*dataset.key, dataset.event_time, *self.required],
        )
        push(context, "validation", found.report.to_dict())
        save_report(context, dataset.name, dataset.partition, "validation", found.html)
        self.log.info(
            "%s %s: %s: %s", dataset.name, dataset.partition, found.report.verdict, found.report.reason
        )
        if found.report.verdict is Verdict.FAIL:
            raise ValidationFailed(f"{dataset.name} {dataset.partition}: {found.report.reason}")
        if found.report.verdict is Verdict.INCONCLUSIVE:
            raise ValidationErrored(f"{dataset.name} {dataset.partition}: {found.report.reason}")
        quarantine = table_uri(dataset.name, "quarantine")
        if found.bad.num_rows or tables.exists(quarantine):
            # Also without bad rows: those of a former try of this partition may lie there.
            tables.replace_partition(quarantine, found.bad, dataset.partition)
        if found.bad.num_rows:
            dataset = tables.publish(
                dataset.uri,
                found.good,
                name=dataset.name,
                grain=dataset.grain,
                partition=dataset.partition,
                key=dataset.key,
                event_time=dataset.event_time,
                source=dataset.uri,
                run=run_of(context),
            )
        return dataset.to_dict()
