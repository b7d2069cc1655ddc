"""``airflow mlops quarantine``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.cli import terminal
from airflow_mlops.cli.places import table_uri
from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_mlops.domain.facts.results import DatasetVersion
    from airflow_mlops.stages.ingest.quarantine import Aside, Released


def show(args: Namespace) -> None:
    """Print how many rows are set aside, by partition and reason.

    :raises SystemExit: if there are none, or no such model.
    """
    from airflow_mlops.stages.ingest import quarantine

    aside = _aside(args.model, args.partition)
    counts = quarantine.summary(aside, table_uri(args.model, "released"), args.partition)
    terminal.print_as(counts, args.output, _columns)


def export(args: Namespace) -> None:
    """Write the rows that are set aside to a file, with their reasons.

    :raises SystemExit: if there are none, or no such model, or the file cannot be written.
    """
    from airflow_mlops.stages.ingest import quarantine
    from airflow_mlops.stores.tables import exports

    aside = _aside(args.model, args.partition)
    try:
        count = exports.write(quarantine.rows(aside, args.partition), args.output_file, args.overwrite)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    print(f"{args.output_file}: {counted(count, 'row')} of {args.model}.")


def release(args: Namespace) -> None:
    """Let rows of a partition pass from its next run on, and print how to run it again.

    :raises SystemExit: if they cannot be released, saying why.
    """
    import getpass

    from airflow_mlops.exceptions import ReleaseRefused
    from airflow_mlops.stages.ingest import quarantine

    aside = _aside(args.model, args.partition)
    try:
        done = quarantine.release(
            _dataset(args.model, args.partition),
            quarantine=aside,
            released=table_uri(args.model, "released"),
            by=getpass.getuser(),
            reason=args.reason,
            file=args.file,
        )
    except ReleaseRefused as error:
        raise SystemExit(str(error)) from error
    print(_sentence(done, f"{args.model} {args.partition}"))
    print(
        "They go on when the partition is ingested again:\n"
        f"  airflow dags clear {args.model}.ingest --partition-key {args.partition} --yes"
    )


def _aside(model: str, partition: str | None) -> str:
    """Return the URI of a model's quarantine.

    :param partition: the partition that must have rows there; None means any.
    :raises SystemExit: if there are none, or no such model.
    """
    from airflow_mlops.stages.ingest import quarantine
    from airflow_mlops.stores.tables import tables

    uri = table_uri(model, "quarantine")
    uris = (uri, table_uri(model, "staging"), table_uri(model, "data"))
    if not any(map(tables.exists, uris)):
        raise SystemExit(f"There is no data of {model!r} at {uri.removesuffix('/quarantine')}.")
    partitions = quarantine.partitions(uri)
    if not partitions:
        raise SystemExit(f"No row of {model!r} is in quarantine.")
    if partition is not None and partition not in partitions:
        raise SystemExit(
            f"No row of {model!r} {partition} is in quarantine; {_some(partitions)} have rows there."
        )
    return uri


def _some(keys: list[str]) -> str:
    shown = [*keys[:5], "…", keys[-1]] if len(keys) > 6 else keys
    return ", ".join(shown)


def _dataset(model: str, partition: str) -> DatasetVersion:
    from airflow_mlops.stores.tables import tables

    for table in ("staging", "data"):
        version = tables.published(table_uri(model, table), partition)
        if version is not None:
            return version
    raise SystemExit(f"{model!r} {partition} was never ingested; run {model}.ingest first.")


def _columns(aside: Aside) -> dict[str, object]:
    return aside._asdict()


def _sentence(done: Released, where: str) -> str:
    new = done.as_they_are + done.corrected
    if not new:
        return f"Nothing to do: {counted(done.already, 'row')} of {where} were released so before."
    kinds = {"corrected": done.corrected, "as they are": done.as_they_are}
    breakdown = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    before = f"; {counted(done.already, 'row')} had been before" if done.already else ""
    return f"Released {counted(new, 'row')} of {where}: {breakdown}{before}."
