"""Guard: whether the champion is the ledger's, and whether a new champion is worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import Action, DatasetVersion, PromotionDecision
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound
from airflow_mlops.stages.guard import probation
from airflow_mlops.stages.promote import moves, promote
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.registry.ledger import Row, RowKind

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.monitor import Monitor
    from airflow_mlops.stores.registry.champions import Standing
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
    """Compare the champion alias with the ledger, and a new champion with the one before, and roll back if need be.

    At most one move follows: the alias goes back to where the ledger has put it, or a new champion that failed its
    probation is rolled back. Both go by the promotion protocol. A second call with the same key finishes the move that
    the first began. If a move cannot be made, that is reported, and the alias stays where it is.

    :param ledger_uri: URI of the model's ledger.
    :param dataset: the data as of the partition at which the champion is judged.
    :param key: idempotency key: one move per key.
    :param actor: the run that checks.
    :raises RegistryUnavailable: if MLflow does not answer, which is never the same as having no champion.
    :raises DigestMismatch: if the bytes of a champion on probation are not those that were trained; also
        UntrustedModel.
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
        model=model, partition=dataset.partition, alias=alias, probation=judged, reason=_reason(alias, judged)
    )
    action, to, expected = None, None, None
    if astray and policy.alias_guard == "revert":
        surviving = moves.last_champion(client, rows, model)
        if surviving is None:
            return _unable(report, "MLflow has none of the ledger's champions any more: train again")
        action, to = Action.RESTORED, surviving.version
    elif judged.verdict is FAIL and promotion is not None:
        # The champion may have changed since it was judged.
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
    # KEPT means that somebody else has moved the alias back meanwhile.
    return report if restored.action is Action.KEPT else _moved(report, restored)


def alias_report(model: str, partition: str, standing: Standing) -> GuardReport:
    """Return what a scoring saw of the alias, which it tells at once, and not only when the guard comes by."""
    champion, problem = standing.champion, standing.problem
    verdict = FAIL if problem else PASS
    reason = problem or ("where the ledger has put it" if champion else "no version has it yet")
    alias = Check(name=ALIAS, verdict=verdict, expected="where the ledger has put it", reason=reason)
    judged = Check(
        name=probation.NAME, verdict=INCONCLUSIVE, expected="a guard", reason="scoring does not judge it"
    )
    return GuardReport(
        model=model, partition=partition, alias=alias, probation=judged, reason=_reason(alias, judged)
    )


def _resumed(
    client: Client, ledger_uri: str, model: str, dataset: DatasetVersion, begun: Row, actor: str
) -> GuardReport:
    checks = {check.name: check for check in begun.evidence.checks}
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


def _reason(alias: Check, judged: Check) -> str:
    failed = [check for check in (alias, judged) if check.verdict is FAIL]
    return "; ".join(f"{check.name}: {check.reason}" for check in failed or (alias, judged))


def _alias(
    client: Client, ledger_uri: str, model: str, policy: Monitor, rows: Sequence[Row]
) -> tuple[Check, bool]:
    """Compare the alias with the ledger's last move, and return the check and whether the alias is elsewhere."""
    expected = "a ledger that has moved the alias"

    def answer(verdict: Verdict, reason: str, champion: str | None = None) -> Check:
        observed = float(champion) if champion is not None else None
        return Check(name=ALIAS, verdict=verdict, expected=expected, observed=observed, reason=reason)

    if policy.alias_guard == "off":
        expected = "off"
        return answer(PASS, "the policy does not ask"), False
    ledger_moves = ledger.moves(rows)
    if not ledger_moves:
        return answer(
            INCONCLUSIVE, "the ledger has not moved the alias yet, so any place is its place"
        ), False
    last = ledger_moves[-1]
    expected = f"version {last.after}"
    champion = registry.champion_version(client, model)
    # The ledger is read before and after the alias: a move between the two reads was not made outside of the ledger.
    later = ledger.rows(ledger_uri)
    if ledger.pending(later) or ledger.moves(later) != ledger_moves:
        return answer(INCONCLUSIVE, "a move of the champion is under way", champion), False
    if champion != last.after:
        return answer(FAIL, champions.astray(last, champion), champion), True
    try:
        digest = registry.version(client, model, str(champion)).digest
    except (DigestMismatch, ModelNotFound) as error:
        return answer(FAIL, str(error), champion), False
    if digest != last.digest:
        why = f"version {champion} is registered with digest {digest[:12]}…, but became champion with {str(last.digest)[:12]}…"
        return answer(FAIL, f"{why}: somebody has changed it. Roll back by hand", champion), False
    return answer(PASS, f"version {champion}, as {last.key} has left it", champion), False


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
    return probation.judge(
        client, promotion, rows, dataset=dataset, policy=policy.rollback, question=question
    )


def _in_place(client: Client, promotion: Row) -> bool:
    return registry.champion_version(client, promotion.evidence.model) == promotion.after
