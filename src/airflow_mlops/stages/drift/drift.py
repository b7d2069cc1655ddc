"""Drift as of one partition: its data compared with the data that the champion was trained on."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.policies import monitoring
from airflow_mlops.exceptions import TableMissing, TableUnreadable
from airflow_mlops.learning.pictures import pictures
from airflow_mlops.learning.summaries.summary import Column
from airflow_mlops.stages.drift import compare, windows
from airflow_mlops.stages.drift.page import render
from airflow_mlops.stages.drift.reference import PREDICTION, TARGET, DriftReference, read
from airflow_mlops.stores.registry import artifacts

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import DriftPolicy
    from airflow_mlops.stores.registry.client import Client

_log = logging.getLogger(__name__)


def drift(
    client: Client,
    *,
    dataset: DatasetVersion,
    champion: ModelRef | None,
    policy: DriftPolicy,
    summaries_uri: str,
    predictions_uri: str | None = None,
    target: str | None = None,
    delay: timedelta = timedelta(0),
    seen: Collection[str] = (),
    page: bool = True,
) -> compare.Drift:
    """Compare a partition, or the window that ends with it, with the champion's training data.

    Features are judged. The champion's predictions are compared with its predictions of its own training
    rows, and the labels that matured in the window with those of the training rows; both are reported as
    ``drift.prediction`` and ``drift.target`` (``drift.<prediction>`` and ``drift.<target>`` if a feature has
    that name) and do not count in the share of drifted columns. No row is read twice: summaries of the
    training data are kept with the champion's run, summaries of partitions at ``summaries_uri``.

    :param champion: None if the model has no champion; drift is then INCONCLUSIVE, without a page.
    :param summaries_uri: URI of the Delta table of summaries, which is created if it does not exist.
    :param predictions_uri: URI of the Delta table of predictions; None leaves predictions out.
    :param target: column with the label; None leaves labels out, and so does data without that column.
    :param delay: time from an event until its label can be known.
    :param seen: keys of partitions that the champion is known to do well on: a feature that is as in one of them has not drifted.
    :param page: whether to draw a page and a picture too.
    """
    if champion is None:
        return compare.Drift(monitoring.no_champion("drift"), (), "")
    window = windows.of(dataset, policy.window)
    title = f"{champion.model} {window} against version {champion.version}"
    try:
        groups = window.seasons(policy.season)
        reference = read(client, champion, season=policy.season, groups=groups)
    except (TableMissing, TableUnreadable) as error:
        return _no_reference(champion, error, title, page)
    now = windows.features(window, reference.training.features, summaries_uri)
    # A feature may be called "prediction" or "target" too.
    names = {name: f"<{name}>" if name in now else name for name in ("prediction", "target")}
    extra: dict[str, tuple[Column, Column]] = {}
    if predictions_uri is not None:
        many = len(reference.training.classes) > len(BINARY)
        predicted = windows.predictions(window, champion, predictions_uri, summaries_uri, many=many)
        extra |= _beside(names["prediction"], reference, PREDICTION, predicted)
    if target is not None:
        classes = reference.training.task == "classification"
        labels = windows.target(window, target, delay, classes=classes)
        extra |= _beside(names["target"], reference, TARGET, labels)
    return compare.compare(
        {name: reference.columns[name] for name in now},
        now,
        policy=policy,
        title=title,
        seen={
            str(part): windows.features(part, reference.training.features, summaries_uri, as_of=dataset)
            for part in _comparable(window, seen, policy)
        },
        extra=extra,
        importance=_importance(client, champion),
        page=page,
    )


def _comparable(
    window: windows.DriftWindow, seen: Collection[str], policy: DriftPolicy
) -> list[windows.DriftWindow]:
    """Return the partitions among those that were seen that are of the season, and not among those that are judged."""
    earlier = set(seen) - {part.partition for part in window.partitions}
    parts = (
        [windows.DriftWindow((part,)) for part in windows.published(window.last, earlier)] if earlier else []
    )
    groups = window.seasons(policy.season) or set()
    return [part for part in parts if (part.seasons(policy.season) or set()) <= groups]


def _beside(
    name: str, reference: DriftReference, column: str, now: Column | None
) -> dict[str, tuple[Column, Column]]:
    return {} if now is None else {name: (reference.columns[column], now)}


def _no_reference(champion: ModelRef, error: Exception, title: str, page: bool) -> compare.Drift:
    overall = Check(
        name="drift",
        verdict=Verdict.INCONCLUSIVE,
        expected="the data that the champion was trained on",
        reason=f"no summary of what version {champion.version} was trained on is kept with its run, and the data is "
        f"gone: {error} Train again, or restore it.",
    )
    return compare.Drift(overall, (), render(title, (overall,), {}, 1.0) if page else "")


def _importance(client: Client, champion: ModelRef) -> dict[str, float] | None:
    """Return the importance of each feature from the champion's evaluation; None if missing or damaged."""
    path = f"{pictures.FOLDER}/{pictures.IMPORTANCE}"
    content = artifacts.read(client, champion.run_id, path)
    if content is None:
        return None
    try:
        return {name: float(value) for name, value in json.loads(content).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        # The reason of the verdict says that no importance is known.
        _log.warning("%s of run %s is damaged: %s", path, champion.run_id, type(error).__name__)
        return None
