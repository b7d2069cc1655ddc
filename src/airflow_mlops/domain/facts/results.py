"""Facts: what each stage found. Frozen, without behaviour, and the same dict everywhere they travel."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from airflow_mlops.domain.checks import Check, Fact, Number, Verdict
from airflow_mlops.domain.facts.approval import ApprovalOutcome


class Difference(Fact):
    """What a new version of a partition changed against the one before, in rows told apart by key."""

    added: int
    removed: int
    changed: int


class LabelsVersion(Fact):
    """The labels of a dataset that come from a source of their own, as a run of one partition knows them.

    :param uri: URI of the Delta table of labels.
    :param target: its column with the label.
    :param version: Delta version; None if nobody had written a label.
    :param until: labels count that were known before; None counts all that the version has.
    :param digest: sha256 of the labels that a training, or a replay, has used; None before they are.
    """

    uri: str
    target: str
    version: int | None
    until: datetime | None = None
    digest: str | None = None


class DatasetVersion(Fact):
    """One partition of a Delta table at one version: what a dataset version is.

    :param name: dataset name.
    :param uri: URI of the Delta table.
    :param version: Delta version; reading it again gives the same rows for ever.
    :param grain: length of a partition.
    :param partition: key of the partition this version published.
    :param rows: rows of that partition.
    :param digest: sha256 of that partition's content.
    :param columns: column name to Arrow type.
    :param key: columns that identify a row.
    :param event_time: column of event time.
    :param changed: False if the same content was already there, so that nothing was written.
    :param transform: what prepared the features, as ``module:function@digest``; None if nothing did.
    :param difference: against the version of the partition before; None if it is the first.
    :param labels: where the labels of its rows are; None if they are a column of the data, or nobody has asked.
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


class Coverage(Fact):
    """Which partitions of a dataset are published.

    :param first: key of the first partition; None if there is none.
    :param watermark: the last partition before which none is missing; None if there is none.
    :param last: key of the last partition.
    :param gaps: partitions between first and last that are not published.
    """

    partitions: int
    first: str | None
    watermark: str | None
    last: str | None
    gaps: tuple[str, ...] = ()


class Split(Fact):
    """Training and holdout rows by event time: ``start <= train < cut <= holdout < end``.

    :param end: as-of bound; labels of later rows had not matured.
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
    :param score: that metric on the inner, time-ordered validation rows; never the holdout. None also if the candidate
        was the only one, and so was not ranked.
    :param params: the chosen hyperparameters.
    :param trials: combinations of parameters that were tried.
    :param remarks: what a person should know of the fit, such as that it did not converge.
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


class ModelRef(Fact):
    """A registered version with the digest that it must have.

    :param trained_through: partition up to which it has seen data; None if unknown.
    """

    model: str
    version: str
    digest: str
    run_id: str
    trained_through: str | None = None


class Evaluation(Fact):
    """The best candidate, judged on the holdout beside the champion.

    :param candidate: the candidate with the best inner score.
    :param champion: None if the model has no champion yet (never if it could not be read).
    :param metrics: the candidate's holdout metrics.
    :param champion_metrics: the champion's on the same rows.
    :param intervals: confidence interval of each of the candidate's metrics that has one.
    :param checks: every gate, and the blessing: that the candidate loads and predicts alike in a fresh process.
    :param leaderboard: inner score by candidate.
    :param unjudged: slices and groups with too few rows to be judged, in words; "" for none.
    """

    model: str
    partition: str
    candidate: TrainedModel
    champion: ModelRef | None
    metrics: dict[str, Number]
    champion_metrics: dict[str, Number] = Field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    checks: tuple[Check, ...]
    verdict: Verdict
    leaderboard: dict[str, Number]
    reason: str
    unjudged: str = ""


class Action(StrEnum):
    """What became of the champion at one partition.

    ``restored`` is the alias put back after it was moved outside of the ledger. A candidate that is ``challenging``
    predicts beside the champion, which stays; one that is ``dropped`` does so no longer.
    """

    PROMOTED = "promoted"
    REFUSED = "refused"
    KEPT = "kept"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    RESTORED = "restored"
    CHALLENGING = "challenging"
    DROPPED = "dropped"


class TrainingData(Fact):
    """The rows that a version learned from: ``start <= event time < cut`` of a dataset version.

    :param features: the columns that it learned from.
    """

    dataset: DatasetVersion
    start: datetime
    cut: datetime
    features: tuple[str, ...]


class PromotionDecision(Fact):
    """The decision on one partition, never silent.

    :param action: ``kept`` means that no retraining was due; ``refused`` that a candidate did not pass.
    :param before: champion's version before; None if there was none.
    :param after: champion's version after.
    :param digest: of the content of the version that an alias was moved to, or taken from.
    :param key: idempotency key: one promotion per key.
    :param trained_on: what the version that was judged has learned from; None if there was none.
    :param approval: what people said; None if nobody was asked.
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
    :param drift: overall drift.
    :param columns: drift of each column.
    :param performance: quality on labels that have matured since the last partition.
    :param staleness: partitions since the champion's training data ended.
    :param others: further checks, such as concept drift and what performance is estimated to be; they decide nothing by
        themselves.
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


class GuardReport(Fact):
    """Whether the champion is the one that it should be.

    :param alias: PASS if the alias is where the ledger has put it.
    :param probation: FAIL if a new champion is worse than the one before on rows whose labels have matured since.
    :param restored: the move that followed: alias moved back, or rollback; None if there was none.
    """

    model: str
    partition: str
    alias: Check
    probation: Check
    restored: PromotionDecision | None = None
    reason: str


class RetrainDecision(Fact):
    """Whether to retrain at one partition, rule by rule.

    :param checks: every rule of the policy; FAIL means that the rule asks for retraining.
    :param dataset: the data to train on, pinned.
    """

    model: str
    partition: str
    retrain: bool
    checks: tuple[Check, ...]
    dataset: DatasetVersion
    reason: str
