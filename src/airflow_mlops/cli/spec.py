"""``airflow mlops spec``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_mlops.domain.spec.source import Source


def check(args: Namespace) -> None:
    """Validate a spec file, and the suites that it names; look at the last file of its sources, if it is reachable.

    Files elsewhere than on this machine are looked at only with ``--data``.

    :raises SystemExit: if the spec or a suite is wrong or cannot be read, with all problems and code 1.
    """
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.exceptions import SpecError
    from airflow_mlops.stages.validate import suites

    try:
        spec = ModelSpec.load(args.file)
    except (SpecError, OSError) as error:
        raise SystemExit(str(error)) from None
    if problems := list(suites.check(spec.expectations)):
        raise SystemExit("\n".join(problems))
    print(f"{args.file}: {spec.name} is valid.")
    for place, source in (("source", spec.source), ("labels.source", spec.labels.source)):
        if source is not None and source.files is not None:
            for line in _looked_at(source, everywhere=args.data):
                print(f"{place}.files: {line}")


def _looked_at(source: Source, *, everywhere: bool) -> list[str]:
    """Return what the last file of a source tells: options that would read columns that look like numbers or times."""
    from airflow_mlops.hooks.source_files import FileSource
    from airflow_mlops.hooks.sources import from_spec
    from airflow_mlops.stores.sources import samples

    files = from_spec(source)
    assert isinstance(files, FileSource)
    if not everywhere and ("://" in files.path or files.conn_id is not None):
        return []
    try:
        there = files.files(None)
        if not there:
            return [f"there is no file {files.describe(None)} to look at"] if everywhere else []
        return samples.advise(there[-1])
    except (OSError, ValueError, EOFError) as error:
        return [f"no look at the data: {error}"]


def schema(args: Namespace) -> None:
    """Print the JSON Schema of a spec."""
    from airflow_mlops.domain.spec.model import ModelSpec

    print(json.dumps(ModelSpec.json_schema(), indent=2))
