"""Facts that the stages record: frozen, without behaviour, and the same dict wherever they are stored or sent."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, model_validator

from airflow_mlops.domain.checks import Check, Fact, Intervals, Number, Verdict, refuse_contradiction
from airflow_mlops.domain.facts.approval import ApprovalOutcome
from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.facts.intervals import CalibratedIntervals
from airflow_mlops.domain.facts.origin import ForeignOrigin
from airflow_mlops.domain.facts.windows import WindowChoice
from airflow_mlops.domain.spec.own_metrics import OwnMetric

EXTERNAL = "external"
"""In place of a digest, of a version that another system has; and of the version, where that is not told."""


class Difference(Fact):
    """How many rows a new version of a partition added, removed and changed; rows are matched by key."""

    added: int
    removed: int
    changed: int


class LabelsVersion(Fact):
    """The labels of a dataset that has a labels table of its own, as a run of one partition reads them.

    :param uri: URI of the Delta table of labels.
    :param target: the table's column with the label.
    :param version: Delta version; None if no label had been written.
    :param until: only labels that were known before this time count; None means all labels of the version.
    :param digest: sha256 of the labels that a training or a replay has used; None before one has.
    """

    uri: str
    target: str
    version: int | None
    until: datetime | None = None
    digest: str | None = None


class DatasetVersion(Fact):
    """A dataset version: one partition of a Delta table at one version of the table.

    :param name: dataset name.
    :param uri: URI of the Delta table.
    :param version: Delta version; the same version always has the same rows.
    :param grain: length of a partition.
    :param partition: key of the partition this version published.
    :param rows: rows of that partition.
    :param digest: sha256 of that partition's content.
    :param columns: column name to Arrow type.
    :param key: columns that identify a row.
    :param event_time: column of event time.
    :param changed: False if the same content was already there, so that nothing was written.
    :param transform: the function that prepared the features, as ``module:function@digest``; None without one.
    :param difference: difference to the earlier version of the same partition; None if this is its first version.
    :param labels: the labels of the rows, if they are in a table of their own and a stage has looked them up; else None.
    :param unreadable: version of the table with the rows that are not among these, as a cell cannot be read; else None.
    """

    name: str
    uri: str
    version: int
    grain: str
    partition: str
    rows: int
    digest: str
    columns: dict[str, str]
    key: tuple[str, ...]
    event_time: str
    changed: bool = True
    transform: str | None = None
    difference: Difference | None = None
    labels: LabelsVersion | None = None
    unreadable: int | None = Field(default=None, exclude_if=lambda version: version is None)


class Split(Fact):
    """Training and holdout rows by event time: ``start <= train < cut <= holdout < end``.

    :param end: end of the holdout; the labels of rows from then on had not matured.
    """

    start: datetime
    cut: datetime
    end: datetime
    train_rows: int
    holdout_rows: int


class TrainedModel(Fact):
    """One trained candidate, logged to MLflow and registered as a version.

    :param model: registered model's name.
    :param candidate: readable name of the candidate, unique in its spec.
    :param version: registered version.
    :param digest: content digest of the model; equal for equal data, spec and seed.
    :param metric: name of the metric that candidates are ranked by.
    :param score: that metric on the inner, time-ordered validation rows, never the holdout; None also if it was not ranked.
    :param params: the chosen hyperparameters, of ``trials`` combinations that were tried.
    :param remarks: what a person should know about the fit, such as that it did not converge.
    :param classes: the classes that a classifier tells apart, in the order of its probabilities; none for a regression.
    :param classes_named: True if the spec names them; False if they are those of the training rows.
    :param own_metrics: metrics of one's own by name.
    :param intervals: how the bounds of its predictions were calibrated; None if it has no such bounds.
    :param decision: from which probability on it puts a row in the second of two classes; None means 0.5.
    :param weights: column that says how much each row counts; None means that all count alike.
    :param groups: column whose rows of one value stay on one side of a split; None for none.
    :param texts: those of the features that are used by their words.
    :param origin: where it comes from, if it was trained elsewhere; None if it was trained here.
    :param keeps: the version whose model it is, of which the probabilities alone were refitted; None if it was fitted anew.
    :param window: which of several windows it was fitted to; None for the only one. The split is that of the rows fitted.
    :param constant: whether it is the constant that may take the place of a champion that fails.
    """

    model: str
    candidate: str
    run_id: str
    version: str
    digest: str
    task: str
    target: str
    metric: str
    score: Number
    params: dict[str, Any]
    features: tuple[str, ...]
    dataset: DatasetVersion
    split: Split
    seconds: float
    trials: int = 1
    remarks: tuple[str, ...] = ()
    classes: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    classes_named: bool = Field(default=False, exclude_if=lambda named: not named)
    own_metrics: dict[str, OwnMetric] = Field(default_factory=dict, exclude_if=lambda own: not own)
    intervals: CalibratedIntervals | None = Field(default=None, exclude_if=lambda bounds: bounds is None)
    decision: DecisionRule | None = Field(default=None, exclude_if=lambda rule: rule is None)
    weights: str | None = Field(default=None, exclude_if=lambda column: column is None)
    groups: str | None = Field(default=None, exclude_if=lambda column: column is None)
    texts: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    origin: ForeignOrigin | None = Field(default=None, exclude_if=lambda origin: origin is None)
    keeps: str | None = Field(default=None, exclude_if=lambda version: version is None)
    window: WindowChoice | None = Field(default=None, exclude_if=lambda window: window is None)
    constant: bool = Field(default=False, exclude_if=lambda fallback: not fallback)


class ModelRef(Fact):
    """A registered version with the digest that its content must have.

    :param trained_through: last partition of its training data; None if unknown.
    """

    model: str
    version: str
    digest: str
    run_id: str
    trained_through: str | None = None

    @property
    def is_external(self) -> bool:
        """Whether another system has the version, and only its predictions are known."""
        return self.digest == EXTERNAL


class Evaluation(Fact):
    """The best candidate, judged on the holdout beside the champion.

    :param candidate: the candidate with the best inner score.
    :param champion: the champion; None if the model has no champion yet. A champion that cannot be read is an error.
    :param metrics: the candidate's metrics on the holdout.
    :param champion_metrics: the champion's metrics on the same rows.
    :param by_class: rows, precision, recall and F1 of the candidate for each class; empty for a regression.
    :param intervals: confidence interval of each of the candidate's metrics that has one.
    :param checks: every gate, and the blessing: that the candidate loads and predicts the same in a fresh process.
    :param leaderboard: inner score by candidate.
    :param unjudged: slices and groups with too few rows to be judged, in words; "" for none.
    :param left_out: rows of the holdout that are not judged by, because earlier rows are of their group.
    """

    model: str
    partition: str
    candidate: TrainedModel
    champion: ModelRef | None
    metrics: dict[str, Number]
    champion_metrics: dict[str, Number] = Field(default_factory=dict)
    by_class: dict[str, dict[str, Number]] = Field(default_factory=dict, exclude_if=lambda rows: not rows)
    intervals: Intervals = Field(default_factory=dict)
    checks: tuple[Check, ...]
    verdict: Verdict
    leaderboard: dict[str, Number]
    reason: str
    unjudged: str = ""
    left_out: int = Field(default=0, exclude_if=lambda rows: not rows)

    @model_validator(mode="after")
    def _says_what_its_checks_say(self) -> Self:
        refuse_contradiction("The evaluation", self.verdict, self.checks)
        return self


class Action(StrEnum):
    """What happened to the champion at one partition.

    ``restored`` means that the alias was put back after somebody had moved it outside of the ledger. ``challenging`` means
    that the candidate predicts beside the champion, which stays; ``dropped`` means that it no longer does so. ``adopted``
    and ``beside`` mean that a person has taken responsibility for a champion, or a challenger, that no gate has let through.
    ``recorded`` means that a candidate was judged for the record only, because later partitions had been decided already.
    """

    PROMOTED = "promoted"
    REFUSED = "refused"
    KEPT = "kept"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    RESTORED = "restored"
    CHALLENGING = "challenging"
    DROPPED = "dropped"
    ADOPTED = "adopted"
    BESIDE = "beside"
    RECORDED = "recorded"


class TrainingData(Fact):
    """The rows that a model version was trained on: ``start <= event time < cut`` of a dataset version.

    :param features: the columns that it was trained on.
    :param texts: those of them that it uses by their words.
    """

    dataset: DatasetVersion
    start: datetime
    cut: datetime
    features: tuple[str, ...]
    texts: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)


class PromotionDecision(Fact):
    """The decision on the champion at one partition; every partition has one, also if nothing changes.

    :param action: ``kept`` means that no retraining was due; ``refused`` that a candidate did not pass.
    :param before: champion's version before the decision; None if there was none.
    :param after: champion's version after the decision; None if there is none.
    :param digest: content digest of the version that an alias was moved to, or taken from.
    :param key: idempotency key: one promotion per key.
    :param trained_on: the training data of the version that was judged; None if there was none.
    :param approval: what people answered; None if nobody was asked.
    :param candidate: the version that was judged; None if there was none.
    """

    model: str
    partition: str
    action: Action
    before: str | None
    after: str | None
    digest: str | None = None
    checks: tuple[Check, ...] = ()
    metrics: dict[str, Number] = Field(default_factory=dict)
    champion_metrics: dict[str, Number] = Field(default_factory=dict)
    reason: str
    key: str = ""
    trained_on: TrainingData | None = None
    approval: ApprovalOutcome | None = None
    candidate: str | None = None


class HealthReport(Fact):
    """Health of the champion as of one partition.

    :param verdict: FAIL if drift, performance or staleness failed; INCONCLUSIVE if nothing could be measured.
    :param drift: the check on drift as a whole.
    :param columns: the check on drift of each column.
    :param performance: the check on quality, on labels that have matured since the last partition.
    :param staleness: the check on the number of partitions since the champion's training data ended.
    :param others: further checks, such as concept drift and estimated performance; they do not change the verdict.
    """

    model: str
    partition: str
    champion: ModelRef | None
    verdict: Verdict
    drift: Check
    columns: tuple[Check, ...] = ()
    performance: Check
    metrics: dict[str, Number] = Field(default_factory=dict)
    staleness: Check
    others: tuple[Check, ...] = ()
    reason: str

    @model_validator(mode="after")
    def _says_what_its_checks_say(self) -> Self:
        refuse_contradiction(
            "The health report", self.verdict, (self.drift, self.performance, self.staleness)
        )
        return self
