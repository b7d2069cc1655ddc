"""Validate a partition by its expectations, and set bad rows aside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import Skew
from airflow_mlops.links import ReportLink
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, push, push_facts, run_of, save_report, table_uri
from airflow_mlops.stages.ingest import quarantine
from airflow_mlops.stages.validate import skew, suites, validate
from airflow_mlops.stages.validate.validate import ValidationPolicy
from airflow_mlops.stores.sources.python import PythonSource

if TYPE_CHECKING:
    from airflow.sdk import Context


class ValidateOperator(BaseOperator):
    """Check a dataset version, or any source, with Great Expectations.

    For a dataset version it returns the version to go on with as a dict: the same, or one without the rows that were
    set aside. For a source it returns the report as a dict, and moves no row. The report is pushed as XCom ``validation``
    and kept as a page, with the Data Docs of Great Expectations beside it, before anything is raised.

    :param dataset: what :class:`IngestOperator` returned; None for a source.
    :param expectations: expectations and suites in the form of a spec, or the path of a suite. A relative path is
        looked for beside the DAG file, then in the current directory.
    :param required: columns that must be there and not be all null, besides the dataset's key and event time.
    :param pii: columns with personal data, masked in report, page, XCom and log.
    :param max_quarantined: largest share of rows to set aside; above it the whole partition is stopped.
    :param model: model whose champion's training data the partition is compared with; None compares nothing.
    :param skew: how far the partition may differ from it, a :class:`~airflow_mlops.domain.spec.model.Skew` or dict;
        None compares nothing.
    :param source: rows that are in none of our datasets, e.g. ``SqlSource("warehouse", "select * from orders")``, or a
        function that returns a data frame.
    :param name: name of the rows of a source and of the folder of their page: letters, digits and ``_ . -``; None means
        ``<DAG>.<task>``.
    :param partition: key of the source's partition to check; None means all there is.
    :param grain: length of that partition: hour, day, week or month, and perhaps a time zone after it.
    """

    template_fields: Sequence[str] = ("dataset", "name", "partition")
    operator_extra_links = (ReportLink(),)
    ui_color = "#e8f5e9"

    def __init__(
        self,
        *,
        dataset: Any = None,
        expectations: str | Sequence[Any] = (),
        required: Sequence[str] = (),
        pii: Sequence[str] = (),
        max_quarantined: float = 0.1,
        model: str | None = None,
        skew: Skew | dict[str, Any] | None = None,
        source: Any = None,
        name: str | None = None,
        partition: str | None = None,
        grain: str = "day",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.expectations = expectations
        self.required = required
        self.pii = pii
        self.max_quarantined = max_quarantined
        self.model = model
        self.skew = skew
        self.source = source
        self.name = name
        self.partition = partition
        self.grain = grain

    def execute(self, context: Context) -> dict[str, Any]:
        """Validate, keep the report, move bad rows, and raise last."""
        if (self.dataset is None) == (self.source is None):
            raise ValueError(f"{self.task_id} takes either dataset= or source=; give one of the two")
        if self.dataset is None:
            return self._check_source(context)
        dataset, run = DatasetVersion.from_dict(self.dataset), run_of(context)
        released, identifiers = table_uri(dataset.name, "released"), [*dataset.key, dataset.event_time]
        apart = quarantine.unreadable(dataset, uri=table_uri(dataset.name, "unreadable"), released=released)
        dataset = quarantine.correct(dataset, released=released, run=run, passing=apart.released)
        validated = validate.version(
            dataset,
            self._policy(context, identifiers),
            data=table_uri(dataset.name, "data"),
            allowed=partial(quarantine.allowed, dataset, released=released),
            skew=self._skew(dataset),
            waiting=apart.waiting,
        )
        statement = self._keep(context, validated)
        validate.record(table_uri(dataset.name, "validation"), validated.report, run)
        validate.raise_for(validated.report)
        aside = table_uri(dataset.name, "quarantine")
        version = quarantine.set_aside(
            dataset, validated.reasons, quarantine=aside, run=run, waiting=apart.waiting
        )
        push_facts(context, statement, version)
        return version.to_dict()

    def _check_source(self, context: Context) -> dict[str, Any]:
        name = self.name or f"{context['dag'].dag_id}.{self.task_id}"
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}", name):
            raise ValueError(
                f"{name!r} cannot name a page; give name= of up to 250 letters, digits and _ . -"
            )
        source = self.source if hasattr(self.source, "batches") else PythonSource(self.source)
        partition = Partition.parse(self.partition, self.grain) if self.partition else None
        validated = validate.source(source, partition, self._policy(context, (), moves=False), name=name)
        self._keep(context, validated)
        validate.raise_for(validated.report)
        return validated.report.to_dict()

    def _policy(self, context: Context, identifiers: Sequence[str], moves: bool = True) -> ValidationPolicy:
        return ValidationPolicy(
            expectations=suites.expand(self.expectations, folder=Path(context["dag"].fileloc).parent),
            # A text is passed on as it is, so that the policy refuses it instead of taking its letters for columns.
            required=self.required if isinstance(self.required, str) else [*identifiers, *self.required],
            identifiers=identifiers,
            pii=self.pii,
            max_quarantined=self.max_quarantined,
            moves=moves,
        )

    def _skew(self, dataset: DatasetVersion) -> Any:
        if self.model is None or self.skew is None:
            return None
        policy = Skew.from_dict(self.skew) if isinstance(self.skew, dict) else self.skew
        return partial(skew.check, dataset, policy, ledger_uri=table_uri(self.model, "ledger"))

    def _keep(self, context: Context, validated: validate.Validated) -> Statement:
        report = validated.report
        statement = Statement.of(report)
        push(context, "validation", report.to_dict())
        push_facts(context, statement)
        conclude(
            context,
            (report.dataset, report.partition),
            sentences.validated(report),
            map(sentences.expectation, report.results),
            loud=report.verdict is not Verdict.PASS,
            note=report.verdict is not Verdict.PASS,
        )
        for kind, html in (("data-docs", validated.docs), ("validation", validated.html)):
            if html is not None:
                page = save_report(context, report.dataset, report.partition, kind, html)
                statement = Statement.of(report, report=page)
                push_facts(context, statement)
        return statement
