"""Decide whether to train, and train one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from airflow.sdk import BaseOperator, SkipMixin
from pydantic import Field, StrictBool, StrictInt

from airflow_mlops import config
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.recipe import Recipe
from airflow_mlops.domain.results import Action, DatasetVersion, PromotionDecision, RetrainDecision, Split
from airflow_mlops.domain.section import Section
from airflow_mlops.domain.spec import Budget, Candidate, Features, Retrain
from airflow_mlops.engines import decide, jobs, ledger, monitor, provenance, registry, tables, train
from airflow_mlops.exceptions import NotEnoughData
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import MlflowRunLink
from airflow_mlops.runs import asked, dataset_of, push, run_of, table_uri

if TYPE_CHECKING:
    from airflow.sdk import Context


class TrainRequest(Section):
    """What a person or a REST call may ask of a training run; Airflow itself lets unknown keys pass."""

    reason: str | None = None
    force: StrictBool = False
    window: Annotated[StrictInt, Field(ge=1)] | None = None


class DecideOperator(BaseOperator, SkipMixin):
    """Decide by the retrain policy whether this run trains; skip the tasks in ``skips`` if not.

    Returns the :class:`~airflow_mlops.domain.results.RetrainDecision` as a dict and pushes the pinned
    :class:`~airflow_mlops.domain.results.DatasetVersion` as XCom ``dataset``. A partition that has its decision
    already is not decided again, unless the run is forced.

    :param model: name of the model.
    :param policy: when to retrain.
    :param skips: ids of direct downstream tasks that do not run without retraining.
    :param holdout: partitions, or share of the latest rows, that are kept for evaluation.
    :param window: partitions to train on, or ``all``.
    :param delay: how long after its event time a label is known.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    # Without it Airflow forgets the skip where mapped tasks were expanded before this one ran.
    inherits_from_skipmixin = True
    template_fields: Sequence[str] = ("model", "partition", "window", "mlflow_conn_id")
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        model: str,
        policy: Retrain,
        skips: Sequence[str],
        holdout: int | float = 1,
        window: int | str = "all",
        delay: timedelta = timedelta(0),
        partition: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.policy = policy
        self.skips = skips
        self.holdout = holdout
        self.window = window
        self.delay = delay
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Gather the recorded facts, apply the policy, and skip training if it is not due."""
        dataset = dataset_of(context, self.model, self.partition)
        push(context, "dataset", dataset.to_dict())
        decision = self._decide(context, dataset)
        for check in decision.checks:
            self.log.info("%-20s %-12s %s", check.name, check.verdict, check.reason)
        answer = "retrain" if decision.retrain else "no retraining"
        self.log.info("%s %s: %s: %s", self.model, decision.partition, answer, decision.reason)
        if not decision.retrain:
            # Skipping ends the task, so what it returns is pushed before.
            push(context, "return_value", decision.to_dict())
            downstream = context["task"].get_direct_relatives(upstream=False)
            self.skip(ti=context["ti"], tasks=[task for task in downstream if task.task_id in self.skips])
        return decision.to_dict()

    def _decide(self, context: Context, dataset: DatasetVersion) -> RetrainDecision:
        request = asked(context, TrainRequest)
        uri = table_uri(self.model, "ledger")
        if not request.force and (reason := self._settled(context, dataset.partition, ledger.decisions(uri))):
            return RetrainDecision(
                model=self.model,
                partition=dataset.partition,
                retrain=False,
                checks=(),
                dataset=dataset,
                reason=reason,
            )
        return decide.decide(
            model=self.model,
            dataset=dataset,
            champion=registry.champion(MlflowHook(self.mlflow_conn_id).get_conn(), self.model),
            policy=self.policy,
            health=monitor.history(table_uri(self.model, "monitoring"), dataset.partition),
            decisions=ledger.decisions(uri),
            shortage=_shortage(dataset, self.holdout, self.window, self.delay),
            force=request.force,
            reason=request.reason,
        )

    def _settled(
        self, context: Context, partition: str, decisions: Sequence[PromotionDecision]
    ) -> str | None:
        """Return why a partition is not decided any more; None if it is to be."""
        later = [each.partition for each in decisions if each.partition > partition]
        if later:
            # The champion has seen more than a candidate of that time could.
            return f"later partitions, up to {max(later)}, have been decided already"
        known = next((each for each in decisions if each.partition == partition), None)
        # A key is its run, or begins with it and a slash: of two run ids one may begin with the other.
        if (
            known is None
            or known.action is Action.FAILED
            or f"{known.key}/".startswith(f"{run_of(context)}/")
        ):
            return None
        return f"{partition} was decided before: {known.action}: {known.reason}"


def _split(dataset: DatasetVersion, holdout: int | float, window: int | str, delay: timedelta) -> Split:
    when = dataset.event_time
    return train.split(
        tables.read(dataset.uri, version=dataset.version, columns=[when])[when],
        holdout=holdout,
        partition=Partition.parse(dataset.partition, dataset.grain),
        window="all" if window == "all" else int(window),
        delay=delay,
    )


def _shortage(
    dataset: DatasetVersion, holdout: int | float, window: int | str, delay: timedelta
) -> str | None:
    try:
        _split(dataset, holdout, window, delay)
    except NotEnoughData as error:
        return str(error)
    return None


class TrainOperator(BaseOperator):
    """Train one candidate on a pinned dataset version, log it to MLflow and register it as a model version.

    Returns the :class:`~airflow_mlops.domain.results.TrainedModel` as a dict. Map it over ``candidate`` to train
    several. A retry adopts what an earlier try has registered, if it was
    made of the same data, with the same settings.

    :param dataset: the dataset version, as a dict.
    :param candidate: a :class:`~airflow_mlops.domain.spec.Candidate`, or its form in a spec:
        ``{"sklearn.linear_model.Ridge": {"alpha": 1.0}}``, or a dotted path.
    :param target: column to predict.
    :param task: classification or regression.
    :param metric: metric that candidates are ranked by.
    :param features: feature columns; None means all but key, event time and target.
    :param holdout: partitions, or share of the latest rows, that are kept for evaluation.
    :param window: partitions to train on, or ``all``.
    :param delay: how long after its event time a label is known.
    :param budget: bounds of the search for hyperparameters.
    :param folds: spans of time that a search validates on.
    :param ranked: whether to measure the candidate on the folds even if it searches for nothing; False for an only
        candidate, which has nothing to be ranked against and so is fitted once.
    :param seed: seed of everything random.
    :param model: name to register under; None means the dataset's name.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    # Whether the signal of a cancelled task has something to end.
    _executing = False

    template_fields: Sequence[str] = ("dataset", "candidate", "target", "model", "window", "mlflow_conn_id")
    operator_extra_links = (MlflowRunLink(),)
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        dataset: Any,
        candidate: Any,
        target: str,
        task: str = "classification",
        metric: str = "roc_auc",
        features: Features | None = None,
        holdout: int | float = 1,
        window: int | str = "all",
        delay: timedelta = timedelta(0),
        budget: Budget | None = None,
        folds: int = 1,
        ranked: bool = True,
        seed: int = 0,
        model: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.candidate = candidate
        self.target = target
        self.task = task
        self.metric = metric
        self.features = features
        self.holdout = holdout
        self.window = window
        self.delay = delay
        self.budget = budget
        self.folds = folds
        self.ranked = ranked
        self.seed = seed
        self.model = model
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Split by event time, search, fit, log and register."""
        self._executing = True
        try:
            return self._train(context)
        finally:
            self._executing = False

    def on_kill(self) -> None:
        """End the training where it is, so that its runs in MLflow are marked as killed.

        Airflow calls this while :meth:`execute` goes on, and kills the process five seconds later; and after a time-out,
        when it has ended.
        """
        if self._executing:
            raise SystemExit("The training was cancelled.")

    def _train(self, context: Context) -> dict[str, Any]:
        recipe = self._recipe()
        dataset, split, name = recipe.dataset, recipe.split, Candidate.model_validate(self.candidate).name
        hook = MlflowHook(self.mlflow_conn_id)
        trained = train.train(
            tables.read(
                dataset.uri,
                version=dataset.version,
                event_time=dataset.event_time,
                since=split.start,
                until=split.end,
            ),
            client=hook.get_conn(),
            recipe=recipe,
            # With data, spec and code in it: a run that is cleared after a correction trains anew.
            key=f"{run_of(context)}/{self.task_id}/{name}/{jobs.Job.of(recipe).identity()}",
            tags=_tags(context),
            artifacts=hook.artifact_location(recipe.model),
            dask=config.dask_scheduler() or None,
        )
        push(context, "mlflow_run", trained.run_id)
        return trained.to_dict()

    def _recipe(self) -> Recipe:
        dataset = DatasetVersion.from_dict(self.dataset)
        return Recipe(
            model=self.model or dataset.name,
            candidate=Candidate.model_validate(self.candidate).to_dict(),
            task=self.task,
            target=self.target,
            features=(self.features or train.derive_features(dataset, self.target)).to_dict(),
            metric=self.metric,
            dataset=dataset,
            split=_split(dataset, self.holdout, self.window, self.delay),
            budget=(self.budget or Budget()).to_dict(),
            folds=self.folds,
            seed=self.seed,
            ranked=self.ranked,
        )


def _tags(context: Context) -> dict[str, str]:
    task_instance, dag = context["ti"], context["dag"]
    bundle = getattr(task_instance, "bundle_instance", None)  # which the SDK's protocol does not name
    told = {
        "airflow.dag_id": dag.dag_id,
        "airflow.run_id": context["run_id"],
        "airflow.url": task_instance.log_url,
        provenance.DAG_FILE: dag.fileloc,
        provenance.BUNDLE_VERSION: bundle and bundle.version,
    }
    return {name: value for name, value in told.items() if value}
