"""Guard: whether the champion is the one that the ledger says, and whether a new one is worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import Action, DatasetVersion, GuardReport, PromotionDecision
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound
from airflow_mlops.stages.guard import probation
from airflow_mlops.stages.promote import moves, promote
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import Row, RowKind

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.monitor import Monitor
    from airflow_mlops.stores.registry.client import Client

ALIAS = "alias"
PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def check(
    client: Client,
    *,
    ledger_uri: str,
    model: str,
    dataset: DatasetVersion,
    policy: Monitor,
    question: Question,
    key: str,
    actor: str,
) -> GuardReport:
    """Compare the champion alias with the ledger and a new champion with the one before, and move back what has to be.

    At most one move follows: the alias goes back to where the ledger has put it, or a new champion that failed its
    probation is rolled back. Both go by the promotion protocol. A second call with the same key finishes what the first
    began. A move that cannot be made is reported; the alias stays where it is then.

    :param ledger_uri: URI of the model's ledger.
    :param dataset: as published with the partition as of which is judged.
    :param key: idempotency key: one move per key.
    :param actor: the run that asks.
    :raises RegistryUnavailable: if MLflow does not answer, which is never the same as having no champion.
    :raises DigestMismatch: if the bytes of a champion on probation are not what was trained; also UntrustedModel.
    """
    rows = ledger.rows(ledger_uri)
    if (begun := ledger.begun(rows, key)) is not None:
        return _resumed(client, ledger_uri, model, dataset, begun, actor)
    moves.settle(client, ledger_uri, model, key, actor, rows)
    if ledger.pending(rows):
        rows = ledger.rows(ledger_uri)
    promotion = probation.on_probation(rows)
    alias, astray = _alias(client, ledger_uri, model, policy, rows)
    judged = _probation(client, ledger.rows(ledger_uri), dataset, policy, question, alias, promotion)
    report = GuardReport(
        model=model, partition=dataset.partition, alias=alias, probation=judged, reason=_told(alias, judged)
    )
    action, to, expected = None, None, None
    if astray and policy.alias_guard == "revert":
        left = moves.last_champion(client, rows, model)
        if left is None:
            return _unable(report, "MLflow has none of the ledger's champions any more: train again")
        action, to = Action.RESTORED, left.version
    elif judged.verdict is FAIL and promotion is not None:
        # By now the champion may be one that nobody has judged.
        action, to, expected = Action.ROLLED_BACK, promotion.before, promotion.after
    if action is None:
        return report
    try:
        restored = promote.rollback(
            client, ledger_uri=ledger_uri, model=model, to=to, reason=report.reason, key=key, actor=actor,
            partition=dataset.partition, checks=(alias, judged), action=action, expected=expected,
        )  # fmt: skip
    except promote.UNABLE as error:
        return _unable(report, str(error))
    # Kept: by now somebody else has seen to it.
    return report if restored.action is Action.KEPT else _moved(report, restored)


def _resumed(
    client: Client, ledger_uri: str, model: str, dataset: DatasetVersion, begun: Row, actor: str
) -> GuardReport:
    checks = {each.name: each for each in begun.evidence.checks}
    report = GuardReport(
        model=model, partition=dataset.partition, alias=checks[ALIAS], probation=checks[probation.NAME],
        reason=begun.evidence.reason,
    )  # fmt: skip
    try:
        return _moved(report, moves.resume(client, ledger_uri, begun, begun.after, actor))
    except promote.UNABLE as error:
        if begun.kind is RowKind.DONE:
            return report.model_copy(update={"reason": f"{report.reason}; {error}"})
        return _unable(report, str(error))


def _moved(report: GuardReport, restored: PromotionDecision) -> GuardReport:
    reason = f"{report.reason}; {restored.action}: version {restored.after} is champion"
    return report.model_copy(update={"restored": restored, "reason": reason})


def _unable(report: GuardReport, why: str) -> GuardReport:
    return report.model_copy(update={"reason": f"{report.reason}; nothing was moved back: {why}"})


def _told(alias: Check, judged: Check) -> str:
    failed = [each for each in (alias, judged) if each.verdict is FAIL]
    return "; ".join(f"{each.name}: {each.reason}" for each in failed or (alias, judged))


def _alias(
    client: Client, ledger_uri: str, model: str, policy: Monitor, rows: Sequence[Row]
) -> tuple[Check, bool]:
    """Compare the alias with the ledger's last move, and tell whether it is at another version."""
    expected = "a ledger that has moved the alias"

    def answer(verdict: Verdict, reason: str, found: str | None = None) -> Check:
        observed = float(found) if found is not None else None
        return Check(name=ALIAS, verdict=verdict, expected=expected, observed=observed, reason=reason)

    if policy.alias_guard == "off":
        expected = "off"
        return answer(PASS, "the policy does not ask"), False
    known = ledger.moves(rows)
    if not known:
        return answer(
            INCONCLUSIVE, "the ledger has not moved the alias yet, so any place is its place"
        ), False
    last = known[-1]
    expected = f"version {last.after}"
    found = registry.champion_version(client, model)
    # Read before and after: a move that is under way between the two reads is no other's.
    later = ledger.rows(ledger_uri)
    if ledger.pending(later) or ledger.moves(later) != known:
        return answer(INCONCLUSIVE, "a move of the champion is under way", found), False
    if found != last.after:
        return answer(FAIL, _astray(last, found), found), True
    try:
        digest = registry.version(client, model, str(found)).digest
    except (DigestMismatch, ModelNotFound) as error:
        return answer(FAIL, str(error), found), False
    if digest != last.digest:
        why = f"version {found} is registered with digest {digest[:12]}…, but became champion with {str(last.digest)[:12]}…"
        return answer(FAIL, f"{why}: somebody has changed it. Roll back by hand", found), False
    return answer(PASS, f"version {found}, as {last.key} has left it", found), False


def _astray(last: Row, found: str | None) -> str:
    made = f"{last.key} made version {last.after} the champion at {last.at:%Y-%m-%d %H:%M} UTC"
    if found is None:
        return f"there is no champion, though {made}: the alias, the version or the model was deleted outside of the ledger"
    return f"version {found} is champion, though {made}: the alias was moved outside of the ledger"


def _probation(
    client: Client,
    rows: Sequence[Row],
    dataset: DatasetVersion,
    policy: Monitor,
    question: Question,
    alias: Check,
    promotion: Row | None,
) -> Check:
    def answer(verdict: Verdict, expected: str, reason: str) -> Check:
        return Check(name=probation.NAME, verdict=verdict, expected=expected, reason=reason)

    if policy.rollback is None:
        return answer(PASS, "off", "the policy does not ask")
    if promotion is None:
        return answer(PASS, "no champion on probation", "no champion has replaced another one since")
    if ledger.reached(rows, dataset.partition):
        return answer(INCONCLUSIVE, "a new partition", "this one was decided on before: it is being replayed")
    if ledger.pending(rows) or alias.verdict is FAIL or not _in_place(client, promotion):
        return answer(INCONCLUSIVE, "the ledger's champion", "the alias is elsewhere, or on its way")
    return probation.judge(client, promotion, dataset=dataset, policy=policy.rollback, question=question)


def _in_place(client: Client, promotion: Row) -> bool:
    return registry.champion_version(client, promotion.evidence.model) == promotion.after
