"""Expectations on one table, evaluated by Great Expectations: one frame and one graph of metrics a set of columns."""

from __future__ import annotations

import difflib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.exceptions import ValidationErrored
from airflow_mlops.stages.validate.words import describe

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation as GxExpectation

    from airflow_mlops.domain.spec.model import Expectation

FIRST = 200
"""Values that break an expectation and are looked at for different ones to show."""

_LISTED = 20
"""Names that a message lists at most."""

# Arguments that every expectation takes and that would change how we read its answer.
_OURS = frozenset({"result_format", "catch_exceptions", "batch_id"})
# Neither this format nor the one below asks for a query that would find the rows.
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": FIRST}
_ROWS = {"result_format": "COMPLETE", "partial_unexpected_count": 0, "return_unexpected_index_query": False}


class GxAnswer(NamedTuple):
    """What became of one expectation.

    :param result: what Great Expectations says; None if it could not even be asked.
    :param error: why it could not be evaluated; None if it could.
    :param rows: positions of the rows that broke it, counted from 0, if it is about rows and failed; else None.
    """

    result: ExpectationValidationResult | None
    error: str | None = None
    rows: Sequence[int] | None = None


def reads(each: Expectation, names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that an expectation reads; none if it is about rows and columns of a table as such.

    :param names: columns of the table, whose order they keep.
    """
    if is_about_shape(each):
        return ()
    condition = str(each.args.get("row_condition") or "")
    asked = set(describe(each.expectation, each.args).columns)
    # A condition names its columns; a name that only looks like one costs no more than reading it.
    found = [name for name in names if name in asked or (condition and name in condition)]
    return tuple(found or names)


def evaluate(table: pa.Table, expectations: Sequence[Expectation], names: Sequence[str]) -> list[GxAnswer]:
    """Evaluate expectations; one that raises does not keep the others from running.

    Those that read the same columns share one frame of these columns only, and one graph of metrics. Great Expectations
    copies whole frames where it leaves nulls out, and digests each frame that its own batches are made of: small
    frames, handed straight to its execution engine, spare both. Row positions are asked for once something has failed.

    :param table: at least one row, with the columns that the expectations read.
    :param names: all columns of the data, also those that were not read.
    :raises ValidationErrored: Great Expectations does not know an expectation or refuses its arguments.
    """
    answers: dict[int, GxAnswer] = {}
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, each in enumerate(expectations):
        if absent := _absent(each, names):
            answers[position] = GxAnswer(None, f"no column {absent}{near(absent, names)}")
        else:
            groups.setdefault(reads(each, names), []).append(position)
    with quiet():
        built = _build(expectations)
        for columns, positions in groups.items():
            frame = to_frame(table.select(columns)) if columns else _shape(table.num_rows, names)
            found = _ask(frame, [built[position] for position in positions])
            answers |= zip(positions, found, strict=True)
    return [answers[position] for position in range(len(expectations))]


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return the frame that is validated: rows by position, integers and booleans with nulls kept as such.

    Plain conversion makes floats of integers with nulls: large keys would collide, and the type of a column would
    depend on whether this partition has a null in it. Decimals become floats: of those, Great Expectations converts one
    by one, each with a look at the whole call stack, which takes hours for a million.
    """
    import pandas as pd
    import pyarrow as pa

    sizes = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    nullable = {pa.type_for_alias(size.lower()): pd.api.types.pandas_dtype(size) for size in sizes}
    nullable[pa.bool_()] = pd.BooleanDtype()
    plain = [pa.float64() if pa.types.is_decimal(field.type) else field.type for field in table.schema]
    table = table.cast(pa.schema(zip(table.column_names, plain, strict=True)))
    frame = table.to_pandas(ignore_metadata=True)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count and column.type in nullable:
            frame[name] = column.to_pandas(types_mapper=nullable.get)
    return frame


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Great Expectations from talking, and from changing how the process logs.

    It logs hundreds of lines when it is imported, and what raises it logs with the values that did. Its import turns on
    ``logging.captureWarnings`` for the whole process. All is put back as the host had it.
    """
    logger = logging.getLogger("great_expectations")
    level, showwarning = logger.level, warnings.showwarning
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        if warnings.showwarning is not showwarning:
            logging.captureWarnings(False)


def near(name: str, known: Sequence[str]) -> str:
    """Return the end of a message about an unknown name: those that it may have meant."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(sorted(known))}" if len(known) <= _LISTED else ""


def is_about_shape(each: Expectation) -> bool:
    """Tell whether an expectation is about rows and columns of a table as such, and reads no value."""
    name, conditional = each.expectation, each.args.get("row_condition")
    return name == "expect_column_to_exist" or (name.startswith("expect_table_") and not conditional)


def _absent(each: Expectation, names: Sequence[str]) -> str | None:
    asked = () if is_about_shape(each) else describe(each.expectation, each.args).columns
    return next((column for column in asked if column not in names), None)


def _shape(rows: int, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(False, index=range(rows), columns=list(names))


def _ask(frame: pd.DataFrame, built: Sequence[GxExpectation]) -> list[GxAnswer]:
    found = _answers(frame, built, _COUNTS)
    broken = [position for position, answer in enumerate(found) if _rows_broke(answer)]
    located = _answers(frame, [built[position] for position in broken], _ROWS)
    for position, answer in zip(broken, located, strict=True):
        rows = answer.result.result.get("unexpected_index_list") if answer.result else None
        found[position] = found[position]._replace(rows=rows or ())
    return found


def _rows_broke(answer: GxAnswer) -> bool:
    # Elsewhere `unexpected_count` counts distinct values.
    result = None if answer.error else answer.result
    return result is not None and not result.success and "element_count" in result.result


def _answers(
    frame: pd.DataFrame, built: Sequence[GxExpectation], result_format: Mapping[str, Any]
) -> list[GxAnswer]:
    if not built:
        return []
    try:
        answers = [_read(result) for result in _graph(frame, built, result_format)]
    except Exception as error:  # noqa: BLE001 - whatever one of them raises, the others still have to run
        answers = [GxAnswer(None, str(error) or type(error).__name__)]
    if len(built) == 1 or not any(answer.error for answer in answers):
        return answers
    # Results of those that raise come first, whatever their place, and may take others with them: ask each alone.
    return [answer for each in built for answer in _answers(frame, [each], result_format)]


def _graph(
    frame: pd.DataFrame, built: Sequence[GxExpectation], result_format: Mapping[str, Any]
) -> list[ExpectationValidationResult]:
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    validator = Validator(execution_engine=PandasExecutionEngine(batch_data_dict={"partition": frame}))
    validator.metrics_calculator.show_progress_bars = False
    configurations = [each.configuration for each in built]
    return validator.graph_validate(configurations, {"result_format": dict(result_format)})


def _read(result: ExpectationValidationResult) -> GxAnswer:
    info: Mapping[str, Any] = result.exception_info or {}
    # Either one exception, or one for each metric that raised, keyed by the metric's id.
    told = [info] if "raised_exception" in info else info.values()
    messages = [each["exception_message"] or "unknown" for each in told if each["raised_exception"]]
    return GxAnswer(result, "; ".join(dict.fromkeys(messages)) or None)


def _build(expectations: Sequence[Expectation]) -> list[GxExpectation]:
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations import registry

    built, problems = [], []
    for each in expectations:
        try:
            kind = registry.get_expectation_impl(each.expectation)
            built.append(kind(**each.args))
            refused = [f"{name}: is set by validation itself" for name in sorted(_OURS & set(each.args))]
        except ExpectationNotFoundError:
            known = registry.list_registered_expectation_implementations()
            refused = [f"no such expectation{near(each.expectation, known)}"]
        except ValidationError as error:
            refused = _refused(error.errors(), kind)
        except (GreatExpectationsError, TypeError, ValueError) as error:
            refused = [str(error)]
        problems += [f"{each.expectation}: {told}" for told in refused]
    if problems:
        raise ValidationErrored("\n".join(problems))
    return built


def _refused(errors: Sequence[Any], kind: type[GxExpectation]) -> list[str]:
    known = sorted(set(kind.__fields__) - _OURS - {"id", "meta", "notes", "rendered_content", "windows"})
    told: dict[str, str] = {}
    for error in errors:
        name = str(error["loc"][0])
        unknown = error["type"] == "value_error.extra"
        # The first error of an argument: the others are about the other types that it may have.
        told.setdefault(name, f"no such argument{near(name, known)}" if unknown else error["msg"])
    return [why if name == "__root__" else f"{name}: {why}" for name, why in told.items()]
