"""Champions and challengers by the ledger: which version serves, with the digest that its move has recorded.

An alias says only where MLflow points. What serves is what a move of the ledger has put there: it was promoted, restored or
adopted with a digest, and whatever has another digest, or was put there by somebody else, does not serve.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.ledger import Row

log = logging.getLogger(__name__)

# A move between the reading of the ledger and that of the alias makes the two differ; the next reading settles it.
_READINGS = 3


class Standing(NamedTuple):
    """The version that serves, and what is wrong with the alias.

    :param champion: the ledger's champion; None if there is none.
    :param problem: why the alias is not where the ledger has put it; "" if it is.
    :param live: False for a partition that is being replayed, where the alias says nothing.
    """

    champion: ModelRef | None
    problem: str = ""
    live: bool = True


def champion(client: Client, model: str, storage: str) -> ModelRef | None:
    """Return the champion, as the ledger has recorded it; None if there is none.

    If somebody has moved or deleted the alias, the ledger's champion is returned all the same, as it goes on serving; a warning
    in the log says what is wrong.

    :param storage: where the tables are, ``[mlops] storage`` of the deployment.
    :raises DigestMismatch: if the champion has another digest than the ledger, or if nothing in the ledger has made the version
        with the alias champion.
    :raises ModelNotFound: if the version with the alias is not ready.
    :raises RegistryUnavailable: if MLflow does not answer, which is never the same as having no champion.
    :raises TableUnreadable: if the ledger cannot be read.
    """
    standing = current(client, tables.uri_of(storage, model, "ledger"), model)
    if standing.problem:
        log.warning("%s: %s", model, standing.problem)
    return standing.champion


def current(client: Client, ledger_uri: str, model: str) -> Standing:
    """Return the champion at the live edge.

    If somebody has moved or deleted the alias, the ledger's champion goes on serving, and the problem says so.

    :raises DigestMismatch: if the champion has another digest than the ledger, or if the alias is at a version that the ledger
        has never made champion and there is none of the ledger that could serve instead.
    :raises ModelNotFound: if the version with the alias is not ready.
    :raises RegistryUnavailable: if MLflow does not answer, which is never the same as having no champion.
    """
    rows = ledger.rows(ledger_uri)
    for _ in range(_READINGS):
        aliased = registry.champion_version(client, model)
        last, claims = _last_move(rows), _claims(rows)
        digest = _recorded(last, claims, aliased)
        if aliased is not None and digest is not None:
            return Standing(registry.version(client, model, aliased, digest))
        if aliased is None and last is None:
            return Standing(None)
        rows = ledger.rows(ledger_uri)
        if _last_move(rows) == last and _claims(rows) == claims:
            break
    return _astray(client, model, last, aliased)


def overtaken(source: str | Sequence[Row], partition: str) -> str | None:
    """Return the latest partition that was decided on, if it is later than this one; None if none is.

    What is decided on a partition from then on is for the record: a candidate of that time, which has seen less, never follows
    what later data has decided.
    """
    latest = ledger.latest_partition(source)
    return latest if latest is not None and latest > partition else None


def to_beat(client: Client, ledger_uri: str, model: str, partition: str) -> Standing:
    """Return the champion that a candidate of a partition is judged against.

    That is the champion of its time once later partitions have been decided. The errors are those of :func:`current` and
    :func:`as_of`.
    """
    rows = ledger.rows(ledger_uri)
    if overtaken(rows, partition):
        return Standing(as_of(client, rows, model, partition), live=False)
    return current(client, ledger_uri, model)


def _last_move(rows: Sequence[Row]) -> Row | None:
    moves = ledger.moves(rows)
    return moves[-1] if moves else None


def _claims(rows: Sequence[Row]) -> list[Row]:
    """Return the moves of the champion that are under way."""
    return [row for row in ledger.pending(rows) if row.action not in ledger.CHALLENGES]


def _recorded(last: Row | None, claims: Sequence[Row], aliased: str | None) -> str | None:
    """Return the digest with which the ledger has put the alias at a version; None if it has not."""
    # A process that was killed after it had moved the alias has left its claim.
    rows = [*claims, *((last,) if last is not None else ())]
    return next((row.digest for row in rows if row.after == aliased), None)


def _astray(client: Client, model: str, last: Row | None, aliased: str | None) -> Standing:
    if last is None:
        raise DigestMismatch(
            f"Version {aliased} of {model!r} has the alias champion, but nothing in the ledger has made it so, and so it does "
            f"not serve. If it is to, run `airflow mlops adopt {model} {aliased} --reason …`; if not, delete the alias."
        )
    problem = astray(last, aliased)
    try:
        champion = registry.version(client, model, str(last.after), last.digest)
    except (ModelNotFound, DigestMismatch) as error:
        if aliased is None:
            return Standing(None, f"{problem}, and it cannot serve: {error}")
        raise DigestMismatch(
            f"{problem}; it does not serve, and neither can the ledger's champion: {error} Run `airflow mlops rollback {model} "
            f"--to VERSION --reason …` to a version that was champion, or `airflow mlops adopt {model} {aliased} --reason …`."
        ) from error
    return Standing(champion, f"{problem}; version {champion.version} goes on serving")


def astray(last: Row, aliased: str | None) -> str:
    """Say that the alias is not where the ledger's last move has put it."""
    made = f"{last.key} made version {last.after} the champion at {last.at:%Y-%m-%d %H:%M} UTC"
    if aliased is None:
        return f"there is no champion, though {made}: the alias, the version or the model was deleted outside of the ledger"
    return f"version {aliased} is champion, though {made}: the alias was moved outside of the ledger"


def as_of(client: Client, source: str | Sequence[Row], model: str, partition: str) -> ModelRef | None:
    """Return the version that was champion when a partition arrived; None if there was none.

    :param source: the ledger's URI, or its rows.
    :raises DigestMismatch: if the version has another digest by now, or the ledger has recorded none of it.
    :raises ModelNotFound: if the version is gone.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    rows = ledger.rows(source)
    version = ledger.champion_as_of(rows, partition)
    if version is None:
        return None
    digest = digest_as_of(rows, version, partition)
    if digest is None:
        raise DigestMismatch(
            f"Version {version} of {model!r} was champion at {partition}, but the ledger has recorded no digest of it, by which "
            "it could be told from another version of that number."
        )
    return registry.version(client, model, version, digest)


def digest_as_of(source: str | Sequence[Row], version: str, partition: str) -> str | None:
    """Return the digest with which a version was champion when a partition arrived; None if the ledger has none."""
    rows = ledger.rows(source)
    moves = [row for row in ledger.moves(rows) if row.after == version and row.digest is not None]
    before = [row for row in moves if row.partition < partition]
    if moves:
        return (before[-1] if before else moves[0]).digest
    # A champion from before there was a ledger is named, with its digest, by the decisions that have kept it.
    kept = (row for row in rows if row.before == row.after == version and row.action not in ledger.CHALLENGES)
    return next((row.digest for row in kept if row.digest is not None), None)


def challenger(client: Client, source: str | Sequence[Row], model: str) -> ModelRef | None:
    """Return the challenger at the live edge; None if no version has the alias.

    :param source: the ledger's URI, or its rows.
    :raises DigestMismatch: if nothing in the ledger has made the version with the alias challenger, or if it has another digest.
    :raises ModelNotFound: if the version is not ready.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    aliased = registry.alias_version(client, model, registry.CHALLENGER)
    if aliased is None:
        return None
    rows = ledger.rows(source)
    move = ledger.challenger(rows)
    claims = [row for row in ledger.pending(rows) if row.action in ledger.CHALLENGES]
    for row in (*claims, *((move,) if move is not None else ())):
        if row.evidence.candidate == aliased:
            return registry.version(client, model, aliased, row.digest)
    raise DigestMismatch(
        f"Version {aliased} of {model!r} has the alias challenger, but nothing in the ledger has made it so, and so it does not "
        f"predict. If it is to, run `airflow mlops adopt {model} {aliased} --challenger --reason …`; if not, delete the alias."
    )
