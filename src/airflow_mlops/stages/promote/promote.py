"""Promote and roll back: who may become champion, and the move, which leaves a champion whenever it is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict, overall
from airflow_mlops.domain.facts.approval import ApprovalOutcome, consent, refusal
from airflow_mlops.domain.facts.results import Action, Evaluation, ModelRef, PromotionDecision
from airflow_mlops.domain.facts.retraining import training_data
from airflow_mlops.domain.spec.gates import Serving, Shadow
from airflow_mlops.exceptions import (
    BlessingFailed,
    DigestMismatch,
    ModelNotFound,
    PromotionConflict,
    PromotionRefused,
    UntrustedModel,
)
from airflow_mlops.learning.bless.check import BLESSING, blessed, blessing_of
from airflow_mlops.stages.promote import former, moves
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.registry.ledger import RowKind

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.ledger import Row

UNABLE = (BlessingFailed, DigestMismatch, ModelNotFound, PromotionConflict, PromotionRefused, UntrustedModel)
"""Errors that keep a move from being made, and that no retry can help, unlike an MLflow that does not answer."""
# Limits of a rollback: a former champion was accepted by the limits of its time, which may have been wider.
_PATIENCE = Serving(seconds=600, memory=2**20)


def promote(
    client: Client,
    *,
    ledger_uri: str,
    evaluation: Evaluation,
    key: str,
    actor: str,
    approval: ApprovalOutcome | None = None,
    serving: Serving | None = None,
    shadow: Shadow | None = None,
) -> PromotionDecision:
    """Make a candidate the champion, or the challenger first, if its verdict is PASS, and record what was decided.

    The candidate's bytes are verified by their digest. Unless the evaluation has blessed them and nobody was asked since,
    the candidate is also loaded and predicts in a fresh process. The champion must still be the one that the candidate was
    judged against. A second call with the same key finishes the move that the first began, or returns its decision; if a
    gate or a person is against it by then, it gives up a move that has not moved the alias yet.

    :param ledger_uri: URI of the model's ledger.
    :param key: idempotency key: one promotion per key.
    :param actor: the run or person that promotes.
    :param approval: the answers of people; None if nobody was asked. One person who did not approve is enough to refuse.
        With ``overridden`` a verdict other than PASS does not refuse, unless the model failed its blessing.
    :param serving: what loading and predicting may cost if the candidate is blessed here; None means the defaults.
    :param shadow: the trial beside the champion that the candidate has to pass first, which
        :mod:`airflow_mlops.stages.shadow.shadow` judges; None for no trial. A first champion has no trial.
    :return: action PROMOTED, or CHALLENGING with ``shadow``; RECORDED, with what would have been, if a later partition has been
        decided by now; REFUSED if the verdict or a person is against it; KEPT if the candidate is the champion already.
    :raises PromotionConflict: if the champion has changed by now, is being moved by somebody else, has been lost while a
        former one is still there, or was moved to the candidate before a gate or a person turned against it.
    :raises ModelNotFound: if the candidate's version does not exist or is not ready.
    :raises BlessingFailed: if the candidate fails in a fresh process; also DigestMismatch and UntrustedModel.
    :raises RegistryUnavailable: if MLflow does not answer; a retry goes on from there.
    """
    candidate, champion = evaluation.candidate, evaluation.champion
    before = champion.version if champion else None
    begun, against = ledger.begun(ledger_uri, key), _against(evaluation, approval)
    past = _past(ledger_uri, evaluation)
    if begun is not None:
        moved = begun.kind is RowKind.DONE or moves.is_there(client, begun.evidence)
        veto = against if moved else past or against
        if veto is None or _judged_as_champion(client, evaluation, approval):
            return moves.resume(client, ledger_uri, begun, candidate.version, actor)
        moves.withdraw(client, ledger_uri, begun, veto, actor)
    decision = PromotionDecision(
        model=evaluation.model, partition=evaluation.partition, action=Action.PROMOTED, before=before,
        after=candidate.version, digest=candidate.digest, checks=evaluation.checks, metrics=evaluation.metrics,
        champion_metrics=evaluation.champion_metrics, reason=_why(evaluation, approval), key=key, approval=approval,
        candidate=candidate.version, trained_on=training_data(candidate),
    )  # fmt: skip
    if past is not None or against is not None:
        refused: dict[str, object] = {"after": before, "digest": champion.digest if champion else None}
        refused |= {"action": Action.REFUSED, "reason": against}
        if past is not None:
            # No training that later partitions look back at.
            refused |= {"action": Action.RECORDED, "reason": past, "trained_on": None}
        return ledger.record_decision(ledger_uri, decision.model_copy(update=refused), actor=actor).evidence
    if before == candidate.version:
        kept = {"action": Action.KEPT, "reason": f"version {before} is the champion already"}
        return ledger.record_decision(ledger_uri, decision.model_copy(update=kept), actor=actor).evidence
    if before is None:
        former.refuse_lost(client, ledger_uri, evaluation.model)
    ref = registry.version(client, evaluation.model, candidate.version)
    if (ref.digest, ref.run_id) != (candidate.digest, candidate.run_id):
        raise DigestMismatch(
            f"Version {ref.version} of {ref.model!r} is registered with digest {ref.digest[:12]}… of run {ref.run_id}, "
            f"but {candidate.digest[:12]}… of run {candidate.run_id} was evaluated."
        )
    evidence: dict[str, object] = {
        "checks": _verified(client, ref, evaluation, approval, serving or Serving())
    }
    moves.settle(client, ledger_uri, evaluation.model, key, actor)
    if shadow is not None and before is not None:
        evidence |= {"action": Action.CHALLENGING, "after": before}
        replaced = ledger.challenger(ledger_uri)
        evidence["reason"] = _on_trial(candidate.version, shadow, replaced, decision.reason)
    return moves.move(client, ledger_uri, decision.model_copy(update=evidence), actor)


def crown(
    client: Client,
    ledger_uri: str,
    decision: PromotionDecision,
    actor: str,
    *,
    task: str,
    serving: Serving | None,
) -> PromotionDecision:
    """Make a challenger the champion, once it has loaded and predicted in a fresh process.

    :param decision: the decision to record, with the evidence for the challenger and the champion that it replaces.
    :param task: ``classification`` or ``regression``.
    :param serving: as for :func:`promote`, whose errors are raised here too.
    """
    ref = registry.version(client, decision.model, str(decision.after))
    if ref.digest != decision.digest:
        raise DigestMismatch(
            f"Version {ref.version} of {ref.model!r} is registered with digest {ref.digest[:12]}…, but became challenger "
            f"with {str(decision.digest)[:12]}…: somebody has changed it."
        )
    check = _blessed(client, ref, task, serving or Serving())
    moves.settle(client, ledger_uri, decision.model, decision.key, actor)
    return moves.move(
        client, ledger_uri, decision.model_copy(update={"checks": (*decision.checks, check)}), actor
    )


def _on_trial(version: str, shadow: Shadow, replaced: Row | None, reason: str) -> str:
    windows = f"{shadow.windows} clean window{'s' * (shadow.windows != 1)} in a row"
    other = f", in place of version {replaced.evidence.candidate}" if replaced is not None else ""
    return f"version {version} predicts beside the champion until {windows}{other}: {reason}"


def _why(evaluation: Evaluation, approval: ApprovalOutcome | None) -> str:
    if approval is None:
        return evaluation.reason
    if evaluation.verdict is Verdict.PASS:
        return f"{evaluation.reason}; approved by {consent(approval)}"
    return f"the gates say {evaluation.verdict}, which people have overridden ({consent(approval)}): {evaluation.reason}"


def _against(evaluation: Evaluation, approval: ApprovalOutcome | None) -> str | None:
    """Return why the candidate must not become champion; None if nothing is against it."""
    if (veto := refusal(approval)) is not None:
        return veto
    # By its checks: a verdict that somebody has set is no evidence.
    follows = overall(evaluation.checks)
    if evaluation.verdict is follows is Verdict.PASS:
        return None
    if evaluation.verdict is not follows:
        return f"the evaluation says {evaluation.verdict}, but {follows} follows from its checks"
    if approval is None or not approval.overridden:
        return evaluation.reason
    blessing = _blessing(evaluation)
    if blessing is not None and blessing.verdict is not Verdict.PASS:
        return f"nobody can let a model through that failed its blessing: {blessing.reason}"
    return None


def _past(ledger_uri: str, evaluation: Evaluation) -> str | None:
    """Return what is recorded of a candidate of a partition before others that were decided; None if there are none."""
    latest = champions.overtaken(ledger_uri, evaluation.partition)
    gates = f"the gates say {evaluation.verdict}: {evaluation.reason}"
    return latest and f"for the record, as {latest} has been decided already; {gates}"


def _judged_as_champion(client: Client, evaluation: Evaluation, approval: ApprovalOutcome | None) -> bool:
    # If a whole run is repeated after it has moved the alias, its candidate is compared with itself, and passes by no margin.
    # That is nothing against the move.
    version = evaluation.candidate.version
    return (
        evaluation.champion is not None
        and evaluation.champion.version == version == registry.champion_version(client, evaluation.model)
        and refusal(approval) is None
    )


def _blessing(evaluation: Evaluation) -> Check | None:
    return next((check for check in evaluation.checks if check.name == BLESSING), None)


def rollback(
    client: Client,
    *,
    ledger_uri: str,
    model: str,
    to: str | None,
    reason: str,
    key: str,
    actor: str,
    partition: str,
    checks: tuple[Check, ...] = (),
    action: Action = Action.ROLLED_BACK,
    expected: str | None = None,
) -> PromotionDecision:
    """Give the champion alias back to a version that had it before, and record why.

    :param to: the version; None means the one that the last promotion replaced, or the ledger's champion if the alias
        was moved outside of the ledger.
    :param partition: the latest partition; later ones are scored with the restored version.
    :param checks: the measurements that speak for the rollback.
    :param action: RESTORED if only a move outside of the ledger is taken back.
    :param expected: the champion that is to be taken back; None means the current one, whichever it is.
    :return: a decision with that action, or with KEPT if there is nothing to do, as in a second call.
    :raises ModelNotFound: if there is no such version, or none before the champion.
    :raises PromotionRefused: if the version was never champion.
    :raises PromotionConflict: if the champion is being moved by somebody else, or is not the expected one.
    :raises BlessingFailed: if the version fails in a fresh process; also DigestMismatch and UntrustedModel.
    """
    rows = ledger.rows(ledger_uri)
    if (begun := ledger.begun(rows, key)) is not None:
        return moves.resume(client, ledger_uri, begun, to or begun.after, actor)
    current = moves.settle(client, ledger_uri, model, key, actor, rows)
    if ledger.pending(rows):
        rows = ledger.rows(ledger_uri)
    if expected is not None and current != expected:
        raise PromotionConflict(
            f"Version {expected} of {model!r} was to be taken back, but the champion is {moves.named(current)} by now."
        )
    ledger_moves = ledger.moves(rows)
    target = registry.version(client, model, to or former.version(client, ledger_moves, model, current))
    decision = PromotionDecision(
        model=model, partition=partition, action=action, before=current, after=target.version,
        digest=target.digest, reason=reason, key=key, checks=checks,
    )  # fmt: skip
    in_place = bool(ledger_moves) and ledger_moves[-1].after == current
    same = (target.version, target.digest) == (current, ledger_moves[-1].digest if ledger_moves else None)
    if in_place and (same or action is Action.RESTORED):
        why = f"version {current} is the champion already; name an older version to go further back"
        return decision.model_copy(update={"action": Action.KEPT, "reason": why})
    former.refuse_stranger(target, ledger_moves)
    check = blessed_again(client, target, registry.training(client, target).task)
    return moves.move(client, ledger_uri, decision.model_copy(update={"checks": (*checks, check)}), actor)


def blessed_again(client: Client, ref: ModelRef, task: str) -> Check:
    """Load a version that a person wants in a fresh process, by no limit of today, and return the check of its blessing."""
    return _blessed(client, ref, task, None)


def _verified(
    client: Client,
    ref: ModelRef,
    evaluation: Evaluation,
    approval: ApprovalOutcome | None,
    serving: Serving,
) -> tuple[Check, ...]:
    """Verify that the candidate is the one that was evaluated and can be loaded, and return the checks of both."""
    blessing = _blessing(evaluation)
    # People may take days to answer, and the environment may have changed meanwhile.
    if blessing is not None and blessing.verdict is Verdict.PASS and approval is None:
        moves.verify(client, ref, ref.digest)
        return evaluation.checks
    others = (check for check in evaluation.checks if check.name != BLESSING)
    return (*others, _blessed(client, ref, evaluation.candidate.task, serving))


def _blessed(client: Client, ref: ModelRef, task: str, serving: Serving | None) -> Check:
    """Load a version in a fresh process, and return the check of its blessing.

    :param serving: limits of the process; None if the version was champion before: as long as its predictions are the
        same, neither newer packages nor today's limits keep it from being restored.
    """
    limits = serving or _PATIENCE
    with blessing_of(client, ref, task, limits, packages=serving is not None) as (_, wait):
        return blessed(ref.version, wait())
