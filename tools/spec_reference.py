"""Write the reference of the spec into a folder of docs: ``python -m tools.spec_reference docs``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from airflow_mlops.domain.spec import specs
from airflow_mlops.domain.spec.fields import iso
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.domain.spec.problems import keys
from airflow_mlops.domain.spec.section import Section

PAGE, SCHEMA = "model-spec.md", "model-spec.schema.json"
_TABLE = re.compile(r"(?<=<!-- fields -->\n).*(?=<!-- end of fields -->)", re.DOTALL)


def schema() -> str:
    """Return the JSON Schema as text."""
    return json.dumps(specs.json_schema(), indent=2) + "\n"


def table() -> str:
    """Return a Markdown table of every field."""
    rows = [
        *_rows(ModelSpec, ""),
        *(
            row.replace("| required |", "|  |")
            for row in _rows(MonitoringSpec, "")
            if row.startswith("| `predictions")
        ),
    ]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def page(text: str) -> str:
    """Return the page with its table renewed."""
    return _TABLE.sub(lambda _: f"\n{table()}\n", text)


def _rows(model: type[BaseModel], above: str) -> Iterator[str]:
    for (key, section), field in zip(keys(model).items(), model.model_fields.values(), strict=True):
        listed = (
            "[]" if section and field.get_default(call_default_factory=True, validated_data={}) == () else ""
        )
        yield f"| `{above}{key}` | {_default(field)} | {field.description} |"
        if section:
            yield from _rows(section, f"{above}{key}{listed}.")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Section):
        value = value.model_dump(mode="json", exclude_defaults=True)
        if isinstance(value, str):
            return f"`{value}`"
        return f"`{{{', '.join(f'{key}: {part}' for key, part in value.items())}}}`" if value else "as below"
    shown = (
        iso(value) if isinstance(value, timedelta) else value if isinstance(value, str) else json.dumps(value)
    )
    return f"`{shown}`" if shown else ""


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / SCHEMA).write_text(schema(), encoding="utf-8")
    written = (folder / PAGE).read_text(encoding="utf-8")
    (folder / PAGE).write_text(page(written), encoding="utf-8")
