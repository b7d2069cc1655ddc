"""Whether the next decision trains, by the real retrain policy and what is recorded, and how long a training takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.preview import Effect, Outlook, Part
from airflow_mlops.domain.facts.retraining import RetrainDecision, suggested
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.learning.labels import labelled
from airflow_mlops.stages.decide import decide, decide_version
from airflow_mlops.stages.monitor import health
from airflow_mlops.stages.preview.data import concerns, sentence, span
from airflow_mlops.stages.train import split
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.preview import SpecChange
    from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.stores.registry.client import Client

RECIPE = ("train", "features", "target", "task", "classes", "decision", "transform", "labels.delay")
"""Fields that make another model of the same data."""
JUDGING = ("gates",)
"""Fields that decide whether a candidate becomes champion."""


class NextDecision(NamedTuple):
    """The next decision, as far as it is known now.

    :param partition: its key.
    """

    partition: str
    decision: RetrainDecision

    @property
    def trains(self) -> bool | None:
        """Whether a candidate is trained; None if a person decides."""
        return None if suggested(self.decision) else self.decision.retrain


def next_decision(
    spec: ModelSpec,
    storage: str,
    published: dict[str, DatasetVersion],
    champion: ModelRef | None,
    client: Client | None,
) -> NextDecision:
    """Apply a spec's retrain policy to the partition after the last one that was decided, by what is recorded so far.

    :param client: asked for the versions of ``train.elsewhere``; None where nothing was decided yet.
    :raises ModelNotFound: if such a version cannot be judged.
    :raises ModelRefused: if such a version is none of elsewhere.
    """

    def uri(table: str) -> str:
        return tables.uri_of(storage, spec.name, table)

    attempts = ledger.attempts(uri("ledger"))
    latest = published[max(published)]
    decided = ledger.latest_partition(uri("ledger"))
    key = latest.partition
    if decided is not None and decided >= key:
        key = Partition.parse(decided, latest.grain).shift(1).key
    # What the next partition holds is not known, and what it is decided by is there up to the last one.
    dataset = latest.model_copy(update={"partition": key})
    if spec.labels.source is not None:
        dataset = labelled.with_labels(dataset, uri("labels"), spec.target)
    reports = health.history(uri("monitoring"), key)
    if spec.train.elsewhere and client is not None:
        bounds = spec.train.holdout, spec.train.window, spec.labels.delay
        until_now = latest.model_copy(update={"labels": dataset.labels})
        judged = decide_version(
            client,
            model=spec.name,
            origin=spec.train.elsewhere,
            dataset=dataset,
            rows=ledger.rows(uri("ledger")),
            split=lambda: split.split_of(until_now, *bounds),
            champion=champion,
            health=reports,
            delay=spec.labels.delay,
            gates=spec.gates,
        )
        return NextDecision(key, judged)
    decision = decide(
        model=spec.name,
        dataset=dataset,
        champion=champion,
        policy=spec.retrain,
        health=reports,
        decisions=attempts,
        trainable=split.trainable(
            latest.model_copy(update={"labels": dataset.labels}),
            spec.train.holdout,
            spec.train.window,
            spec.labels.delay,
        ),
        delay=spec.labels.delay,
        gates=spec.gates,
        recalibrate=spec.train.recalibrate,
    )
    return NextDecision(key, decision)


def effect(outlook: Outlook, text: str) -> Effect:
    """Return an effect on training."""
    return Effect(part=Part.TRAINING, outlook=outlook, text=sentence(text))


def first_effects(spec: ModelSpec) -> list[Effect]:
    """Return what is trained first, where nothing is published."""
    if spec.train.elsewhere:
        text = f"The newest version of {spec.train.elsewhere} is judged as soon as there are enough rows to judge on"
        return [effect(Outlook.SAME, text)]
    names = ", ".join(candidate.name for candidate in spec.train.candidates)
    holdout = spec.train.holdout
    if isinstance(holdout, int):
        until = "partition" if holdout == 1 else f"{holdout} partitions"
    else:
        until = f"{holdout:.0%} of the rows"
    return [
        effect(
            Outlook.SAME,
            f"The first model is trained as soon as there are enough rows to learn from before the latest {until}, kept to judge "
            f"on; candidates: {names}",
        )
    ]


def effects(
    after: NextDecision,
    before: NextDecision | None,
    changes: Sequence[SpecChange],
    again: tuple[str, ...],
    spec: ModelSpec,
) -> list[Effect]:
    """Return what becomes of training.

    :param before: the same decision by the former spec; None if there is none.
    :param again: keys of partitions that are to be ingested again.
    """
    where, why = after.partition, after.decision.reason
    origin = spec.train.elsewhere
    words = {
        True: f"{where} judges a version of {origin}" if origin else f"{where} trains",
        False: f"{where} judges no version of {origin}" if origin else f"{where} does not train",
        None: f"At {where} a person is asked whether to train",
    }
    by = "by what is recorded so far"
    same = before is None or before.trains == after.trains
    rest = "" if same or before is None else f"; by the former spec: {before.decision.reason}"
    effects = [
        effect(Outlook.SAME if same else Outlook.CHANGES, f"{words[after.trains]} ({by}): {why}{rest}")
    ]
    if again:
        keys = f"{counted(len(again), 'partition')}, {span(again)},"
        effects.append(
            effect(
                Outlook.BREAKS,
                f"No training succeeds until {keys} {'was' if len(again) == 1 else 'were'} ingested again: other code has prepared "
                "them, and a model cannot learn from both",
            )
        )
    if concerns(changes, RECIPE) and not origin:
        hint = (
            "" if after.trains or again else f"; a run of {spec.name}.train with force: true trains at once"
        )
        effects.append(
            effect(
                Outlook.SAME, f"A changed recipe alone asks for no training: the next one follows it{hint}"
            )
        )
    if concerns(changes, JUDGING):
        effects.append(
            effect(Outlook.SAME, "Gates judge candidates only: the champion stays, whatever they ask for now")
        )
    return effects


def durations(client: Client, model: str) -> dict[str, tuple[str, float]]:
    """Return of each candidate the partition of its last training, and the seconds that this took.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    last: dict[str, tuple[str, float]] = {}
    versions = [version for version in registry.versions(client) if version.name == model]
    for version in sorted(versions, key=lambda version: int(version.version)):
        try:
            facts: dict[str, Any] = json.loads(registry.tags(client, version)["mlops.trained"])
            last[str(facts["candidate"])] = (str(version.tags["mlops.partition"]), float(facts["seconds"]))
        except (LookupError, ValueError, TypeError):
            continue  # registered by something else, or its artifact is gone
    return last


def time_effects(
    spec: ModelSpec, history: dict[str, tuple[str, float]], changes: Sequence[SpecChange]
) -> tuple[float | None, list[Effect]]:
    """Return the seconds of a training of all candidates, None if one of them has none, and that in words."""
    parts, missing = [], []
    for candidate in spec.train.candidates:
        if candidate.name not in history:
            missing.append(candidate.name)
            continue
        partition, seconds = history[candidate.name]
        is_former = concerns(changes, (f"train.candidates.{candidate.name}", "train.budget", "features"))
        parts.append(
            f"{candidate.name} took {seconds:,.1f} s at {partition}{' with its former settings' if is_former else ''}"
        )
    effects = []
    total = sum(
        history[candidate.name][1] for candidate in spec.train.candidates if candidate.name in history
    )
    if parts:
        effects.append(
            Effect(part=Part.TIME, outlook=Outlook.SAME, text=sentence(f"To train {', '.join(parts)}"))
        )
    if missing:
        never = f"{', '.join(missing)} {'has' if len(missing) == 1 else 'have'} never been trained"
        effects.append(
            Effect(
                part=Part.TIME,
                outlook=Outlook.UNKNOWN,
                text=sentence(f"How long a training takes is not known, because {never}"),
            )
        )
    return (None if missing else total), effects
