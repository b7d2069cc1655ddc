"""Score: predict one partition with the champion, once, and with a challenger beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.facts.scoring import ScoringReport, ShadowReport
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    RegistryUnavailable,
    TransformFailed,
    UntrustedModel,
)
from airflow_mlops.learning.models import transform
from airflow_mlops.stages.score import batches, run
from airflow_mlops.stages.score.beside import shadow_report
from airflow_mlops.stages.score.run import Beside, ScoringPlan
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.registry.champions import Standing

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client

__all__ = ["Beside", "champion_for", "score", "standing_for"]


def champion_for(client: Client, ledger_uri: str, model: str, partition: str) -> ModelRef | None:
    """Return the champion that partition ``partition`` is scored and judged with.

    The errors are those of :func:`standing_for`.
    """
    return standing_for(client, ledger_uri, model, partition).champion


def standing_for(client: Client, ledger_uri: str, model: str, partition: str) -> Standing:
    """Return the champion of a partition, with the digest that the ledger has recorded, and what is wrong with its alias.

    A partition at the live edge gets the ledger's champion, wherever somebody has moved the alias. A partition that has been
    decided on already is being replayed, and gets the champion of that time. So does a partition at which the champion
    was rolled back: it is judged with the version that it was scored with.

    :raises DigestMismatch: if the version has another digest than the ledger, or if nothing in the ledger has made it
        champion: see :func:`airflow_mlops.stores.registry.champions.current`.
    :raises ModelNotFound: if the champion of that time is gone.
    :raises RegistryUnavailable: if MLflow does not answer, which is never the same as having no champion.
    """
    rows = ledger.rows(ledger_uri)
    if ledger.reached(rows, partition):
        return Standing(champions.as_of(client, rows, model, partition), live=False)
    return champions.current(client, ledger_uri, model)


def score(
    client: Client,
    *,
    model: str,
    dataset: DatasetVersion,
    champion: ModelRef | None,
    task: str,
    uri: str,
    beside: Beside | None = None,
    split: float | None = None,
    now: datetime | None = None,
) -> ScoringReport:
    """Write the champion's predictions of one partition to the Delta table at ``uri``, in batches of bounded memory.

    The table has the dataset's key and event time, ``score`` and, for some estimators, its bounds, the model version, model
    digest, dataset version and dataset digest that made it, and the time of scoring. If the same models have predicted
    the same data already, nothing is written.

    A challenger that fails is reported and never stops the champion, which then serves every row.

    :param beside: a challenger that predicts the same rows; None for none.
    :param split: share of the keys that the challenger serves, if there is one; None if the champion serves all.
    :param now: the time of scoring; None means the current time.
    :raises DigestMismatch: if the champion's bytes are not those that were trained.
    :raises TransformFailed: if other code has prepared the features than those that the champion learned from.
    :raises SchemaMismatch: if a feature that the champion needs is missing or of another type.
    """

    classes: dict[str, tuple[str, ...]] = {}

    def report(rows: int, written: bool, reason: str, shadow: ShadowReport | None = None) -> ScoringReport:
        return ScoringReport(
            model=model, dataset=dataset, partition=dataset.partition, rows=rows, champion=champion, uri=uri,
            written=written, reason=reason, shadow=shadow, classes=classes,
        )  # fmt: skip

    if champion is None:
        return report(0, False, "there is no champion yet, so nothing is scored")
    if beside is not None and beside.challenger.version == champion.version:
        beside = None
    plan = ScoringPlan(dataset, champion, uri, beside, split)
    written, problem = _done(client, plan, task, now)
    if task == "classification":
        serving = (
            (champion, beside.challenger) if beside and split is not None and not problem else (champion,)
        )
        orders = {ref.version: registry.training(client, ref).classes for ref in serving}
        classes |= {version: order for version, order in orders.items() if len(order) > len(BINARY)}
    sentence = f"scored with version {champion.version}"
    if not written:
        sentence = f"version {champion.version} has scored this data already"
    if not dataset.rows:
        sentence = "the partition has no rows"
    if beside is None:
        return report(dataset.rows, written, sentence)
    challenger = beside.challenger
    sentence += f", version {challenger.version} beside it" + (f" has failed: {problem}" if problem else "")
    if problem:
        shadow = ShadowReport(
            version=challenger.version, digest=challenger.digest, uri=beside.uri, rows=0, problem=problem
        )
    else:
        served = run.served_by_challenger(plan)
        shadow = shadow_report(beside.uri, dataset.partition, challenger, task, served)
    return report(dataset.rows, written, sentence, shadow)


def _done(client: Client, plan: ScoringPlan, task: str, now: datetime | None) -> tuple[bool, str]:
    """Return whether anything was written, and why the challenger failed; "" if it did not."""
    if run.is_done(plan):
        return False, ""
    problem = _pass(client, plan, task, now)
    if not problem:
        return True, ""
    return _done(client, replace(plan, beside=None), task, now)[0], problem


def _pass(client: Client, plan: ScoringPlan, task: str, now: datetime | None) -> str:
    transform.check_scoring(client, plan.dataset, plan.champion)
    champion = batches.scorer(client, plan.champion, task)
    challenger = None
    if plan.beside is not None:
        try:
            transform.check_scoring(client, plan.dataset, plan.beside.challenger)
            challenger = batches.scorer(client, plan.beside.challenger, task)
        except (DigestMismatch, ModelNotFound, TransformFailed, UntrustedModel) as error:
            return str(error)
        except RegistryUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a challenger does, the champion serves
            return f"it cannot be loaded: {type(error).__name__}; train it again or remove its alias"
    return run.write(plan, champion, challenger, now or datetime.now(UTC))
