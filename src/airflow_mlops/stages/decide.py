"""Decide: gather the recorded facts from which the retrain policy decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import (
    DatasetVersion,
    HealthReport,
    ModelRef,
    PromotionDecision,
    Split,
)
from airflow_mlops.domain.facts.retraining import (
    HOLDS,
    VERSION,
    Fresh,
    RetrainDecision,
    Situation,
    TrainableRows,
    failing,
    suggested,
)
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies import gates_evidence, retraining
from airflow_mlops.domain.policies.quality import by_calibration
from airflow_mlops.domain.spec.retrain import Mode
from airflow_mlops.exceptions import ModelRefused, NotEnoughData
from airflow_mlops.learning.elsewhere import span
from airflow_mlops.learning.labels import maturity
from airflow_mlops.stores.registry import elsewhere, ledger, tracking
from airflow_mlops.stores.registry.ledger import Row, RowKind
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import Gates, Retrain
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.elsewhere import ForeignVersion


def decide(
    *,
    model: str,
    dataset: DatasetVersion,
    champion: ModelRef | None,
    policy: Retrain,
    health: Sequence[HealthReport],
    decisions: Sequence[PromotionDecision],
    trainable: TrainableRows | None = None,
    force: bool = False,
    record: bool = False,
    reason: str | None = None,
    delay: timedelta = timedelta(0),
    gates: Gates | None = None,
    recalibrate: bool = False,
) -> RetrainDecision:
    """Apply the retrain policy at one partition.

    :param health: health reports up to this partition, the newest first.
    :param decisions: the latest decision on each partition.
    :param trainable: what a training would learn from; None if that was not looked at, and there is enough.
    :param force: retrain whatever the policy says.
    :param record: decide for the record: whoever asks for that has said yes to what the policy only suggests.
    :param reason: why it was forced.
    :param delay: how long after its event time a label is known.
    :param gates: what a candidate has to pass, which says what else has to be known of the champion; None for nothing.
    :param recalibrate: whether a recalibration of the champion is tried where nothing else asks for a training.
    """
    situation = Situation(
        partition=dataset.partition,
        grain=dataset.grain,
        has_champion=champion is not None,
        trained_through=champion.trained_through if champion else None,
        health=health,
        decisions=decisions,
        shortage=trainable and trainable.shortage,
        cut=trainable and trainable.cut,
        delay=delay,
        force=force,
        reason=reason,
    )
    if policy.when.rows is not None or policy.skip_unchanged:
        since = situation.last_attempt or situation.trained_through
        situation = replace(situation, fresh=fresh(dataset, since, delay, situation.seen))
    if record and policy.mode is Mode.SUGGEST:
        policy = policy.model_copy(update={"mode": Mode.AUTO})
    answer = retraining.retrain(policy, situation)
    decision = RetrainDecision(
        model=model,
        partition=dataset.partition,
        retrain=answer.retrain,
        checks=answer.checks,
        dataset=dataset,
        reason=answer.reason,
        **_of_champion(gates, champion, dataset, health, decisions, delay),
        recalibrates=recalibrate and not force and _by_calibration(answer.checks, champion, health),
    )
    gate = gates.versus_champion if gates else None
    by_people = policy.mode is Mode.OFF or suggested(decision)
    if gate is None or gate.evidence is None or decision.retrain or by_people:
        return decision
    version, check = gates_evidence.again(situation, champion.version if champion else None, gate.margin)
    changes = {"version": version, "checks": (*decision.checks, check)}
    if version is not None:
        changes["reason"] = f"{check.reason}; {decision.reason}"
    return decision.model_copy(update=changes)


def _by_calibration(
    checks: Sequence[Check], champion: ModelRef | None, health: Sequence[HealthReport]
) -> bool:
    """Whether performance asks for a training, with growth at most, and that by what a recalibration of the champion can mend."""
    asking = {check.name for check in checks if check.verdict is Verdict.FAIL and check.name not in HOLDS}
    newest = health[0] if health else None
    if champion is None or newest is None or newest.champion is None:
        return False
    # Growth knows of no problem, and the trained candidates are judged where the recalibration does not pass.
    if asking - {"retrain.growth"} != {"retrain.performance"}:
        return False
    same = newest.champion.version == champion.version
    return same and by_calibration(newest.performance, newest.others)


def _of_champion(
    gates: Gates | None,
    champion: ModelRef | None,
    dataset: DatasetVersion,
    health: Sequence[HealthReport],
    decisions: Sequence[PromotionDecision],
    delay: timedelta,
) -> dict[str, Any]:
    """Return what else the gates ask for: why the champion fails, and what has been gathered against it."""
    gate = gates.versus_champion if gates else None
    facts: dict[str, Any] = {}
    if gate is None or champion is None:
        return {}
    if gate.rescue is not None:
        facts["failing"] = failing(champion, health)
    if gate.evidence is not None:
        before = [decision for decision in decisions if decision.partition < dataset.partition]
        facts["evidence"] = gates_evidence.so_far(before, champion.version, dataset.grain, delay)
    return facts


def decide_version(
    client: Client,
    *,
    model: str,
    origin: str,
    dataset: DatasetVersion,
    rows: Sequence[Row],
    split: Callable[[], Split],
    version: str | None = None,
    force: bool = False,
    reason: str | None = None,
    champion: ModelRef | None = None,
    health: Sequence[HealthReport] = (),
    delay: timedelta = timedelta(0),
    gates: Gates | None = None,
) -> RetrainDecision:
    """Decide at one partition whether a version that was trained elsewhere is to be judged: each is, once.

    :param origin: the registered model whose versions somebody else trains.
    :param rows: of the ledger of the model.
    :param split: places the holdout.
    :param version: judge this version, also if it was judged before; None takes the newest.
    :param force: judge the newest version, also if it was judged before.
    :param reason: why a person asks for that.
    :param champion: the version to beat; None if there is none.
    :param health: as for :func:`decide`; ``delay`` and ``gates`` likewise.
    :raises ModelNotFound: if there is no such version.
    :raises ModelRefused: if the version was registered by this package.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    foreign = elsewhere.version(client, origin, version) if version else elsewhere.newest(client, origin)
    due, why = False, f"nobody has registered a version of {origin!r} yet in {tracking.place(client)}"
    if foreign is not None:
        due, why = _due(client, model, foreign, rows, again=force or version is not None)
    if due and foreign is not None:
        try:
            span.after(split(), dataset, span.until_of(foreign, dataset.grain)[0])
        except NotEnoughData as error:
            due, why = False, f"{foreign.name} is not judged yet: {error}"
        except ModelRefused as error:
            # To take it in is refused by the same, and that is recorded as each training that fails.
            why = f"{why}; {error}"
        else:
            why = f"{why}: {reason}" if reason else why
    check = Check(
        name=VERSION,
        verdict=Verdict.FAIL if due else Verdict.PASS,
        expected=f"no version of {origin!r} that is still to be judged",
        observed=foreign and float(foreign.number),
        reason=why,
    )
    facts = _of_champion(gates, champion, dataset, health, ledger.attempts(rows), delay) if gates else {}
    return RetrainDecision(
        model=model, partition=dataset.partition, retrain=due, checks=(check,), dataset=dataset, reason=why,
        version=foreign.number if due and foreign is not None else None, **facts,
    )  # fmt: skip


def _due(
    client: Client, model: str, foreign: ForeignVersion, rows: Sequence[Row], *, again: bool
) -> tuple[bool, str]:
    if again:
        return True, f"{foreign.name} was asked for"
    ours = elsewhere.taken_in(client, model, foreign)
    ended = ledger.rows(rows).having("kind", RowKind.DECISION, RowKind.DONE) if ours else ()
    judged = next((row.evidence for row in reversed(ended) if row.evidence.candidate in ours), None)
    if judged is not None:
        return (
            False,
            f"{foreign.name} was judged at {judged.partition}, as version {judged.candidate}: {judged.action}",
        )
    return True, f"{foreign.name} was not judged yet"


def fresh(
    dataset: DatasetVersion, since: str | None, delay: timedelta, seen: DatasetVersion | None = None
) -> Fresh | None:
    """Return what is new in the data since a training.

    A row is new if its label is known at the end of this partition, and was not at the end of the training's. Where
    labels come with the data, a row counts whether or not it has a label.

    :param dataset: the data as of this partition.
    :param since: the partition of the training; None if there was none, for which None is returned.
    :param delay: how long after its event time a label is known.
    :param seen: the data that the training has seen; None means the data as its partition was first published.
    """
    if since is None:
        return None
    then, now = (Partition.parse(key, dataset.grain).end for key in (since, dataset.partition))
    if dataset.labels is not None:
        return Fresh(maturity.matured(dataset, then, delay).num_rows, _corrected(dataset, since, seen))
    rows = tables.read(
        dataset.uri,
        version=dataset.version,
        columns=[dataset.event_time],
        event_time=dataset.event_time,
        since=then - delay,
        until=now - delay,
    ).num_rows
    return Fresh(rows, _corrected(dataset, since, seen))


def _corrected(dataset: DatasetVersion, since: str, seen: DatasetVersion | None) -> bool:
    """Return whether a partition up to that of a training has other rows than the training has seen."""
    history = [published for published in tables.versions(dataset.uri) if published.partition <= since]
    first = min((published.version for published in history if published.partition == since), default=None)
    then = seen.version if seen is not None else first
    return then is not None and _contents(history, dataset.version) != _contents(history, then)


def _contents(history: Sequence[DatasetVersion], version: int) -> dict[str, str]:
    # The newest version comes first, so in reverse it is the one that stays.
    return {
        published.partition: published.digest
        for published in reversed(history)
        if published.version <= version
    }
