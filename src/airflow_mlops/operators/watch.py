"""Watch predictions that another system makes: take them from the data, and judge them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.observability import stats

from airflow_mlops import assets
from airflow_mlops.domain.facts.drift import DriftReport
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.links import ReportLink
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import (
    conclude,
    dataset_of,
    push,
    push_facts,
    save_report,
    table_uri,
    with_labels,
    write_report,
)
from airflow_mlops.stages.monitor import checks
from airflow_mlops.stages.watch import predictions, watch

if TYPE_CHECKING:
    from airflow.sdk import Context


class TakePredictionsOperator(BaseOperator):
    """Write the predictions in a published partition of the data to the table of predictions, as those of another system.

    Returns the number of predictions. The same ones again change nothing.

    :param spec: which columns hold them.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    """

    template_fields: Sequence[str] = ("partition",)
    ui_color = "#e3f2fd"

    def __init__(self, *, spec: MonitoringSpec, partition: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.partition = partition

    def execute(self, context: Context) -> int:
        """Take the predictions, and log how many there are."""
        name = self.spec.name
        dataset = dataset_of(context, name, self.partition)
        taken = predictions.take(self.spec, dataset, table_uri(name, "predictions"))
        without = f"; {taken.without:,} rows without one are left out" if taken.without else ""
        version = taken.version.version if taken.version else "none"
        sentence = f"{taken.rows:,} predictions, most of version {version}{without}"
        conclude(context, (name, dataset.partition), sentence)
        return taken.rows


class WatchOperator(BaseOperator):
    """Judge the predictions of another system: their drift against the reference, and their quality on matured labels.

    Every check becomes a row of the Delta table ``<storage>/<name>/checks``, and a metric of Airflow, as those of
    :class:`~airflow_mlops.operators.monitor.HealthOperator`. Returns the
    :class:`~airflow_mlops.domain.facts.results.HealthReport` as a dict.

    :param spec: what is watched.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    """

    template_fields: Sequence[str] = ("partition",)
    operator_extra_links = (ReportLink(),)
    ui_color = "#fffde7"

    def __init__(self, *, spec: MonitoringSpec, partition: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.partition = partition

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge the partition, and keep the report with its page."""
        spec = self.spec
        dataset = dataset_of(context, spec.name, self.partition)
        dataset = with_labels(dataset, spec.name, spec.target if spec.labels.source is not None else None)
        report, drift = watch.watch(spec, dataset, partial(table_uri, spec.name))
        pages = {}
        if drift.html:
            pages["report"] = save_report(context, spec.name, dataset.partition, "drift", drift.html)
        if drift.picture is not None:
            pages["picture"] = f"{spec.name}/{dataset.partition}/drift.png"
            write_report(pages["picture"], drift.picture)
            push(context, "picture", pages["picture"])
        for name, value in checks.gauges(report).items():
            stats.gauge(name, value)
        assets.emit(context, assets.health(spec.name), health=report)
        parts = (report.drift, report.performance, report.staleness, *drift.columns, *report.others)
        about, details = (spec.name, report.partition), map(sentences.judged, parts)
        conclude(context, about, sentences.well(report), details, note=True)
        compared = DriftReport(overall=drift.overall, columns=drift.columns)
        push_facts(context, Statement.of(compared, **pages), report)
        return report.to_dict()
