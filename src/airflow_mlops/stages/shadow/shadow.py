"""Shadow: whether a challenger has done well for long enough to become champion, or badly enough to be dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.facts.scoring import ChallengeReport
from airflow_mlops.domain.policies import shadow
from airflow_mlops.domain.spec.gates import Serving, Shadow
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, PromotionConflict
from airflow_mlops.learning.bless.check import BLESSING
from airflow_mlops.stages.promote import moves, promote
from airflow_mlops.stages.score import beside
from airflow_mlops.stages.shadow import trial_windows
from airflow_mlops.stages.shadow.trial_windows import Pair
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import Row, RowKind
from airflow_mlops.stores.registry.registry import CHALLENGER

if TYPE_CHECKING:
    from airflow_mlops.learning.labels.join import Truth
    from airflow_mlops.stores.registry.client import Client


@dataclass(frozen=True)
class ShadowTrial:
    """A model whose challenger is judged.

    :param ledger_uri: URI of the model's ledger.
    :param uri: URI of the table of the challenger's predictions.
    :param predictions: URI of the table of the predictions that are served.
    :param truth: labels, and the data as of the partition at which the challenger is judged.
    :param policy: what a promotion takes; None records the windows and promotes no challenger.
    :param serving: what loading and predicting may cost; None means the defaults.
    """

    client: Client
    model: str
    ledger_uri: str
    uri: str
    predictions: str
    truth: Truth
    policy: Shadow | None
    serving: Serving | None = None

    @property
    def partition(self) -> str:
        """The partition at which the challenger is judged."""
        return self.truth.dataset.partition


def check(subject: ShadowTrial, *, key: str, actor: str) -> ChallengeReport:
    """Judge the challenger's windows, and promote or drop a challenger on trial once they are conclusive.

    A challenger is on trial if a promotion of the ledger has made it challenger. If a person has put it beside the champion,
    its windows are only recorded. A trial ends without a promotion if a window fails, if the alias was moved outside of the
    ledger, if the ledger has made another version champion than the one that the challenger was judged against, or if
    the challenger cannot become champion. A partition that was decided on before is being replayed, and nothing is moved.
    A second call with the same key finishes the move that the first began. If another move is in the way, that is
    reported, and the move is tried again at the next partition.

    :param key: idempotency key: one move per key.
    :param actor: the run that checks.
    :raises RegistryUnavailable: if MLflow does not answer, which is never the same as having no challenger.
    :raises SchemaMismatch: if labels do not fit the task, or the predictions' keys.
    """
    client, uri = subject.client, subject.ledger_uri
    rows = ledger.rows(uri)
    if (begun := ledger.begun(rows, key)) is not None:
        return _resumed(subject, begun, actor)
    current = moves.settle(client, uri, subject.model, key, actor, rows)
    if ledger.pending(rows):
        rows = ledger.rows(uri)
    replayed = ledger.reached(rows, subject.partition)
    trial = None if replayed else _trial(rows)
    if trial is not None and (why := _over(subject, trial, rows, current)) is not None:
        report = _report(subject, trial.evidence.candidate, reason=why)
        return _drop(subject, report, trial, why, current, key, actor)
    ledger_moves = ledger.moves(rows)
    served = ledger_moves[-1].after if ledger_moves else None
    champion = ledger.champion_as_of(rows, subject.partition) if replayed else served
    try:
        pair = _pair(subject, champion, rows)
    except (DigestMismatch, ModelNotFound) as error:
        why = f"the challenger cannot be judged: {error}"
        report = _report(subject, None, reason=why)
        return report if trial is None else _drop(subject, report, trial, why, current, key, actor)
    if pair is None:
        return _unpaired(subject, trial, current)
    since = trial.at if trial is not None and current == trial.before else None
    policy = subject.policy or Shadow(windows=1)
    windows = trial_windows.windows(pair, policy, policy.windows, since=since)
    judged = shadow.clean_windows(windows, policy.windows)
    checks = (*trial_windows.checks(windows), *((judged,) if subject.policy is not None else ()))
    reason = f"version {pair.challenger.version} beside version {champion}: {judged.reason}"
    report = _report(
        subject, pair.challenger.version, checks=checks, reason=f"{reason}{_aside(replayed, trial)}"
    )
    if trial is None or subject.policy is None or judged.verdict is Verdict.INCONCLUSIVE:
        return report
    if since is None:
        return report.model_copy(update={"reason": f"{report.reason}; {_astray(current)}"})
    if judged.verdict is Verdict.FAIL:
        return _drop(subject, report, trial, judged.reason, current, key, actor)
    return _promote(subject, report, trial, judged.reason, key, actor)


def _trial(rows: Sequence[Row]) -> Row | None:
    """Return the move that made the challenger one; None if no promotion has."""
    challenge = ledger.challenger(rows)
    return challenge if challenge is not None and challenge.action is Action.CHALLENGING else None


def _unpaired(subject: ShadowTrial, trial: Row | None, champion: str | None) -> ChallengeReport:
    """Report why no challenger predicts beside the champion."""
    if trial is None:
        return _report(subject, None)
    candidate = trial.evidence.candidate
    why = f"version {candidate} is on trial, and predicts no partition that it may have learned from"
    return _report(subject, candidate, reason=why if champion == trial.before else _astray(champion))


def _astray(champion: str | None) -> str:
    return f"the champion is {moves.named(champion)}, which the ledger has not made so: nothing is moved"


def _aside(replayed: bool, trial: Row | None) -> str:
    if replayed:
        return "; the partition was decided on before, and is being replayed"
    return (
        "" if trial is not None else "; a person has put it there, so that it is recorded and never promoted"
    )


def _report(subject: ShadowTrial, challenger: str | None, **facts: Any) -> ChallengeReport:
    fields = {"reason": "no challenger predicts beside the champion", **facts}
    return ChallengeReport(model=subject.model, partition=subject.partition, challenger=challenger, **fields)


def _pair(subject: ShadowTrial, champion: str | None, rows: Sequence[Row]) -> Pair | None:
    """Return challenger and champion; None if one of them is missing.

    :raises ModelNotFound: if the challenger has been deleted.
    :raises DigestMismatch: if no digest is known of it.
    """
    challenger = beside.challenger_for(
        subject.client, model=subject.model, partition=subject.partition, ledger_source=rows, uri=subject.uri
    )  # fmt: skip
    if challenger is None or champion is None or challenger.version == champion:
        return None
    return trial_windows.pair_of(
        subject.client,
        subject.model,
        subject.truth,
        tables=(subject.uri, subject.predictions),
        challenger=challenger,
        champion=champion,
    )


def _over(subject: ShadowTrial, trial: Row, rows: Sequence[Row], current: str | None) -> str | None:
    """Return why a trial cannot go on, whatever its windows say; None if it can."""
    challenger = registry.alias_version(subject.client, subject.model, CHALLENGER)
    if challenger != trial.evidence.candidate:
        return f"its alias was taken away outside of the ledger: the challenger is {moves.named(challenger)}"
    ledger_moves = ledger.moves(rows)
    champion = ledger_moves[-1].after if ledger_moves else current
    if champion != trial.before:
        return f"it was judged against version {trial.before}, and the champion is {moves.named(champion)} by now"
    return None


def _drop(
    subject: ShadowTrial, report: ChallengeReport, trial: Row, why: str, current: str | None, key: str, actor: str
) -> ChallengeReport:  # fmt: skip
    decision = trial.evidence.model_copy(
        update={
            "partition": subject.partition, "action": Action.DROPPED, "before": current, "after": current,
            "checks": report.checks, "reason": f"version {trial.evidence.candidate} is dropped: {why}", "key": key,
            "trained_on": None, "approval": None,
        }
    )  # fmt: skip
    try:
        return _moved(report, moves.move(subject.client, subject.ledger_uri, decision, actor))
    except promote.UNABLE as error:
        return _unable(report, error)


def _promote(
    subject: ShadowTrial, report: ChallengeReport, trial: Row, why: str, key: str, actor: str
) -> ChallengeReport:  # fmt: skip
    evidence = trial.evidence
    # The challenger is blessed once more: the environment may have changed during its trial.
    gates = [check for check in evidence.checks if check.name != BLESSING]
    decision = evidence.model_copy(
        update={
            "partition": subject.partition, "action": Action.PROMOTED, "after": evidence.candidate, "key": key,
            "checks": (*gates, *report.checks), "reason": f"{why}, beside version {trial.before} since {trial.partition}",
        }
    )  # fmt: skip
    try:
        done = promote.crown(
            subject.client,
            subject.ledger_uri,
            decision,
            actor,
            task=subject.truth.question.task,
            serving=subject.serving,
        )
    except PromotionConflict as error:
        return _unable(report, error)
    except promote.UNABLE as error:
        # It could not become champion at the next partition either.
        lost = f"{why}, but it cannot become champion: {error}"
        return _drop(subject, report, trial, lost, trial.before, key, actor)
    return _moved(report, done)


def _resumed(subject: ShadowTrial, begun: Row, actor: str) -> ChallengeReport:
    evidence = begun.evidence
    checks = tuple(check for check in evidence.checks if check.name.startswith("shadow."))
    report = _report(subject, evidence.candidate, checks=checks, reason=evidence.reason)
    try:
        return _moved(
            report, moves.resume(subject.client, subject.ledger_uri, begun, evidence.candidate, actor)
        )
    except promote.UNABLE as error:
        if begun.kind is RowKind.DONE:
            return report.model_copy(update={"reason": f"{report.reason}; {error}"})
        return _unable(report, error)


def _moved(report: ChallengeReport, done: PromotionDecision) -> ChallengeReport:
    reason = done.reason
    if done.action is Action.PROMOTED:
        reason = f"version {done.after} is champion: {reason}"
    return report.model_copy(update={"moved": done, "reason": reason})


def _unable(report: ChallengeReport, error: Exception) -> ChallengeReport:
    why = f"nothing was moved: {error}"
    failed = Check(
        name="shadow.move", verdict=Verdict.FAIL, expected="a challenger that can be moved", reason=why
    )  # fmt: skip
    return report.model_copy(update={"checks": (*report.checks, failed), "reason": f"{report.reason}; {why}"})
