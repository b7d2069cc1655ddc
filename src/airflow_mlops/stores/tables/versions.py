"""Versions of a dataset, read from the commits of its table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from airflow_mlops.domain.addresses import shown
from airflow_mlops.domain.facts.coverage import Coverage
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.exceptions import OtherPartitions
from airflow_mlops.stores import damage
from airflow_mlops.stores.tables.delta import PARTITION, errors, exists, open_table

_FACTS = "airflow_mlops.dataset"
_PINNED = "airflow_mlops.pinned"
_RENAMED = "airflow_mlops.renamed"


class Commit(NamedTuple):
    """A dataset version, and where it came from.

    :param run: the run that wrote it.
    :param source: where its rows came from, in words.
    :param policy: what the partition was allowed to change in the columns; None if no policy was applied.
    :param readable: the version to read it at: its own, unless an erasure has taken files away that this one had.
    :param ambiguous: which one was meant by a time without an offset that occurs twice; None refused it.
    """

    version: DatasetVersion
    run: str
    source: str
    committed_at: datetime
    policy: SchemaPolicy | None
    readable: int
    ambiguous: str | None = None


def describe(
    version: DatasetVersion, run: str, source: str, policy: SchemaPolicy | None, ambiguous: str | None = None
) -> dict[str, str]:
    """Return the facts about a version that its commit keeps."""
    facts = version.model_dump(mode="json", exclude={"version", "changed"})
    metadata = {_FACTS: json.dumps(facts), "run": run, "source": source}
    metadata |= {"schema_policy": policy.value} if policy else {}
    return metadata | ({"ambiguous": ambiguous} if ambiguous else {})


def pin(uri: str, partitions: Sequence[str], run: str) -> None:
    """Have partitions read at a new version of the table, which has the same rows as the latest one.

    For partitions whose own version cannot be read any more since an erasure took rows of other partitions away.

    :param run: what pins them; kept in the commit.
    :raises WriteConflict: if another writer changed the table at the same time.
    """
    _mark(uri, {_PINNED: json.dumps(list(partitions)), "run": run})


def rename(uri: str, name: str, run: str) -> None:
    """Have all versions so far be those of a dataset of another name; nothing is written if they are.

    :param run: what renames it; kept in the commit.
    :raises WriteConflict: if another writer changed the table at the same time.
    """
    newest = next(versions(uri), None)
    if newest is not None and newest.name != name:
        _mark(uri, {_RENAMED: name, "run": run})


def _mark(uri: str, metadata: Mapping[str, str]) -> None:
    """Make a version that has the rows of the latest one, and says something about the versions before."""
    from deltalake import CommitProperties

    table = open_table(uri)
    with errors(uri):
        table.create_write_transaction(
            [],
            "append",
            table.schema(),
            [PARTITION],
            commit_properties=CommitProperties(custom_metadata=dict(metadata), max_commit_retries=0),
        )


def history(uri: str) -> Iterator[Commit]:
    """Yield every version of a dataset and where it came from, the newest first."""
    if not exists(uri):
        return
    limit, seen = 16, 0
    table = open_table(uri)
    pins: dict[str, int] = {}
    reached: set[str] = set()
    name: str | None = None
    while True:
        commits = table.history(limit)
        for commit in commits[seen:]:
            with damage.errors(f"Commit {commit['version']} of {shown(uri)}"):
                pinned = json.loads(commit.get(_PINNED, "[]"))
            for partition in pinned:
                if partition not in reached:
                    pins.setdefault(partition, commit["version"])
            name = name or commit.get(_RENAMED)
            if _FACTS in commit:
                # Storage may have been moved since, and a table has no other place than the one that it is read at.
                with damage.errors(f"Commit {commit['version']} of {shown(uri)}"):
                    facts = json.loads(commit[_FACTS]) | {"uri": uri} | ({"name": name} if name else {})
                    version = DatasetVersion(version=commit["version"], **facts)
                reached.add(version.partition)
                yield Commit(
                    version,
                    commit.get("run", ""),
                    commit.get("source", ""),
                    datetime.fromtimestamp(commit["timestamp"] / 1000, UTC),
                    SchemaPolicy(commit["schema_policy"]) if "schema_policy" in commit else None,
                    pins.pop(version.partition, version.version),
                    commit.get("ambiguous"),
                )
        if len(commits) < limit:
            return
        seen, limit = limit, limit * 4


def versions(uri: str) -> Iterator[DatasetVersion]:
    """Yield every version of a dataset, the newest first, with the number of the table's version to read it at."""
    for commit in history(uri):
        version, readable = commit.version, commit.readable
        yield version if readable == version.version else version.model_copy(update={"version": readable})


def published(uri: str, partition: str) -> DatasetVersion | None:
    """Return the newest version of one partition; None if it was never published."""
    return next((version for version in versions(uri) if version.partition == partition), None)


def latest(uri: str) -> DatasetVersion | None:
    """Return the version of the latest partition; None if nothing was published."""
    by_partition = newest(uri)
    return by_partition[max(by_partition)] if by_partition else None


def newest(uri: str) -> dict[str, DatasetVersion]:
    """Return the newest version of each partition, by its key."""
    by_partition: dict[str, DatasetVersion] = {}
    for version in versions(uri):
        by_partition.setdefault(version.partition, version)
    return by_partition


def current(uri: str, partition: str) -> DatasetVersion | None:
    """Return the version of a partition whose rows the table holds now; None if it holds none."""
    if not exists(uri) or partition not in partitions(uri):
        return None
    return published(uri, partition)


def partitions(uri: str) -> list[str]:
    """Return the keys of all partitions that have rows, in order."""
    return sorted(str(partition[PARTITION]) for partition in open_table(uri).partitions())


def coverage(uri: str) -> Coverage:
    """Return which partitions are published, up to where without a gap, and which are missing."""
    grain = next((version.grain for version in versions(uri)), None)
    keys = partitions(uri) if grain else []
    if grain is None or not keys:
        return Coverage(partitions=0, first=None, watermark=None, last=None)
    first, last = (Partition.parse(key, grain) for key in (keys[0], keys[-1]))
    there = set(keys)
    gaps = tuple(partition.key for partition in first.through(last) if partition.key not in there)
    watermark = Partition.parse(gaps[0], grain).shift(-1).key if gaps else last.key
    return Coverage(partitions=len(keys), first=first.key, watermark=watermark, last=last.key, gaps=gaps)


def ingested(staged: DatasetVersion) -> Commit | None:
    """Return the commit of the ingest that a staged version comes from; None if there is none.

    Validation may have staged the partition again since, so the newest commit need not be that of an ingest.
    """
    for commit in history(staged.uri):
        is_ancestor = (
            commit.version.partition == staged.partition and commit.version.version <= staged.version
        )
        if is_ancestor and commit.policy is not None:
            return commit
    return None


def refuse_other_grain(published: DatasetVersion, partition: Partition, where: str) -> None:
    """Refuse a partition that would overlap with those that are published.

    :raises OtherPartitions: if they have another length, or another time zone.
    """
    if published.grain != partition.grain:
        raise OtherPartitions(
            f"{where} is a {partition.grain}, and {published.name!r} has partitions of a {published.grain}, which would "
            "overlap with it: put partition and timezone of the spec back, or give the model another name"
        )
