"""Promote and roll back: move the champion so that a kill at any point leaves a champion and a way to go on.

MLflow moves an alias atomically but cannot compare before it sets. The ledger can: an intent is a claim that only
one promotion at a time can hold, and a retry reads from it how far the former try came.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.results import Action, Evaluation, ModelRef, PromotionDecision, TrainingData
from airflow_mlops.engines import bless, ledger, models, registry, tracking
from airflow_mlops.engines.ledger import Kind, Row
from airflow_mlops.engines.train import SAMPLE
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    PromotionConflict,
    PromotionRefused,
    RegistryUnavailable,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TAGS = {Action.PROMOTED: "mlops.promoted", Action.ROLLED_BACK: "mlops.restored"}
# A move is a few requests, each of which MLflow gives up after about two minutes; a claim that is older and has
# moved nothing belongs to a process that was killed and not tried again.
_LEASE = timedelta(minutes=5)


def promote(
    client: MlflowClient, *, ledger_uri: str, evaluation: Evaluation, key: str, actor: str
) -> PromotionDecision:
    """Make a candidate the champion if its verdict is PASS, and record what was decided.

    The candidate is loaded and predicts in a fresh process first. The champion must still be the one that the
    candidate was judged against. A second call with the same key finishes what the first began, or returns what
    it decided.

    :param ledger_uri: URI of the model's ledger.
    :param key: idempotency key: one promotion per key.
    :param actor: the run or person that promotes.
    :return: action PROMOTED; REFUSED if the verdict is not PASS; KEPT if the candidate is the champion already.
    :raises PromotionConflict: if the champion is another one by now, or is being moved by somebody else.
    :raises BlessingFailed: if the candidate fails in a fresh process; also DigestMismatch and UntrustedModel.
    :raises RegistryUnavailable: if MLflow does not answer; a retry goes on from there.
    """
    candidate, former = evaluation.candidate, evaluation.champion
    before = former.version if former else None
    begun = ledger.begun(ledger_uri, key)
    if begun is not None:
        return _resume(client, ledger_uri, begun, candidate.version, actor)
    decision = PromotionDecision(
        model=evaluation.model, partition=evaluation.partition, action=Action.PROMOTED, before=before,
        after=candidate.version, digest=candidate.digest, checks=evaluation.checks, metrics=evaluation.metrics,
        champion_metrics=evaluation.champion_metrics, reason=evaluation.reason, key=key,
    )  # fmt: skip
    if evaluation.verdict is not Verdict.PASS:
        refused = {"action": Action.REFUSED, "after": before, "digest": former.digest if former else None}
        return ledger.record_decision(ledger_uri, decision.model_copy(update=refused), actor=actor).evidence
    if before == candidate.version:
        kept = {"action": Action.KEPT, "reason": f"version {before} is the champion already"}
        return ledger.record_decision(ledger_uri, decision.model_copy(update=kept), actor=actor).evidence
    ref = registry.version(client, evaluation.model, candidate.version)
    if (ref.digest, ref.run_id) != (candidate.digest, candidate.run_id):
        raise DigestMismatch(
            f"Version {ref.version} of {ref.model!r} is registered with digest {ref.digest[:12]}… of run {ref.run_id}, "
            f"but {candidate.digest[:12]}… of run {candidate.run_id} was evaluated."
        )
    checks = (*decision.checks, _blessed(client, ref, candidate.task))
    trained_on = TrainingData(
        dataset=candidate.dataset,
        start=candidate.split.start,
        cut=candidate.split.cut,
        features=candidate.features,
    )
    evidence = {"checks": checks, "trained_on": trained_on}
    return _move(client, ledger_uri, decision.model_copy(update=evidence), actor)


def rollback(
    client: MlflowClient, *, ledger_uri: str, model: str, to: str | None, reason: str, key: str, actor: str, partition: str
) -> PromotionDecision:  # fmt: skip
    """Give the champion alias back to a version that had it before, and record why.

    :param to: the version; None means the one that the last promotion replaced.
    :param partition: the latest partition; later ones are scored with the restored version.
    :return: action ROLLED_BACK, or KEPT if there is nothing to do, as in a second call.
    :raises ModelNotFound: if there is no such version, or none before the champion.
    :raises PromotionRefused: if the version never was champion.
    :raises PromotionConflict: if the champion is being moved by somebody else.
    :raises BlessingFailed: if the version fails in a fresh process; also DigestMismatch and UntrustedModel.
    """
    begun = ledger.begun(ledger_uri, key)
    if begun is not None:
        return _resume(client, ledger_uri, begun, to or begun.after, actor)
    current = registry.champion_version(client, model)
    _settle(client, ledger_uri, model, current, key, actor)
    target = registry.version(client, model, to or _former(ledger_uri, model, current))
    decision = PromotionDecision(
        model=model, partition=partition, action=Action.ROLLED_BACK, before=current, after=target.version,
        digest=target.digest, reason=reason, key=key,
    )  # fmt: skip
    if target.version == current:
        why = f"version {current} is the champion already; name an older version to go further back"
        return decision.model_copy(update={"action": Action.KEPT, "reason": why})
    if not any(target.version in (move.before, move.after) for move in ledger.moves(ledger_uri)):
        raise PromotionRefused(
            f"Version {target.version} of {model!r} has never been champion; promote it instead."
        )
    check = _blessed(client, target, registry.training(client, target).task)
    return _move(client, ledger_uri, decision.model_copy(update={"checks": (check,)}), actor)


def _former(ledger_uri: str, model: str, current: str | None) -> str:
    """Return the version to go back to: the one before, or the champion itself if it has been restored already."""
    if current is None:
        raise ModelNotFound(f"Model {model!r} has no champion to roll back from.")
    last = next((move for move in reversed(ledger.moves(ledger_uri)) if move.after == current), None)
    if last is None:
        raise ModelNotFound(
            f"The ledger does not say what was champion before version {current} of {model!r}."
        )
    if last.action is Action.ROLLED_BACK:
        return current
    if last.before is None:
        raise ModelNotFound(
            f"Version {current} is the first champion of {model!r}: there is none to roll back to."
        )
    return last.before


def _resume(
    client: MlflowClient, ledger_uri: str, begun: Row, wanted: str | None, actor: str
) -> PromotionDecision:
    if begun.after != wanted:
        raise PromotionConflict(
            f"{begun.key} has begun to move the champion to version {begun.after}, and cannot move it to {wanted} too."
        )
    if begun.kind is Kind.DONE:
        found = registry.champion_version(client, begun.evidence.model)
        if found != begun.after:
            raise PromotionConflict(
                f"{begun.key} has made version {begun.after} the champion, which is version {found} by now; "
                "trigger a new run to move it again."
            )
        return begun.evidence
    return _move(client, ledger_uri, begun.evidence, actor)


def _move(
    client: MlflowClient, ledger_uri: str, decision: PromotionDecision, actor: str
) -> PromotionDecision:
    model = decision.model
    try:
        _settle(client, ledger_uri, model, registry.champion_version(client, model), decision.key, actor)
        ledger.record(ledger_uri, Kind.INTENT, decision, actor=actor)
        _point(client, decision)
    except (PromotionConflict, ModelNotFound) as error:
        ledger.record(ledger_uri, Kind.ABORT, decision, actor=actor, reason=str(error))
        raise
    _finish(client, ledger_uri, decision, actor)
    return decision


def _settle(
    client: MlflowClient, ledger_uri: str, model: str, current: str | None, key: str, actor: str
) -> None:
    """End the moves that other processes began and, being killed, did not end."""
    for other in ledger.pending(ledger_uri):
        if other.key == key:
            continue
        if other.after == current:
            _finish(client, ledger_uri, other.evidence, actor)
        elif datetime.now(UTC) - other.at > _LEASE:
            why = f"it moved nothing within {_LEASE.total_seconds() / 60:.0f} minutes; {key} goes on"
            ledger.record(ledger_uri, Kind.ABORT, other.evidence, actor=actor, reason=why)


def _point(client: MlflowClient, decision: PromotionDecision) -> None:
    model, before, after = decision.model, decision.before, str(decision.after)
    failure: Exception | None = None
    found = registry.champion_version(client, model)
    if found == before:
        try:
            registry.set_champion(client, model, after)
        except (RegistryUnavailable, ModelNotFound) as error:
            failure = error
        # A reply can be lost, and a first alias that others set at the same time is refused: what stands there counts.
        found = registry.champion_version(client, model)
    if found == after:
        return
    if failure is not None and found == before:
        raise failure
    raise PromotionConflict(
        f"Version {after} of {model!r} was to follow version {before}, but the champion is version {found} now."
    )


def _finish(client: MlflowClient, ledger_uri: str, decision: PromotionDecision, actor: str) -> None:
    registry.tag(client, decision.model, str(decision.after), _TAGS[decision.action], decision.key)
    ledger.record(ledger_uri, Kind.DONE, decision, actor=actor)


def _blessed(client: MlflowClient, ref: ModelRef, task: str) -> Check:
    """Load a version in a fresh process, and return that as one more check."""
    with TemporaryDirectory() as folder:
        path = models.download(client, ref.run_id, Path(folder))
        try:
            with tracking.errors(client):
                sample = Path(client.download_artifacts(ref.run_id, SAMPLE, folder))
        except OSError as error:
            raise ModelNotFound(f"Run {ref.run_id} of {ref.model!r} has no {SAMPLE}: {error}") from error
        found = bless.bless(path, ref.digest, sample, task=task)
    return Check(
        name="blessing", verdict=Verdict.PASS, expected="the same predictions in a fresh process, by digest",
        observed=found.max_difference, n=found.n,
        reason=f"version {ref.version} loaded and predicted {found.n} rows alike in {found.seconds:.1f} s "
        f"with {found.memory_mb:.0f} MiB",
    )  # fmt: skip
