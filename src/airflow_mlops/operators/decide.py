"""Decide whether to train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from airflow.sdk import Asset, BaseOperator, SkipMixin
from airflow.sdk.observability import stats
from pydantic import Field, StrictBool, StrictInt

from airflow_mlops.domain.facts.results import Action, DatasetVersion
from airflow_mlops.domain.facts.retraining import RetrainDecision, suggested
from airflow_mlops.domain.spec.model import Gates, Retrain
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.domain.spec.windows import Span
from airflow_mlops.exceptions import SpecError
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, dataset_of, is_of_run, push, request_of, table_uri, with_labels
from airflow_mlops.stages import decide
from airflow_mlops.stages.monitor import health
from airflow_mlops.stages.train import split
from airflow_mlops.stores.registry import champions, ledger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.stores.registry.ledger import Row

_REASON = 500
"""The longest reason, in characters, that is taken from the event of an asset."""


class TrainRequest(Section):
    """What a person or a REST call may ask of a training run; Airflow itself lets unknown keys pass."""

    reason: str | None = None
    force: StrictBool = False
    record: StrictBool = False
    window: Annotated[StrictInt, Field(ge=1)] | None = None
    version: str | None = None


class DecideOperator(BaseOperator, SkipMixin):
    """Decide by the retrain policy whether this run trains; skip the tasks in ``skips`` if not.

    Returns the :class:`~airflow_mlops.domain.facts.retraining.RetrainDecision` as a dict and pushes the pinned
    :class:`~airflow_mlops.domain.facts.results.DatasetVersion` as XCom ``dataset``. A partition that has its decision
    already is not decided again, unless this is requested by the run's ``force`` or by an event of an asset in
    ``requests``. A partition before others that were decided already trains nothing, unless the run's ``record`` asks for a
    candidate that is judged for the record, by the champion and the facts of that time. Where the policy leaves the decision to a person, put a
    :class:`~airflow_mlops.operators.suggest.RetrainSuggestionOperator` behind this one.

    :param model: name of the model.
    :param policy: when to retrain.
    :param skips: ids of direct downstream tasks that do not run without retraining.
    :param requests: assets whose events request retraining, whatever the policy says; the ``reason`` in an event's
        extra becomes the reason.
    :param holdout: partitions, or share of the latest rows, that are kept for evaluation.
    :param window: partitions to train on, or ``all``; several, such as ``["all", 3]``, if one of them is chosen.
    :param delay: how long after its event time a label is known.
    :param labels: column of the label in the model's table ``labels``, where
        :class:`~airflow_mlops.operators.performance.IngestLabelsOperator` puts it; None if it is a column of the data.
    :param elsewhere: registered model in MLflow whose versions somebody else trains: the newest that was not judged yet is judged,
        whatever the policy says, or the one that the run's ``version`` names; None for models that are trained here.
    :param gates: what a candidate has to pass, which says what else has to be known of the champion; None for nothing.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    :param recalibrate: whether a recalibration of the champion is tried where its calibration asks for a training.
    """

    # Without it Airflow forgets the skip where mapped tasks were expanded before this one ran.
    inherits_from_skipmixin = True
    template_fields: Sequence[str] = ("model", "partition", "window", "elsewhere", "mlflow_conn_id")
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        model: str,
        policy: Retrain,
        skips: Sequence[str],
        requests: Sequence[Asset] = (),
        holdout: int | float = 1,
        window: int | str | Sequence[Span] = "all",
        delay: timedelta = timedelta(0),
        labels: str | None = None,
        elsewhere: str | None = None,
        gates: Gates | None = None,
        partition: str | None = None,
        mlflow_conn_id: str | None = None,
        recalibrate: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.policy = policy
        self.skips = skips
        self.requests = requests
        self.holdout = holdout
        self.window = window
        self.delay = delay
        self.labels = labels
        self.elsewhere = elsewhere
        self.gates = gates
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id
        self.recalibrate = recalibrate

    def execute(self, context: Context) -> dict[str, Any]:
        """Gather the recorded facts, apply the policy, and skip training if it is not due."""
        dataset = with_labels(dataset_of(context, self.model, self.partition), self.model, self.labels)
        push(context, "dataset", dataset.to_dict())
        decision = self._decide(context, dataset)
        sentence = sentences.trains(decision, asks=suggested(decision))
        conclude(context, (self.model, decision.partition), sentence, map(sentences.judged, decision.checks))
        stats.gauge(f"mlops.{self.model}.retrain", float(decision.retrain))
        if not decision.judges:
            # Skipping ends the task, so its return value is pushed before.
            push(context, "return_value", decision.to_dict())
            downstream = context["task"].get_direct_relatives(upstream=False)
            self.skip(ti=context["ti"], tasks=[task for task in downstream if task.task_id in self.skips])
        return decision.to_dict()

    def _decide(self, context: Context, dataset: DatasetVersion) -> RetrainDecision:
        request, uri = self._request(context), table_uri(self.model, "ledger")
        if request.version and not self.elsewhere:
            problem = "version: its models are trained here, so a run judges what it trains: leave it out"
            raise SpecError([problem], "request")
        rows = ledger.rows(uri)
        if reason := self._settled(context, dataset.partition, rows, request):
            return RetrainDecision(
                model=self.model,
                partition=dataset.partition,
                retrain=False,
                checks=(),
                dataset=dataset,
                reason=reason,
            )
        client = MlflowHook(self.mlflow_conn_id).get_conn()
        champion = champions.to_beat(client, uri, self.model, dataset.partition).champion
        reports = health.history(table_uri(self.model, "monitoring"), dataset.partition)
        if self.elsewhere:
            return decide.decide_version(
                client,
                model=self.model,
                origin=self.elsewhere,
                dataset=dataset,
                rows=rows,
                split=lambda: split.split_of(dataset, self.holdout, self.window, self.delay),
                version=request.version,
                force=request.force,
                reason=request.reason,
                champion=champion,
                health=reports,
                delay=self.delay,
                gates=self.gates,
            )
        return decide.decide(
            model=self.model,
            dataset=dataset,
            champion=champion,
            policy=self.policy,
            health=reports,
            decisions=ledger.attempts(rows),
            trainable=split.trainable(dataset, self.holdout, self.window, self.delay),
            force=request.force,
            record=request.record,
            reason=request.reason,
            delay=self.delay,
            gates=self.gates,
            recalibrate=self.recalibrate,
        )

    def _request(self, context: Context) -> TrainRequest:
        """Return the request that was made by hand, by REST, or by events of assets."""
        request = request_of(context, TrainRequest)
        reasons = list(self._events(context))
        if request.force or not reasons:
            return request
        return request.model_copy(update={"force": True, "reason": "; ".join(reasons)})

    def _events(self, context: Context) -> Iterator[str]:
        by_asset: Any = context.get("triggering_asset_events") or {}
        for asset in self.requests:
            for event in by_asset.get(asset, ()):
                reason = (event.extra or {}).get("reason")
                why = " ".join(reason.split())[:_REASON] if isinstance(reason, str) else ""
                yield why or f"an event of the asset {asset.name}"

    def _settled(
        self, context: Context, partition: str, rows: Sequence[Row], request: TrainRequest
    ) -> str | None:
        """Return why a partition is not decided again; None if it has to be decided.

        :raises SpecError: if it is to be decided for the record, and is not past.
        """
        latest = champions.overtaken(rows, partition)
        if latest is None and request.record:
            problem = f"record: no partition after {partition} has been decided, so it is decided like any other: leave it out"
            raise SpecError([problem], "request")
        if latest is not None and not request.record:
            # The champion may have been trained on later data than a candidate of this partition.
            return (
                f"later partitions, up to {latest}, have been decided already, so nothing is trained: to judge a candidate of "
                f'{partition} for the record, which moves no champion, start this DAG for it with {{"record": true}}'
            )
        if request.force or request.version:
            return None
        former = ledger.decision(rows, partition)
        if latest is not None and former is not None and not former.checks:
            # It was passed over, or its training failed: no policy and no gate has judged it yet.
            return None
        if former is None or former.action is Action.FAILED or is_of_run(context, former.key):
            return None
        return f"{partition} was decided before: {former.action}: {former.reason}"
