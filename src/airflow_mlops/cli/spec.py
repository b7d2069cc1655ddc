"""``airflow mlops spec``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace


def check(args: Namespace) -> None:
    """Validate a spec file, and the suites that it names.

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


def schema(args: Namespace) -> None:
    """Print the JSON Schema of a spec."""
    from airflow_mlops.domain.spec.model import ModelSpec

    print(json.dumps(ModelSpec.json_schema(), indent=2))
