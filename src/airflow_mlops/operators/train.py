"""Train one candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops import config
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.recipe import CONSTANT, RECALIBRATION, Recipe, TrainingConfig
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.intervals import PredictionIntervals
from airflow_mlops.domain.spec.model import Budget, Candidate, Decision, Features, Train
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.domain.spec.windows import Span, of_text
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.learning import provenance
from airflow_mlops.links import MlflowRunLink
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, push, run_of, table_uri, with_labels
from airflow_mlops.stages.train import jobs, offer, train
from airflow_mlops.stages.train.former import hand_out
from airflow_mlops.stages.train.recipe import recipe_of
from airflow_mlops.stages.train.split import split_of
from airflow_mlops.stores.registry import champions
from airflow_mlops.stores.tables import places

if TYPE_CHECKING:
    from airflow.sdk import Context


class TrainOperator(BaseOperator):
    """Train one candidate on a pinned dataset version, log it to MLflow and register it as a model version.

    Returns the :class:`~airflow_mlops.domain.facts.results.TrainedModel` as a dict. Map it over ``candidate`` to train
    several. A retry adopts the version that an earlier try has registered, if that was trained on the same data with
    the same settings.

    :param dataset: the dataset version, as a dict.
    :param candidate: a :class:`~airflow_mlops.domain.spec.model.Candidate`, or its form in a spec:
        ``{"sklearn.linear_model.Ridge": {"alpha": 1.0}}``, or a dotted path; or ``recalibration``, for the champion with refitted
        probabilities where ``retrain`` says that its calibration asks, or ``constant``, for one that may take the champion's place
        where ``retrain`` says that it fails, and nothing, as an empty dict, elsewhere.
    :param target: column to predict.
    :param task: classification or regression.
    :param classes: the classes of a classification in order; none takes those of the training rows.
    :param decision: from which probability on a row is put in the second of two classes; None means 0.5.
    :param weights: column of the data that says how much each row counts; None means that all count alike.
    :param class_weight: ``balanced``, or how much the rows of each class count in a fit, by its name; None means that all
        count alike.
    :param groups: column whose rows of one value stay on one side of every split; None for none.
    :param metric: metric by which candidates are ranked.
    :param own_metrics: metrics of one's own by name; None for none.
    :param features: feature columns; None means all but key, event time and target.
    :param holdout: partitions, or share of the latest rows, that are kept for evaluation.
    :param window: partitions to train on, or ``all``; of several, such as ``["all", 3]``, the best is taken.
    :param delay: how long after its event time a label is known.
    :param labels: whether labels are in the model's table ``labels``, where
        :class:`~airflow_mlops.operators.performance.IngestLabelsOperator` puts them; not needed for a dataset of
        :class:`~airflow_mlops.operators.decide.DecideOperator`, which names its labels.
    :param budget: bounds of the search for hyperparameters.
    :param folds: number of spans of time on which a search validates.
    :param ranked: whether to measure the candidate on the folds even if it searches for nothing; False for a single
        candidate, which is not ranked and is therefore fitted only once.
    :param seed: seed of everything random.
    :param intervals: bounds of a regression's predictions; None for none.
    :param retrain: what :class:`~airflow_mlops.operators.decide.DecideOperator` returned: if that names a version that is to be
        judged again, it is handed out and nothing is trained; None trains in any case.
    :param model: name to register under; None means the dataset's name.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    # Whether a training is under way, which the signal of a cancelled task has to end.
    _executing = False

    template_fields: Sequence[str] = (
        "dataset",
        "candidate",
        "target",
        "model",
        "window",
        "retrain",
        "mlflow_conn_id",
    )
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
        window: int | str | Sequence[Span] = "all",
        delay: timedelta = timedelta(0),
        labels: bool = False,
        budget: Budget | None = None,
        folds: int = 1,
        ranked: bool = True,
        seed: int = 0,
        model: str | None = None,
        mlflow_conn_id: str | None = None,
        classes: Sequence[str | int] = (),
        intervals: PredictionIntervals | None = None,
        decision: Decision | None = None,
        own_metrics: Mapping[str, OwnMetric] | None = None,
        weights: str | None = None,
        class_weight: Any = None,
        groups: str | None = None,
        retrain: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.candidate = candidate
        self.target = target
        self.task = task
        self.classes = classes
        self.decision = decision
        self.weights = weights
        self.class_weight = class_weight
        self.groups = groups
        self.metric = metric
        self.own_metrics = own_metrics
        self.features = features
        self.holdout = holdout
        self.window = window
        self.delay = delay
        self.labels = labels
        self.budget = budget
        self.folds = folds
        self.ranked = ranked
        self.seed = seed
        self.intervals = intervals
        self.model = model
        self.mlflow_conn_id = mlflow_conn_id
        self.retrain = retrain

    def execute(self, context: Context) -> dict[str, Any]:
        """Split by event time, search, fit, log and register."""
        self._executing = True
        try:
            return self._train(context)
        finally:
            self._executing = False

    def on_kill(self) -> None:
        """Stop the training, so that its runs in MLflow are marked as killed.

        Airflow calls this while :meth:`execute` is running, and kills the process five seconds later. After a time-out
        it calls this too, when :meth:`execute` has ended.
        """
        if self._executing:
            raise SystemExit("The training was cancelled.")

    def _train(self, context: Context) -> dict[str, Any]:
        hook = MlflowHook(self.mlflow_conn_id)
        decision = RetrainDecision.from_dict(self.retrain) if self.retrain else None
        if decision and decision.again and decision.version:
            return self._hand_out(context, hook, decision.version)
        if self.candidate in (RECALIBRATION, CONSTANT):
            return self._offer(context, hook, decision)
        recipe = self._recipe()
        trained = train.train_candidate(
            recipe,
            client=hook.get_conn(),
            # The identity covers data, spec and code, so a run that is cleared after a correction trains again.
            key=f"{run_of(context)}/{self.task_id}/{recipe.candidate.name}/{jobs.Job.of(recipe).identity()}",
            tags=tags_of(context),
            artifacts=hook.artifact_location(recipe.model),
            dask=config.dask_scheduler() or None,
        )
        push(context, "mlflow_run", trained.run_id)
        about = (trained.model, trained.dataset.partition)
        conclude(context, about, sentences.trained(trained), sentences.recipe(trained))
        return trained.to_dict()

    def _offer(self, context: Context, hook: MlflowHook, decision: RetrainDecision | None) -> dict[str, Any]:
        """Return what is offered beside the candidates; nothing where something else has asked, or it is not possible."""
        dataset, trained = self._dataset(), None
        model = self._name(dataset)
        constant = self.candidate == CONSTANT
        if decision and (decision.failing if constant else decision.recalibrates):
            client, uri = hook.get_conn(), table_uri(model, "ledger")
            make = offer.constant if constant else offer.recalibrated
            trained = make(
                client,
                champions.to_beat(client, uri, model, dataset.partition).champion,
                self._recipe(Candidate(estimator="sklearn.dummy.DummyClassifier")),
                key=f"{run_of(context)}/{self.task_id}",
                tags=tags_of(context),
                artifacts=hook.artifact_location(model),
            )
        if trained is None:
            nothing = "no constant is offered" if constant else "the champion is not recalibrated"
            conclude(context, (model, dataset.partition), nothing)
            return {}
        push(context, "mlflow_run", trained.run_id)
        about = (trained.model, trained.dataset.partition)
        conclude(context, about, sentences.trained(trained), sentences.recipe(trained))
        return trained.to_dict()

    def _hand_out(self, context: Context, hook: MlflowHook, version: str) -> dict[str, Any]:
        dataset = self._dataset()
        former = hand_out(hook.get_conn(), self._name(dataset), version, dataset=dataset, delay=self.delay)
        push(context, "mlflow_run", former.run_id)
        conclude(context, (former.model, former.dataset.partition), sentences.handed_out(former))
        return former.to_dict()

    @property
    def candidate_name(self) -> str:
        """Readable name of the candidate, by which Airflow lists the tasks that this one is mapped to."""
        if self.candidate in (RECALIBRATION, CONSTANT):
            return str(self.candidate)
        return Candidate.model_validate(self.candidate).name

    def _recipe(self, candidate: Candidate | None = None) -> Recipe:
        dataset = self._dataset()
        bounds = split_of(dataset, self.holdout, self.window, self.delay)
        candidate = candidate or Candidate.model_validate(self.candidate)
        return recipe_of(self._config(), dataset, bounds, candidate, self._name(dataset))

    def _dataset(self) -> DatasetVersion:
        dataset = DatasetVersion.from_dict(self.dataset)
        return with_labels(dataset, self._name(dataset), self.target if self.labels else None)

    def _name(self, dataset: DatasetVersion) -> str:
        # It becomes a folder of artifacts, too.
        return places.model_of(self.model or dataset.name)

    def _config(self) -> TrainingConfig:
        return TrainingConfig(
            question=Question.named_by(self),
            features=self.features,
            holdout=self.holdout,
            window=of_text(self.window),
            budget=self.budget or Budget(),
            folds=self.folds,
            ranked=self.ranked,
            seed=self.seed,
            intervals=self.intervals,
            class_weight=Train(class_weight=self.class_weight).class_weight,
            groups=self.groups,
        )


def tags_of(context: Context) -> dict[str, str]:
    """Return the tags that say which run of Airflow has registered a version."""
    task_instance, dag = context["ti"], context["dag"]
    bundle = getattr(task_instance, "bundle_instance", None)  # which the SDK's protocol does not name
    tags = {
        "airflow.dag_id": dag.dag_id,
        "airflow.run_id": context["run_id"],
        "airflow.url": task_instance.log_url,
        provenance.DAG_FILE: dag.fileloc,
        provenance.BUNDLE_VERSION: bundle and bundle.version,
    }
    return {name: value for name, value in tags.items() if value}
