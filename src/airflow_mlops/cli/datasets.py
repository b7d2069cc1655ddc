"""``airflow mlops datasets``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_mlops.cli import terminal
from airflow_mlops.cli.places import datasets, strange_ledgers, table_uri
from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_mlops.domain.facts.coverage import Coverage
    from airflow_mlops.domain.facts.results import DatasetVersion
    from airflow_mlops.stores.tables.tables import Commit


def show(args: Namespace) -> None:
    """Print the versions of a dataset, oldest first, or all datasets; in a table also watermark and gaps.

    :raises SystemExit: if there is no such dataset.
    """
    from airflow_mlops.stores.tables import tables

    if args.name is None:
        _show_all(args.output)
        return
    with _exit_on_error():
        commits = _commits(args.name)[::-1]
        coverage = tables.coverage(table_uri(args.name, "data"))
    if args.partition:
        commits = [commit for commit in commits if commit.version.partition == args.partition]
        if not commits:
            raise SystemExit(f"Partition {args.partition} of {args.name!r} was never published.")
    columns = terminal.width() if args.output == "table" else None
    is_narrow = columns is not None and columns < terminal.WIDE
    terminal.print_as(commits, args.output, _narrow if is_narrow else _columns)
    if args.output == "table":
        if is_narrow:
            print(
                f"A terminal of {terminal.WIDE} columns, or --output json, has transform, source and run too."
            )
        print(f"Published: {counted(coverage.partitions, 'partition')}, {coverage.first} to {coverage.last}")
        print(f"Watermark: {coverage.watermark}, the last before which none is missing")
        print(f"Gaps: {_gaps(coverage)}")


def diff(args: Namespace) -> None:
    """Print the differences between the partitions that two versions published.

    :raises SystemExit: if there is no such dataset or version.
    """
    with _exit_on_error():
        versions = {commit.version.version: commit.version for commit in _commits(args.name)}
    after = max(versions) if args.after is None else args.after
    for number in (args.before, after):
        if number not in versions:
            raise SystemExit(
                f"Version {number} of {args.name!r} published nothing; those that did are {_some(sorted(versions))}."
            )
    terminal.print_as(list(_differences(versions[args.before], versions[after])), args.output)


def export(args: Namespace) -> None:
    """Write a dataset to a file: its latest version, a version by number, or the version at a time of publishing.

    :raises SystemExit: if there is no such dataset, version or partition, or the file cannot be written.
    """
    from airflow_mlops.stores.tables import exports, tables

    with _exit_on_error():
        uri, version = table_uri(args.name, "data"), _chosen(args)
        keys = sorted(
            str(partition[tables.PARTITION]) for partition in tables.open_table(uri, version).partitions()
        )
        if args.partition and args.partition not in keys:
            raise SystemExit(
                f"Version {version} of {args.name!r} has no partition {args.partition}; it has {_some(keys)}."
            )
        rows = tables.batches(uri, version=version, partition=args.partition)
        try:
            count = exports.write(rows, args.output_file, args.overwrite)
        except FileNotFoundError as error:
            if str(error).startswith("there is no folder"):
                raise
            raise SystemExit(
                f"Version {version} of {args.name!r} was removed by a vacuum or an erasure: {error}"
            ) from error
    what = f"{args.name} {args.partition}" if args.partition else args.name
    print(f"{args.output_file}: {counted(count, 'row')} of {what}, version {version}.")


def vacuum(args: Namespace) -> None:
    """Print the files that no version that has to stay needs, and remove them with ``--delete``.

    :raises SystemExit: if there is no such dataset, or if the versions that have to stay cannot be found out.
    """
    from airflow_mlops import config
    from airflow_mlops.cli import connect
    from airflow_mlops.stores import retention
    from airflow_mlops.stores.tables import removal, tables

    with _exit_on_error():
        _commits(args.name)
        if strange := strange_ledgers():
            raise SystemExit(
                f"{', '.join(map(repr, strange))} under {config.storage()} has a promotion ledger, but a name that no spec could "
                "have, so that what its champions learned from cannot be told. Move it away, or give it a name of small letters, "
                "digits and _; until then nothing is removed."
            )
        ledgers = {name: uri for name in datasets() if tables.exists(uri := table_uri(name, "ledger"))}
        client = connect.mlflow()
        for table in ("data", "labels", "staging", "unreadable"):
            uri = table_uri(args.name, table)
            if not tables.exists(uri):
                continue
            needed = retention.needed(client, uri, ledgers)
            for version, why in sorted(needed.items()):
                whose = "" if table == "data" else f" of {table}"
                print(f"Version {version}{whose} stays: {why} was trained on it, and is or was champion.")
            unneeded = removal.vacuum(uri, needed, days=args.days, delete=args.delete)
            for file in unneeded.files:
                print(f"{uri}/{file}")
            verb = "were removed" if args.delete else "can be removed (--delete removes them)"
            print(f"{table}: {len(unneeded.files):,} files of {unneeded.size / 1e6:,.1f} MB {verb}.")


@contextmanager
def _exit_on_error() -> Iterator[None]:
    try:
        yield
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error


def _commits(name: str) -> list[Commit]:
    """Return the versions of a dataset, newest first."""
    from airflow_mlops.stores.tables import tables

    uri = table_uri(name, "data")
    if not (commits := list(tables.history(uri))):
        raise SystemExit(f"Nothing of {name!r} was published at {uri}.")
    return commits


def _show_all(output: str) -> None:
    rows = _all()
    unread = [row for row in rows if isinstance(row["partitions"], str)] if output == "table" else []
    if read := [row for row in rows if row not in unread]:
        terminal.print_as(read, output)
    for row in unread:
        # A sentence makes every column of a table narrow.
        print(terminal.wrapped(f"{row['name']}: {row['partitions']}"))


def _all() -> list[dict[str, object]]:
    from airflow_mlops import config
    from airflow_mlops.stores.tables import tables

    rows: list[dict[str, object]] = []
    for name in datasets():
        try:
            coverage = tables.coverage(table_uri(name, "data"))
        except (LookupError, OSError, RuntimeError, ValueError) as error:
            nothing = dict.fromkeys(["first", "watermark", "last", "gaps"], "")
            rows.append({"name": name, "partitions": str(error), **nothing})
            continue
        if coverage.partitions:
            facts = {"first": coverage.first, "watermark": coverage.watermark, "last": coverage.last}
            rows.append(
                {"name": name, "partitions": coverage.partitions, **facts, "gaps": len(coverage.gaps)}
            )
    if not rows:
        raise SystemExit(f"No dataset was published at {config.storage()}.")
    return rows


def _columns(commit: Commit) -> dict[str, object]:
    version = commit.version
    changed = version.difference
    return {
        "version": version.version,
        "partition": version.partition,
        "rows": version.rows,
        "difference": f"+{changed.added} -{changed.removed} ~{changed.changed}" if changed else "",
        "digest": version.digest[:12],
        "transform": version.transform or "",
        "source": commit.source,
        "run": commit.run,
        "published": f"{commit.committed_at:%Y-%m-%d %H:%M:%S}",
    }


def _narrow(commit: Commit) -> dict[str, object]:
    names = ("version", "partition", "rows", "difference", "digest")
    columns = {name: value for name, value in _columns(commit).items() if name in names}
    return columns | {"published": f"{commit.committed_at:%Y-%m-%d %H:%M}"}


def _gaps(coverage: Coverage) -> str:
    return f"{len(coverage.gaps):,}: {_some(coverage.gaps)}" if coverage.gaps else "none"


def _some(values: list[int] | list[str] | tuple[str, ...]) -> str:
    texts = list(map(str, values))
    return ", ".join([*texts[:10], "…", texts[-1]] if len(texts) > 12 else texts)


def _differences(before: DatasetVersion, after: DatasetVersion) -> Iterator[dict[str, str]]:
    for name in dict.fromkeys([*before.columns, *after.columns]):
        old, new = before.columns.get(name, ""), after.columns.get(name, "")
        if old != new:
            yield _line(f"column {name}", old, new)
    yield _line("partition", before.partition, after.partition)
    yield _line("rows", str(before.rows), str(after.rows))
    yield _line("digest", before.digest[:12], after.digest[:12])
    yield _line("transform", before.transform or "", after.transform or "")


def _line(what: str, before: str, after: str) -> dict[str, str]:
    change = "" if before == after else "added" if not before else "lost" if not after else "changed"
    return {"what": what, "before": before, "after": after, "change": change}


def _chosen(args: Namespace) -> int:
    """Return the number of the version to write: by number, by time, or the latest."""
    from airflow_mlops.stores.tables import tables

    if args.version is not None and args.as_of is not None:
        raise SystemExit("Name a version or a time, not both.")
    commits = _commits(args.name)
    latest = tables.open_table(table_uri(args.name, "data")).version()
    if args.as_of is not None:
        time = datetime.fromisoformat(args.as_of)
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        version = next((commit.version.version for commit in commits if commit.committed_at <= time), None)
        if version is None:
            first = commits[-1].committed_at
            raise SystemExit(
                f"Nothing of {args.name!r} was published by {time:%Y-%m-%d %H:%M:%S %Z}; the first was at "
                f"{first:%Y-%m-%d %H:%M:%S} UTC. --as-of is the time of publishing, not that of the events."
            )
        return version
    chosen: int = latest if args.version is None else args.version
    if not 0 <= chosen <= latest:
        raise SystemExit(f"{args.name!r} has no version {chosen}; the latest is {latest}.")
    return chosen
