"""Take in: make a model that was trained elsewhere a version of ours, which everything else then treats as one."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.origin import ForeignOrigin
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, Split, TrainedModel
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.exceptions import ModelRefused, SchemaMismatch, UntrustedModel
from airflow_mlops.learning.bless import sample
from airflow_mlops.learning.elsewhere import process, span, stored
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import models, pipeline, transform
from airflow_mlops.stages.train import jobs
from airflow_mlops.stages.train.jobs import TRAINED
from airflow_mlops.stages.train.recipe import derive_features
from airflow_mlops.stages.train.train import trained_of
from airflow_mlops.stores.registry import elsewhere, registration, registry, tracking

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.learning.elsewhere.process import Converted
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.elsewhere import ForeignVersion

log = logging.getLogger(__name__)


class Intake(NamedTuple):
    """How models that were trained elsewhere are taken in.

    :param model: name to register them under.
    :param features: features by their use; None takes every column but key, event time, target and the like.
    :param groups: column whose rows of one value stay on one side of a split; None for none.
    :param trust: ``pickle`` if files may be loaded that run code.
    """

    model: str
    question: Question
    features: Features | None = None
    groups: str | None = None
    trust: Literal["skops", "pickle"] = "skops"

    @classmethod
    def of(cls, spec: ModelSpec) -> Intake:
        """Return how the versions that a spec names are taken in."""
        return cls(spec.name, Question.of(spec), spec.features, spec.train.groups, spec.train.trust)


class _Taken(NamedTuple):
    fitted: Pipeline
    converted: Converted
    origin: ForeignOrigin


def take_in(
    intake: Intake,
    foreign: ForeignVersion,
    *,
    client: Client,
    dataset: DatasetVersion,
    split: Split,
    key: str,
    tags: Mapping[str, str],
    artifacts: str | None = None,
    until: datetime | None = None,
) -> TrainedModel:
    """Register a version that was trained elsewhere once more, as one of ours; a second call with the same key returns the first.

    It is loaded once, in a process of its own, tried on rows of the data, and stored as skops with a digest. The rows before
    the holdout become its reference: what drift is measured against.

    :param split: of the dataset; the holdout begins later where the version may have learned from its rows. Without a holdout
        the version is judged by nobody.
    :param key: idempotency key.
    :param tags: further tags of the run and the version.
    :param artifacts: see :func:`airflow_mlops.stores.registry.tracking.experiment`.
    :param until: it has learned from no row from then on, as a person says; None takes the version's tag ``trained_until`` or,
        without one, the time of its registration.
    :raises ModelRefused: if it may not or cannot be loaded, or is not for the task.
    :raises SchemaMismatch: if it needs other columns, predicts otherwise from them, or tells other classes apart.
    :raises UntrustedModel: if it holds types that no model of ours may hold.
    :raises NotEnoughData: if too few rows are left to judge it on.
    :raises ModelNotFound: if its file is gone.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    model = intake.model
    began = monotonic()
    source: Literal["tag", "person", "registration"] = "person"
    if until is None:
        until, source = span.until_of(foreign, dataset.grain)
    if split.holdout_rows:
        split = span.after(split, dataset, until)
    dataset = labelled.seal(dataset, split.start, split.end)
    key = f"{key}/{_identity(intake, foreign, dataset, split, until)}"
    if (former := registration.only_version(client, model, key)) is not None:
        log.info("Version %s of %s was taken in under this key already.", former.version, model)
        return trained_of(registry.tags(client, former), former.version)
    prepared = transform.of_training(dataset, split)
    features = intake.features or derive_features(
        dataset, intake.question.target, (intake.question.weights, intake.groups)
    )
    target = intake.question.target
    rows = labelled.read(dataset, columns=[*features.names, target], since=split.start, until=split.end)
    with TemporaryDirectory() as folder:
        taken = _load(intake, foreign, features, rows, client, Path(folder), until, source)
    taken_features = Features.model_validate(taken.converted.features)
    _refuse_other_labels(intake, foreign, taken.converted.classes, rows)
    # A version of ours that was trained until the cut would have seen the rows up to it.
    learned = min(until, split.cut)
    name = f"{foreign.model} {foreign.number}"
    short = jobs.short_tags(name, dataset, learned, target, intake.question.task, prepared)
    short |= {elsewhere.ORIGIN: foreign.origin, registry.UNTIL: until.isoformat(), **tags}
    experiment_id = tracking.experiment(client, model, artifacts)
    with registration.whole(client, model, key), tracking.run(client, experiment_id, name, key, short) as run:
        tracking.log_params(
            client, run.info.run_id, {"origin": foreign.origin, "format": taken.origin.format}
        )
        logged = models.log(
            client,
            run,
            model,
            taken.fitted,
            taken_features,
            intake.question.task,
            {transform.FILE: prepared.source} if prepared else {},
        )
        predicted = sample.predicted(
            taken.fitted, rows.select(list(taken_features.names)), intake.question.task
        )
        sample_digest = sample.keep(client, run.info.run_id, predicted)
        facts = _facts(intake, name, taken, taken_features, run.info.run_id, logged.digest)
        facts["seconds"] = round(monotonic() - began, 3)
        long = {
            **jobs.data_tags(dataset, taken_features, split, prepared),
            registry.DIGEST: logged.digest,
            registry.CLASSES: json.dumps(taken.converted.classes),
            sample.DIGEST_TAG: sample_digest,
            elsewhere.ESTIMATORS: json.dumps(taken.converted.estimators),
            TRAINED: json.dumps(facts),
        }
        version = registration.register(
            client,
            model,
            key=key,
            source=logged.location,
            run_id=run.info.run_id,
            model_id=logged.model_id,
            tags={**short, **long},
        )
    log.info("%s version %s: taken in from %s.", model, version, foreign.name)
    return trained_of({**short, **long}, version)


def _identity(
    intake: Intake, foreign: ForeignVersion, dataset: DatasetVersion, split: Split, until: datetime
) -> str:
    """Return a digest of all that decides what comes out: if a spec is corrected, its version is taken in anew."""
    features = intake.features.model_dump_json() if intake.features else ""
    data = labelled.content(dataset).model_dump_json(), split.model_dump_json()
    parts = (
        foreign.origin,
        foreign.location,
        intake.question.model_dump_json(),
        features,
        intake.groups,
        *data,
        until,
    )
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _load(
    intake: Intake,
    foreign: ForeignVersion,
    features: Features,
    rows: pa.Table,
    client: Client,
    folder: Path,
    until: datetime,
    source: Literal["tag", "person", "registration"],
) -> _Taken:
    import pyarrow.parquet as pq

    text = elsewhere.fetch(client, foreign, stored.FILE, folder).read_text(encoding="utf-8", errors="replace")
    description = stored.read(text, foreign.name)
    stored.refuse(description, foreign.name, intake.trust)
    file = elsewhere.fetch(client, foreign, description.file, folder)
    examples, out = folder / "rows.parquet", folder / "taken" / tracking.MODEL_FILE
    out.parent.mkdir()
    pq.write_table(
        rows.select(list(features.names)).slice(max(0, rows.num_rows - sample.ROWS)),
        examples,
    )
    kinds = {name: kind for kind, names in features.kinds.items() for name in names}
    try:
        converted = process.convert(
            file, out, form=description.format, task=intake.question.task, columns=description.columns, kinds=kinds,
            classes=intake.question.classes, sample=examples,
        )  # fmt: skip
    except (ModelRefused, SchemaMismatch, UntrustedModel) as error:
        raise type(error)(f"{foreign.name} cannot be taken in: {error}.") from error
    origin = ForeignOrigin(
        model=foreign.model,
        version=foreign.number,
        until=until,
        source=source,
        format=description.format,
        digest=hashlib.sha256(file.read_bytes()).hexdigest(),
    )
    return _Taken(models.load(out, models.digest(out)), converted, origin)


def _refuse_other_labels(intake: Intake, foreign: ForeignVersion, own: list[str], rows: pa.Table) -> None:
    """Refuse a classifier whose classes are not those of the labels."""
    question = intake.question
    _, labels = pipeline.labels(rows, question.target, question.task)
    if question.task != "classification" or not labels.size:
        return
    names = label_classes.in_order(labels, question.target)
    strange = [name for name in names if name not in own]
    if strange and (len(own) == len(BINARY) or len(strange) == len(names)):
        raise SchemaMismatch(
            f"{foreign.name} cannot be taken in: it tells apart {', '.join(own)}, and {question.target!r} of the data is also "
            f"{', '.join(strange)}."
        )


def _facts(
    intake: Intake, name: str, taken: _Taken, features: Features, run_id: str, digest: str
) -> dict[str, Any]:
    question = intake.question
    facts: dict[str, Any] = {
        "model": intake.model, "candidate": name, "run_id": run_id, "digest": digest, "task": question.task,
        "target": question.target, "metric": question.metric, "score": None, "params": {}, "features": features.names,
        "classes": taken.converted.classes, "classes_named": bool(question.classes), "origin": taken.origin.to_dict(),
        "own_metrics": {name: own.to_dict() for name, own in question.own_metrics.items()},
    }  # fmt: skip
    settings = {"weights": question.weights, "groups": intake.groups, "texts": features.kinds.get("text")}
    return facts | {name: fact for name, fact in settings.items() if fact}
