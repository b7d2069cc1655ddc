"""Write the index of expectations: what each expectation is called and takes, from Great Expectations itself.

Run ``python -m tools.expectation_index`` after a change of its version, or of our own expectations.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from airflow_mlops.domain.spec.expectations import FILE
from airflow_mlops.stages.validate.gx import quiet
from airflow_mlops.stages.validate.history import PARTITIONS, STATISTICS

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation as GxExpectation

_UNASKED = frozenset({"id", "rendered_content", "windows", "severity", "library_metadata"})
"""Fields that are no arguments, or that a spec sets in its own way."""

_SET_BY_US = frozenset({"result_format", "catch_exceptions", "batch_id"})
"""Arguments that would change how we read an answer."""

_KINDS = {
    str: "text",
    float: "number",
    int: "whole",
    bool: "truth",
    dict: "mapping",
    list: "list",
    tuple: "list",
    set: "list",
    datetime.date: "time",
    datetime.datetime: "time",
}
_MOST_ITEMS_PROBED = 3
_SAMPLES: dict[str, Any] = {"text": "x", "number": 1.0, "whole": 1, "truth": True, "time": 1.0}
_BROAD = {"quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 1]]}, "strftime_format": "%Y"}


def build() -> dict[str, Any]:
    """Return the index of the installed Great Expectations, with our own expectations beside its."""
    with quiet():
        import great_expectations
        from great_expectations.expectations import registry

        names = [
            name
            for name in registry.list_registered_expectation_implementations()
            if name.startswith("expect_")
        ]
        found = {name: _entry(registry.get_expectation_impl(name)) for name in names}
        version = great_expectations.__version__
    return {"great_expectations": version, "expectations": dict(sorted((found | dict(_ours())).items()))}


def text(index: dict[str, Any]) -> str:
    """Return the content of the file: an expectation a line, so that a change of one is a change of a line."""
    entries = index["expectations"].items()
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries)
    version = json.dumps(index["great_expectations"])
    return f'{{"great_expectations": {version}, "expectations": {{\n{lines}\n}}}}\n'


def main() -> int:
    """Write the file."""
    FILE.write_text(text(build()), encoding="utf-8")
    return 0


def _ours() -> Iterator[tuple[str, dict[str, Any]]]:
    column = {"types": ["text"], "required": True}
    near = {
        "partitions": {"types": ["whole"], "minimum": 1},
        "tolerance": {"types": ["number"], "minimum": 0, "required": True},
    }
    for name, statistic in STATISTICS.items():
        args = {"column": column, **near} if statistic.of else near
        yield f"expect_{name}_{PARTITIONS}", {"args": args, "ours": True}


def _entry(kind: type[GxExpectation]) -> dict[str, Any]:
    fields = {
        name: field
        for name, field in kind.__fields__.items()
        if name not in _UNASKED | _SET_BY_US and field.outer_type_ is not None
    }
    args = {name: _argument(field) for name, field in fields.items()}
    for name, least in _least(kind, args):
        args[name]["least"] = least
    entry: dict[str, Any] = {"args": args}
    if kind.expectation_type.endswith("_to_be_between") and {"min_value", "max_value"} <= set(args):
        entry["bounds"] = True
    if not _for_frames(kind):
        entry["sql"] = True
    return entry


def _argument(field: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"types": [], **({"required": True} if field.required else {})}
    for part in _parts(field.outer_type_):
        if get_origin(part) is Literal:
            told["choices"] = sorted({*told.get("choices", ()), *get_args(part)})
            continue
        if (kind := _kind(part)) and kind not in told["types"]:
            told["types"].append(kind)
        if kind == "list" and _kind(next(iter(get_args(part)), None)) == "text":
            told["items"] = "text"
        for limit, key in (("ge", "minimum"), ("le", "maximum")):
            if getattr(part, limit, None) is not None:
                told[key] = getattr(part, limit)
    # Beside other types a mapping is a suite parameter, which has no value here: nobody passes any.
    if (len(told["types"]) > 1 or "choices" in told) and field.name != "row_condition":
        told["types"] = [kind for kind in told["types"] if kind != "mapping"]
    return told


def _parts(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is not None and origin is not Literal and not _kind(origin):
        yield from (part for each in get_args(annotation) for part in _parts(each))
    else:
        yield annotation


def _kind(annotation: Any) -> str | None:
    import collections.abc

    origin = get_origin(annotation) or annotation
    if not isinstance(origin, type) or origin is type(None):
        return None
    if origin is collections.abc.Sequence:
        return "list"
    # A model of Great Expectations, such as a condition, stands as a mapping in JSON.
    return next((_KINDS[base] for base in origin.__mro__ if base in _KINDS), _model(origin))


def _model(kind: type) -> str | None:
    return "mapping" if hasattr(kind, "__fields__") else None


def _least(kind: type[GxExpectation], args: dict[str, dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield how many items a list needs, found by asking with fewer."""
    sample = {name: _sample(name, told) for name, told in args.items() if told.get("required")}
    sample |= {"min_value": 0} if "min_value" in args else {}
    for name in (name for name, told in args.items() if told["types"][:1] == ["list"]):
        refused = [
            count
            for count in range(_MOST_ITEMS_PROBED)
            if not _builds(kind, {**sample, name: [("x", "y") if "pairs" in name else "x"] * count})
        ]
        if refused:
            yield name, max(refused) + 1


def _sample(name: str, told: dict[str, Any]) -> Any:
    if told["types"] == ["list"]:
        return [("x", "y")] * 2 if "pairs" in name else ["x", "y"]
    return _BROAD.get(name, _SAMPLES.get(told["types"][0], {}))


def _builds(kind: type[GxExpectation], args: dict[str, Any]) -> bool:
    try:
        kind(**args)
    except (TypeError, ValueError):
        return False
    return True


def _for_frames(kind: type[GxExpectation]) -> bool:
    """Tell whether it can be evaluated on a data frame, and not only in a database."""
    from great_expectations.exceptions.exceptions import MetricProviderError
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.expectations import registry

    one = getattr(kind, "map_metric", None)
    told = kind.schema()["properties"]["metadata"]["properties"]
    if one is None and "pandas" not in str(told.get("supported_data_sources", "pandas")).lower():
        return False
    needed = [f"{one}.unexpected_count"] if one else getattr(kind, "metric_dependencies", ())
    try:
        for name in needed:
            registry.get_metric_provider(name, PandasExecutionEngine())
    except MetricProviderError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
