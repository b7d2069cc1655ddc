"""Take in a version that was trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.exceptions import ModelNotFound, SpecError
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import MlflowRunLink
from airflow_mlops.operators.train import tags_of
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, dataset_of, push, run_of, with_labels
from airflow_mlops.stages.train import elsewhere as stage
from airflow_mlops.stages.train.split import split_of
from airflow_mlops.stores.registry import elsewhere, tracking
from airflow_mlops.stores.tables import places

if TYPE_CHECKING:
    from airflow.sdk import Context


class TakeInOperator(BaseOperator):
    """Register a version that somebody else has trained as a version of ours, so that it can be judged and promoted.

    Returns the :class:`~airflow_mlops.domain.facts.results.TrainedModel` as a dict, as
    :class:`~airflow_mlops.operators.train.TrainOperator` does. The model is loaded once, in a process of its own, and kept as
    skops.

    :param dataset: the dataset version that it is to be judged on, as a dict; None takes what is published of the model, as of the
        run's partition.
    :param origin: registered model in MLflow.
    :param version: its version; None means the one that ``retrain`` names, or the newest.
    :param retrain: what :class:`~airflow_mlops.operators.decide.DecideOperator` returned; None if none decides.
    :param target: column to predict.
    :param task: classification or regression.
    :param classes: the classes of a classification in order; none takes those of the model.
    :param weights: column of the data that says how much each row counts; None means that all count alike.
    :param groups: column whose rows of one value stay on one side of the split; None for none.
    :param metric: metric by which it is compared.
    :param own_metrics: metrics of one's own by name; None for none.
    :param features: features by their use; None takes every column but key, event time, target and the like.
    :param holdout: partitions, or share of the latest rows, that it is judged on.
    :param window: partitions before the holdout that drift is measured against, or ``all``.
    :param delay: how long after its event time a label is known.
    :param labels: whether labels are in the model's table ``labels``.
    :param trust: ``pickle`` to load also files that run the code in them; ``skops`` refuses those.
    :param model: name to register it under; None means the dataset's name.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = (
        "dataset",
        "origin",
        "version",
        "retrain",
        "target",
        "model",
        "mlflow_conn_id",
    )
    operator_extra_links = (MlflowRunLink(),)
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        origin: str,
        target: str,
        dataset: Any = None,
        version: str | None = None,
        retrain: Any = None,
        task: str = "classification",
        metric: str = "roc_auc",
        features: Features | None = None,
        holdout: int | float = 1,
        window: int | str = "all",
        delay: timedelta = timedelta(0),
        labels: bool = False,
        trust: Literal["skops", "pickle"] = "skops",
        model: str | None = None,
        mlflow_conn_id: str | None = None,
        classes: Sequence[str | int] = (),
        own_metrics: Mapping[str, OwnMetric] | None = None,
        weights: str | None = None,
        groups: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.origin = origin
        self.target = target
        self.version = version
        self.retrain = retrain
        self.task = task
        self.metric = metric
        self.features = features
        self.holdout = holdout
        self.window = window
        self.delay = delay
        self.labels = labels
        self.trust = trust
        self.model = model
        self.mlflow_conn_id = mlflow_conn_id
        self.classes = classes
        self.own_metrics = own_metrics
        self.weights = weights
        self.groups = groups

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the version, try it on rows of the data, and register it.

        :raises ModelNotFound: if nobody has registered a version.
        """
        if self.dataset is None and self.model is None:
            raise SpecError(["dataset: is missing; name the dataset, or the model"], self.task_id)
        dataset = (
            DatasetVersion.from_dict(self.dataset) if self.dataset else dataset_of(context, str(self.model))
        )
        # It becomes a folder of artifacts, too.
        model = places.model_of(self.model or dataset.name)
        dataset = with_labels(dataset, model, self.target if self.labels else None)
        hook = MlflowHook(self.mlflow_conn_id)
        client = hook.get_conn()
        number = self.version or (RetrainDecision.from_dict(self.retrain).version if self.retrain else None)
        foreign = (
            elsewhere.version(client, self.origin, number)
            if number
            else elsewhere.newest(client, self.origin)
        )
        if foreign is None:
            raise ModelNotFound(
                f"Nobody has registered a version of {self.origin!r} yet in {tracking.place(client)}."
            )
        question = Question.named_by(self)
        trained = stage.take_in(
            stage.Intake(model, question, self.features, self.groups, self.trust),
            foreign,
            client=client,
            dataset=dataset,
            split=split_of(dataset, self.holdout, self.window, self.delay),
            key=f"{run_of(context)}/{self.task_id}",
            tags=tags_of(context),
            artifacts=hook.artifact_location(model),
        )
        push(context, "mlflow_run", trained.run_id)
        about = (trained.model, trained.dataset.partition)
        conclude(context, about, sentences.trained(trained), sentences.recipe(trained))
        return trained.to_dict()
