"""``airflow mlops erase``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mlops.cli import terminal
from airflow_mlops.cli.places import table_uri
from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    from argparse import Namespace

    import pyarrow as pa
    from airflow.sdk import ObjectStoragePath

    from airflow_mlops.domain.facts.erasure import Erasure, TableErasure
    from airflow_mlops.stages.erase.subject import DataSubject
    from airflow_mlops.stores.outputs.tables import Writer

_REMAINS = (
    "Erase them at the source too, or the next ingest brings them back. What is not touched: models and their runs in MLflow "
    "(samples, summaries), drift pages, mails that were sent, replays, files that people exported, backups. See docs/privacy.md."
)


def erase(args: Namespace) -> None:
    """Print what an erasure of some rows takes, and what cannot be repeated afterwards; erase them if told to.

    :raises SystemExit: if the rows cannot be named like that, or something is left to do.
    """
    import getpass

    from airflow_mlops.cli import connect
    from airflow_mlops.stages.erase import erase as stage
    from airflow_mlops.stages.erase import exported

    if args.delete and not (args.reason or "").strip():
        raise SystemExit("--reason is empty; say why, the record of erasures keeps it.")
    uris = {table: table_uri(args.name, table) for table in stage.TABLES}
    with _errors():
        columns, values = _values(args)
        planned, theirs = stage.plan(connect.mlflow(), args.name, uris, columns, values)
        planned = planned.model_copy(update={"pages": tuple(_pages(planned))})
        _print(planned)
        outputs = _outputs(args)
        exports = _exported(args, theirs, uris)
        for output in outputs:
            print(f"Output {output.describe(None)}: written again for partitions whose predictions change.")
        if not args.delete:
            print(f"Nothing was erased; --delete does it. {_REMAINS}")
            return
        for path, columns in exports.items():
            exported.take_out(path, theirs, columns)
        record = table_uri(args.name, "erasures")
        delivered = stage.delivered(planned, record)
        for page in planned.pages:
            _path(page).unlink(missing_ok=True)
        done = stage.erase(
            planned,
            theirs,
            uris,
            record=record,
            by=getpass.getuser(),
            reason=args.reason.strip(),
        )
    print(
        f"Erased {counted(done.rows, 'row')}, and {counted(done.files - done.young, 'file')} that held them. {_REMAINS}"
    )
    left = [*_delivered(args.name, planned, delivered, outputs), *_young(done)]
    if left:
        raise SystemExit("\n".join(left))


def erasures(args: Namespace) -> None:
    """Print what was erased from a dataset, when, by whom and why.

    :raises SystemExit: if nothing was.
    """
    from airflow_mlops.stages.erase import erase as stage

    with _errors():
        record = stage.erasures(table_uri(args.name, "erasures"))
    if not record:
        raise SystemExit(f"Nothing was ever erased from {args.name!r}.")
    rows = [
        {
            "when": f"{at:%Y-%m-%d %H:%M:%S}",
            "stage": step,
            "by": by,
            "reason": reason,
            "chosen by": ", ".join(facts.columns),
            "rows": facts.rows,
            "files": facts.files,
            "not trained again": ", ".join(facts.models),
        }
        for at, step, by, reason, facts in record
    ]
    terminal.print_as(rows, args.output)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error


def _values(args: Namespace) -> tuple[list[str], list[list[str]]]:
    """Return the columns and the values that choose the rows."""
    import csv
    from pathlib import Path

    if bool(args.where) == bool(args.keys):
        raise SystemExit("Name the rows by --where column=value or by --keys FILE, one of the two.")
    if args.keys:
        rows = list(csv.reader(Path(args.keys).read_text(encoding="utf-8-sig").splitlines()))
        rows = [row for row in rows if row]
        if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
            raise SystemExit(
                f"{args.keys} needs a line of columns, and under it a line of values for each row."
            )
        return rows[0], rows[1:]
    pairs = [text.partition("=") for text in args.where]
    names = [name for name, _, _ in pairs]
    if not all(mark and name for name, mark, _ in pairs) or len({*names}) < len(names):
        raise SystemExit("Write --where column=value, each column once; several have to hold together.")
    return names, [[value for _, _, value in pairs]]


def _exported(args: Namespace, theirs: DataSubject, uris: Mapping[str, str]) -> dict[str, pa.Schema]:
    """Return the exported files that hold some of the rows, with the columns of the dataset."""
    from airflow_mlops.stages.erase import exported
    from airflow_mlops.stores.tables import delta, tables

    holding: dict[str, pa.Schema] = {}
    table = next(uri for name in ("data", "staging") if tables.exists(uri := uris[name]))
    columns = delta.schema(table)
    columns = columns.remove(columns.get_field_index(tables.PARTITION))
    for path in args.export or ():
        rows = exported.count(path, theirs, columns)
        print(f"Exported file {path}: {rows:,} rows{' are taken out' if rows else ''}.")
        if rows:
            holding[path] = columns
    return holding


def _outputs(args: Namespace) -> list[Writer]:
    """Return the outputs of the model's spec; none of a dataset that has no spec."""
    from airflow_mlops.cli import connect, replay
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.domain.spec.specs import read
    from airflow_mlops.hooks import outputs

    try:
        spec = read(replay.find_spec(args.spec or args.name, connect.find_code()))
    except LookupError:
        if args.spec:
            raise
        print(f"There is no spec models/{args.name}.yaml: if predictions go to outputs, name it by --spec.")
        return []
    written = spec.score.outputs if isinstance(spec, ModelSpec) else ()
    return [outputs.from_spec(output) for output in written]


def _pages(planned: Erasure) -> Iterator[str]:
    return (page for page in planned.pages if _path(page).exists())


def _path(page: str) -> ObjectStoragePath:
    from airflow_mlops.runs import report_path

    return report_path(page)


def _print(planned: Erasure) -> None:
    for part in planned.tables:
        print(_line(part))
    if planned.models:
        print(f"Cannot be trained again afterwards: {', '.join(planned.models)}.")
    if planned.keeping:
        print(
            f"Keep rows that they were fitted to, in the model itself: {', '.join(planned.keeping)}. Train again, and remove "
            "these versions and their runs."
        )
    if planned.validations:
        print(f"Reports on validation lose their samples: {', '.join(planned.validations)}.")
    if planned.notices:
        print(f"Notices in the outbox lose their samples: {planned.notices:,}.")
    for page in planned.pages:
        print(f"Report page that is deleted: {page}")


def _line(part: TableErasure) -> str:
    if not part.files:
        return f"{part.table}: no rows."
    rows = sum(partition.rows for partition in part.partitions)
    names = ", ".join(partition.partition for partition in part.partitions) or "none"
    text = f"{part.table}: {counted(rows, 'row')} in partitions {names}; {part.files:,} files hold them"
    if part.versions:
        text += f"; versions {_ranges(part.versions)} cannot be read afterwards"
    return f"{text}."


def _ranges(numbers: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in spans)


def _delivered(
    model: str, planned: Erasure, partitions: Sequence[str], outputs: Sequence[Writer]
) -> Iterator[str]:
    """Write the predictions that stay to the outputs, and yield what could not be written."""
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.stores.outputs.tables import ScoredPartition
    from airflow_mlops.stores.tables import tables

    uri = table_uri(model, "predictions")
    for key in partitions:
        partition = Partition.parse(key, planned.grain)
        predictions = ScoredPartition(model, partition, planned.key, uri, tables.open_table(uri).version())
        for output in outputs:
            try:
                output.write(predictions)
            except Exception as error:  # noqa: BLE001 - databases and object stores raise what they like
                yield (
                    f"{output.describe(partition)} still has the rows of {key} ({type(error).__name__}: {error}); have them "
                    f"written again: airflow dags clear {model}.score --partition-key {key} --yes"
                )


def _young(done: Erasure) -> Iterator[str]:
    if done.young:
        yield (
            f"{done.young:,} files that hold the rows are of no version and less than a day old: a run under way may have "
            "written them. Run this again tomorrow."
        )
