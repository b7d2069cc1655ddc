"""Reproduce: train a version again from the data and the recipe recorded with it, and compare."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import TrainedModel
from airflow_mlops.domain.metrics import find
from airflow_mlops.exceptions import (
    ModelNotFound,
    NotReproduced,
    SchemaMismatch,
    TableMissing,
    TableUnreadable,
)
from airflow_mlops.learning.labels import groups, labelled, weights
from airflow_mlops.learning.models import (
    classes,
    code,
    estimators,
    intervals,
    own_metrics,
    pipeline,
    skops_file,
    thresholds,
)
from airflow_mlops.learning.statistics import coverage, measures
from airflow_mlops.stages.reproduce import environments
from airflow_mlops.stages.train import jobs, recalibration, train
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import elsewhere, registry, tracking
from airflow_mlops.stores.tables import digests, tables

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.stores.registry.client import Client

_TRAINED = "mlops.trained"


class Record(NamedTuple):
    """The record of a registered version.

    :param holdout: the version's metrics when it was evaluated; empty if it never was.
    :param tags: the version's tags.
    """

    trained: TrainedModel
    registered_at: datetime
    holdout: dict[str, float]
    tags: Mapping[str, str]


class Reproduction(NamedTuple):
    """The outcome of a training that was repeated.

    :param digest: digest of the new model.
    :param environment: checks of whether the training's environment is the same here; a difference may explain another
        model, and says what to put back.
    :param outcome: checks of whether digest and holdout metrics are those of the version.
    """

    record: Record
    digest: str
    environment: tuple[Check, ...]
    outcome: tuple[Check, ...]
    seconds: float

    @property
    def reproduced(self) -> bool:
        """Whether the new model has the content of the version, and predicts as well."""
        return all(check.verdict is not Verdict.FAIL for check in self.outcome)


def record(client: Client, model: str, number: str, digest: str | None = None) -> Record:
    """Return the record of a registered version.

    :param digest: the digest that the ledger has of it; None if it has none.
    :raises ModelNotFound: if there is no such version, or if its training is not recorded.
    :raises DigestMismatch: if no digest is recorded for it, or another one.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    ref = registry.version(client, model, number, digest)
    registered_at, tags = registry.registration(client, ref)
    training = registry.training(client, ref)
    with damage.errors(f"How version {number} of {model!r} was trained", ModelNotFound):
        facts = json.loads(tags[_TRAINED])
        parts = {"dataset": training.dataset, "split": training.split, "version": ref.version}
        trained = TrainedModel.model_validate({**facts, **parts, "digest": ref.digest})
    return Record(trained, registered_at, training.metrics, tags)


def reproduce(
    client: Client,
    model: str,
    number: str,
    tell: Callable[[str], None] = lambda step: None,
    folders: Iterable[Path] = (),
) -> Reproduction:
    """Train a version again and compare the new model with the registered one; nothing is logged or written.

    On the same machine with the same packages the digests are equal. Elsewhere they may differ in the last bits of
    numbers; the metrics then tell whether that matters. Of the data, the digest of the last partition and the number of
    rows are verified: values that were changed in an earlier partition make another model too.

    :param tell: called with each step, in words, when it begins.
    :param folders: folders with the code that may be run. The code's name comes from a tag in MLflow, and people who can
        write tags could name any installed function; so code outside of these folders is not imported.
    :raises NotReproduced: if the version has no recipe, if its data no longer exists, or if it was built by a function
        outside of the folders.
    :raises ModelNotFound: if there is no such version.
    :raises TrainingFailed: if the candidate cannot be built or fitted here.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    began = monotonic()
    tell(f"Reading what {model} version {number} was made of")
    recorded = record(client, model, number)
    folders = tuple(folders)
    recipe, trained = _recipe(recorded, folders), recorded.trained
    dataset, split = recipe.dataset, recipe.split
    environment = tuple(environments.compare(client, recorded.trained.run_id, recorded.tags, folders))
    tell(f"Verifying {dataset.partition} of {dataset.name} version {dataset.version} by its digest")
    rows = _rows(recipe)
    tell(f"Fitting {trained.candidate} to {split.train_rows:,} rows")
    fitted = (
        recalibration.fit(client, recipe, rows) if recipe.keeps else train.fit(rows, recipe, trained.params)
    )
    tell("Comparing digest and holdout metrics")
    digest = _digest(fitted)
    # Like the code of a candidate, that of a metric is named by a tag.
    inside = {
        name: own for name, own in recipe.own_metrics.items() if not code.outside(own.function, folders)
    }
    with own_metrics.known(inside, recipe.task):
        outcome = (_same(trained.digest, digest), *_metrics(recorded, recipe, rows, fitted))
    return Reproduction(recorded, digest, environment, outcome, monotonic() - began)


def _recipe(recorded: Record, folders: tuple[Path, ...]) -> Recipe:
    ref, text = recorded.trained, recorded.tags.get(jobs.RECIPE)
    whose = f"ersion {ref.version} of {ref.model!r}"
    if text is None and (origin := recorded.tags.get(elsewhere.ORIGIN)):
        raise NotReproduced(f"V{whose} was trained elsewhere, as {origin}, and cannot be trained again here.")
    if text is None:
        raise NotReproduced(
            f"V{whose} has no tag {jobs.RECIPE}: it was registered before recipes were kept. Versions that are trained from "
            "now on have one."
        )
    try:
        recipe = Recipe.model_validate_json(text)
    except ValueError as error:
        raise NotReproduced(f"The recipe of v{whose} cannot be read: {error}") from error
    if estimators.is_function(recipe.candidate) and (
        why := code.outside(recipe.candidate.estimator, folders)
    ):
        raise NotReproduced(f"V{whose} was built by {recipe.candidate.estimator}, which is not called: {why}")
    return recipe


def _rows(recipe: Recipe) -> pa.Table:
    """Return the rows that the training read, after verifying that they are the same."""
    dataset = recipe.dataset
    what = f"Version {dataset.version} of {dataset.name!r} at {dataset.uri}"
    with _readable(what, dataset.name):
        content = digests.of(
            tables.batches(dataset.uri, version=dataset.version, partition=dataset.partition)
        )
    if content != dataset.digest:
        raise NotReproduced(
            f"{what} is not the data of this training: partition {dataset.partition} has the digest {content[:12]}…, "
            f"and had {dataset.digest[:12]}…. The table was made anew or changed by hand."
        )
    rows = _labelled(recipe, what)
    _count(what, rows, recipe)
    return rows


def _labelled(recipe: Recipe, data: str) -> pa.Table:
    dataset, split = recipe.dataset, recipe.split
    labels = dataset.labels
    if labels is None:
        # Files of earlier partitions may be gone, too.
        with _readable(data, dataset.name):
            return labelled.read(dataset, since=split.start, until=split.end)
    what = f"Version {labels.version} of the labels at {labels.uri}"
    try:
        rows = labelled.read(dataset, since=split.start, until=split.end)
        sealed = labelled.seal(dataset, split.start, split.end)
    except (TableMissing, TableUnreadable, FileNotFoundError, SchemaMismatch) as error:
        raise NotReproduced(f"{what} cannot be read any more: {error}") from error
    if sealed != dataset:
        raise NotReproduced(f"{what} are not those of this training: their table was changed.")
    return rows


@contextmanager
def _readable(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except (TableMissing, TableUnreadable, FileNotFoundError) as error:
        raise NotReproduced(
            f"{what} cannot be read any more: {error} A vacuum keeps what champions were trained on, and of other "
            f"versions what its --days say; an erasure (`airflow mlops erasures {name}`) takes every version that held the "
            "rows; a table that was moved has to be put back."
        ) from error


def _count(what: str, rows: pa.Table, recipe: Recipe) -> None:
    import pyarrow.compute as pc

    split = recipe.split
    if recipe.dataset.labels is not None:
        rows = rows.filter(rows[recipe.target].is_valid())
    before = pc.sum(pc.less(rows[recipe.dataset.event_time], split.cut)).as_py() or 0
    if (before, rows.num_rows - before) != (split.train_rows, split.holdout_rows):
        raise NotReproduced(
            f"{what} is not the data of this training: it has {before:,} rows to train on and {rows.num_rows - before:,} "
            f"held out, and had {split.train_rows:,} and {split.holdout_rows:,}."
        )


def _digest(fitted: Pipeline) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / tracking.MODEL_FILE
        skops_file.save(fitted, path)
        return skops_file.digest(path)


def _same(expected: str, digest: str) -> Check:
    same = expected == digest
    reason = f"{digest[:12]}… is {'' if same else 'not '}{expected[:12]}…"
    return environments.same("digest", same, "the model of the version, content for content", reason)


def _metrics(recorded: Record, recipe: Recipe, rows: pa.Table, fitted: Pipeline) -> Iterator[Check]:
    import pyarrow.compute as pc

    if not recorded.holdout:
        reason = (
            "this version was never evaluated: another candidate ranked above it, or the run ended before"
        )
        yield Check(name="metrics", verdict=Verdict.INCONCLUSIVE, expected="recorded metrics", reason=reason)
        return
    holdout = rows.filter(pc.greater_equal(rows[recipe.dataset.event_time], recipe.split.cut))
    names = classes.of(fitted).names
    holdout, _ = pipeline.labelled(holdout, recipe.target, recipe.task, names)
    if recipe.groups is not None:
        dataset = recipe.dataset
        earlier = labelled.read(dataset, columns=[dataset.event_time, recipe.groups], until=recipe.split.cut)
        holdout = groups.of_new_groups(holdout, earlier, recipe.groups, dataset.event_time, recipe.split)
    labelled_rows, truth = pipeline.labelled(holdout, recipe.target, recipe.task, names)
    frame = pipeline.frame(labelled_rows, pipeline.features_of(fitted))
    predicted, bounds = intervals.predict(fitted, frame, recipe.task)
    named = [name for name in recorded.holdout if find(name)]
    costs = recipe.decision.counted(names) if recipe.decision else None
    rule = thresholds.of(fitted, costs=costs)
    weighed = weights.of(labelled_rows, recipe.weights, recipe.dataset.key)
    measured = measures.metrics(truth, predicted, recipe.task, named, rule=rule, weights=weighed)
    measured |= coverage.values(truth, *bounds) if bounds else {}
    for name, metric in recorded.holdout.items():
        # MLflow keeps an infinite metric as the greatest number that there is.
        before = metric if abs(metric) < sys.float_info.max else None
        yield _metric(name, before, measured, labelled_rows.num_rows)


def _metric(name: str, before: float | None, measured: Mapping[str, float | None], rows: int) -> Check:
    was, now = _shown(before), measured.get(name)
    if name not in measured:
        verdict, reason = (
            Verdict.INCONCLUSIVE,
            f"it was {was}, and is not among the metrics that are measured here",
        )
    else:
        same = now is before or (
            now is not None and before is not None and math.isclose(now, before, rel_tol=1e-9, abs_tol=1e-12)
        )
        verdict, reason = Verdict.PASS if same else Verdict.FAIL, f"{_shown(now)}, and was {was}"
    return Check(
        name=name, verdict=verdict, expected=was, reason=reason, observed=now, baseline=before, n=rows
    )


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"
