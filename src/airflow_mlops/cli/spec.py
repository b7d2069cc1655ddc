"""``airflow mlops spec``."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.cli import first_rows, spec_code, spec_files, terminal
from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.domain.spec.source import Source
    from airflow_mlops.stores.sources.samples import Beginning


_KINDS = {
    "DataSpec": ": data alone, without task and target no model is trained",
    "MonitoringSpec": ": predictions of another system, which are watched; no model is trained",
}
"""What a spec is of that asks for less than a model."""


def check(args: Namespace) -> None:
    """Validate a spec file, with the suites, estimators and functions that it names, against the last file of its sources.

    Data elsewhere than on this machine is looked at only with ``--data``, and none with ``--no-data``, which imports no
    estimators either.

    :raises SystemExit: if something is wrong or cannot be read, with all problems and code 1.
    """
    from airflow_mlops.domain.spec.specs import load_spec
    from airflow_mlops.exceptions import SpecError
    from airflow_mlops.stages.validate import suites

    if args.data and args.no_data:
        raise SystemExit("--data looks at the data wherever it is, and --no-data at none: give one of them.")
    try:
        spec = load_spec(args.file)
    except (SpecError, OSError) as error:
        raise SystemExit(str(error)) from None
    # A DAG file finds what lies beside it; its specs lie there too, or in a folder below.
    folder = Path(args.file).resolve().parent
    problems = [*suites.check(spec.expectations)]
    problems += spec_code.problems(spec, [folder, folder.parent], builds=not args.no_data)
    lines, wrong = ([], []) if args.no_data else _of_data(spec, folder, everywhere=args.data)
    if not (problems + wrong):
        kind = _KINDS.get(type(spec).__name__, "")
        print(terminal.wrapped(f"{args.file}: {spec.name} is valid{kind}."))
    for line in lines:
        print(terminal.wrapped(line))
    if problems + wrong:
        raise SystemExit("\n".join(map(terminal.wrapped, problems + wrong)))


def _of_data(spec: DataSpec, folder: Path, *, everywhere: bool) -> tuple[list[str], list[str]]:
    """Return what the last file of each source tells, and what is wrong with it.

    :param folder: that the spec lies in.
    :param everywhere: look at files elsewhere too, and at labels and features.
    """
    from airflow_mlops.domain.spec.predicted import PredictionSpec

    # A transform may make, or rename, any column.
    needed = () if spec.transform else _columns(spec)
    types = {} if spec.transform else spec.types or {}
    keeps_apart = spec.on_unreadable == "quarantine"
    sources: list[tuple[str, Source | None, Sequence[str], Mapping[str, str], bool]] = [
        ("source", spec.source, needed, types, keeps_apart)
    ]
    if isinstance(spec, PredictionSpec):
        labels = {spec.target: "double"} if spec.task == "regression" else {}
        sources.append(("labels.source", spec.labels.source, (*spec.key, spec.target), labels, False))
    lines: list[str] = []
    problems: list[str] = []
    if everywhere and spec.source.files is None:
        problems.append("source: no look at the data: --data looks at files only")
    for place, source, names, expected, apart in sources:
        if source is not None and source.files is not None:
            said, wrong, rows = _of_files(
                source, names, expected, spec.pii, folder, keeps_apart=apart, everywhere=everywhere
            )
            wrong += (
                spec_files.of_bounds(spec, source.files, everywhere=everywhere)
                if source is spec.source
                else []
            )
            if everywhere and rows is not None and isinstance(spec, PredictionSpec):
                labels_of_rows, wrong_labels = first_rows.of_labels(spec, rows)
                said += labels_of_rows
                wrong += wrong_labels
                said += first_rows.of_features(spec, rows) if source is spec.source else []
            lines += [f"{place}.files: {line}" for line in said]
            problems += [f"{place}.files: {line}" for line in wrong]
    return lines, problems


def _columns(spec: DataSpec) -> tuple[str, ...]:
    """Return the columns of the data that the spec names, without those of its expectations."""
    from airflow_mlops.domain.spec.model import ModelSpec

    needed = (*spec.key, spec.event_time, *spec.columns)
    if not isinstance(spec, ModelSpec):
        return needed
    rows = [column for column in (spec.train.weights, spec.train.groups) if column is not None]
    apart = [column for part in (spec.gates.slices, spec.gates.fairness) if part for column in part.by]
    return (*needed, *rows, *apart, *spec.monitor.performance.slices)


def _of_files(
    source: Source,
    names: Sequence[str],
    expected: Mapping[str, str],
    pii: Sequence[str],
    folder: Path,
    *,
    keeps_apart: bool,
    everywhere: bool,
) -> tuple[list[str], list[str], pa.Table | None]:
    """Return what the last file of a source tells, such as options that would read its numbers, what is wrong, and its first rows.

    :param names: columns that it must have.
    :param expected: types that columns must have.
    :param pii: columns whose values are not shown.
    :param folder: that the spec lies in.
    :param keeps_apart: whether rows with other values are set aside.
    """
    from airflow_mlops.stores.sources import samples

    assert source.files is not None
    if not everywhere and not spec_files.is_local(source.files):
        return [], [], None
    try:
        there = spec_files.listed(source.files)
        if not there:
            return [], [spec_files.missing(source.files, folder)], None
        sample = samples.look(there[-1], expected, pii)
    except (OSError, ValueError, EOFError) as error:
        return [], [f"no look at the data: {error}"], None
    columns = {column.casefold(): column for column in sample.columns}
    absent = [name for name in dict.fromkeys(names) if columns and name not in columns.values()]
    ends = (
        "; their rows are set aside"
        if keeps_apart
        else "; correct them, or set such rows aside (on_unreadable: quarantine)"
    )
    unreadable = [line + ends for line in sample.unreadable]
    wrong = [] if keeps_apart else unreadable
    for name in absent:
        close = get_close_matches(name.casefold(), columns, n=1)
        hint = (
            f"; did you mean {columns[close[0]]!r}?"
            if close
            else f"; it has {', '.join(sample.columns)[:500]}"
        )
        wrong.append(f"{there[-1].name} has no column {name!r}{hint}")
    looked = [_looked(there[-1].name, sample)] if everywhere else []
    return [*looked, *sample.advice, *(unreadable if keeps_apart else ())], wrong, sample.rows


def _looked(file: str, sample: Beginning) -> str:
    count = sample.rows.num_rows if sample.rows is not None else 0
    rows = counted(count, "row")
    return f"looked at {f'all {rows}' if sample.is_whole else f'the first {rows}'} of {file}, the last file"


def schema(args: Namespace) -> None:
    """Print the JSON Schema of a spec."""
    from airflow_mlops.domain.spec import specs

    print(json.dumps(specs.json_schema(), indent=2))
