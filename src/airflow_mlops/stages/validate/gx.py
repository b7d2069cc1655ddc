"""Evaluate expectations by Great Expectations, with one frame and one graph of metrics per set of columns."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.exceptions import ValidationErrored
from airflow_mlops.stages.validate import limit
from airflow_mlops.stages.validate.words import describe

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation as GxExpectation

    from airflow_mlops.domain.spec.model import Expectation

FIRST = 200
"""Unexpected values that are requested, to choose different ones among them to show."""

SECONDS = 60.0
"""Processor time that one expectation may take which runs a pattern or a condition of somebody's own, before its rows."""

_SECONDS_A_ROW = 1e-4
_OPEN_ENDED = ("regex", "json", "strftime", "dateutil")

_LISTED = 20
"""Maximum number of names that a message lists."""

# Arguments that every expectation takes; setting one in a spec would change how we read its answer.
_OURS = frozenset({"result_format", "catch_exceptions", "batch_id"})
# Neither format requests the query that would select the rows.
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": FIRST}
_ROWS = {"result_format": "COMPLETE", "partial_unexpected_count": 0, "return_unexpected_index_query": False}


class GxAnswer(NamedTuple):
    """The answer of Great Expectations to one expectation.

    :param result: what Great Expectations returned; None if the expectation was not evaluated.
    :param error: why the expectation could not be evaluated; None if it was.
    :param rows: positions of the rows that broke it, counted from 0; None if it passed or is not about rows.
    :param cut: whether it was ended at a limit; then the error quotes no value.
    """

    result: ExpectationValidationResult | None
    error: str | None = None
    rows: Sequence[int] | None = None
    cut: bool = False


def reads(expectation: Expectation, names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that an expectation reads; none if it is about the shape of the table only.

    :param names: columns of the table; the returned ones keep their order.
    """
    if is_about_shape(expectation):
        return ()
    condition = str(expectation.args.get("row_condition") or "")
    columns = set(describe(expectation.expectation, expectation.args).columns)
    # A condition names its columns in text; a name that is matched by accident only costs reading that
    # column.
    ordered = [name for name in names if name in columns or (condition and name in condition)]
    return tuple(ordered or names)


def evaluate(
    table: pa.Table, expectations: Sequence[Expectation], names: Sequence[str], seconds: float = SECONDS
) -> list[GxAnswer]:
    """Evaluate expectations; one that raises, or takes too long, does not keep the others from running.

    Expectations that read the same columns share one frame of these columns only, and one graph of metrics.
    Great Expectations copies whole frames to leave nulls out, and computes a digest of every frame in its own
    batches; small frames, passed straight to its execution engine, avoid both. Row positions are requested
    only after a failure.

    :param table: at least one row, with the columns that the expectations read.
    :param names: all columns of the data, also those that were not read.
    :param seconds: processor time that an expectation may take which may take any, beside 0.1 ms a row.
    :raises ValidationErrored: Great Expectations does not know an expectation or refuses its arguments.
    :raises MachineBusy: if such an expectation did not get that time.
    """
    answers: dict[int, GxAnswer] = {}
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, expectation in enumerate(expectations):
        if absent := _absent(expectation, names):
            answers[position] = GxAnswer(None, f"no column {absent}{near(absent, names)}")
        else:
            groups.setdefault(reads(expectation, names), []).append(position)
    with quiet():
        built = _build(expectations)
        for columns, positions in groups.items():
            frame = to_frame(table.select(columns)) if columns else _shape(table.num_rows, names)
            bounded = [position for position in positions if not _is_open_ended(expectations[position])]
            group_answers = _ask(frame, [built[position] for position in bounded])
            answers |= zip(bounded, group_answers, strict=True)
            for position in (position for position in positions if position not in answers):
                most = seconds + _SECONDS_A_ROW * table.num_rows
                answers[position] = _ask_within(most, frame, built[position])
    return [answers[position] for position in range(len(expectations))]


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return the frame that is validated: rows by position; integers and booleans with nulls keep their type.

    Plain conversion makes floats of integers with nulls: large keys would collide, and the type of a column
    would depend on whether this partition has a null in it. Decimals become floats, because Great
    Expectations converts decimals one by one and inspects the whole call stack for each, which takes hours
    for a million.
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
    """Silence the logger of Great Expectations, and restore how the process logs afterwards.

    Great Expectations logs hundreds of lines when it is imported, and logs exceptions with the values that
    raised them. Its import turns on ``logging.captureWarnings`` for the whole process.
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


def near(name: str, names: Sequence[str]) -> str:
    """Return the end of a message about an unknown name: the names that may have been meant.

    :param names: the names that exist.
    """
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(sorted(names))}" if len(names) <= _LISTED else ""


def is_about_shape(expectation: Expectation) -> bool:
    """Return whether an expectation is about the rows and columns of a table as such, and reads no value."""
    name, conditional = expectation.expectation, expectation.args.get("row_condition")
    return name == "expect_column_to_exist" or (name.startswith("expect_table_") and not conditional)


def _absent(expectation: Expectation, names: Sequence[str]) -> str | None:
    columns = (
        () if is_about_shape(expectation) else describe(expectation.expectation, expectation.args).columns
    )
    return next((column for column in columns if column not in names), None)


def _shape(rows: int, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(False, index=range(rows), columns=list(names))


def _is_open_ended(expectation: Expectation) -> bool:
    """Return whether an expectation runs what may take any time on a single value: (a+)+ doubles it with each letter."""
    named = any(word in expectation.expectation for word in _OPEN_ENDED)
    return named or bool(expectation.args.get("row_condition"))


def _ask_within(seconds: float, frame: pd.DataFrame, built: GxExpectation) -> GxAnswer:
    ended = limit.call(lambda: _ask(frame, [built]), seconds)
    if ended.problem is not None:
        return GxAnswer(None, ended.problem, cut=True)
    [answer] = ended.value
    return GxAnswer(*answer)


def _ask(frame: pd.DataFrame, built: Sequence[GxExpectation]) -> list[GxAnswer]:
    answers = _answers(frame, built, _COUNTS)
    broken = [position for position, answer in enumerate(answers) if _rows_broke(answer)]
    located = _answers(frame, [built[position] for position in broken], _ROWS)
    for position, answer in zip(broken, located, strict=True):
        rows = answer.result.result.get("unexpected_index_list") if answer.result else None
        answers[position] = answers[position]._replace(rows=rows or ())
    return answers


def _rows_broke(answer: GxAnswer) -> bool:
    # Only beside `element_count` does `unexpected_count` count rows; elsewhere it counts distinct values.
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
    # Great Expectations returns results of expectations that raise before all others, and they may make
    # others fail too; so each expectation is evaluated again on its own.
    return [answer for expectation in built for answer in _answers(frame, [expectation], result_format)]


def _graph(
    frame: pd.DataFrame, built: Sequence[GxExpectation], result_format: Mapping[str, Any]
) -> list[ExpectationValidationResult]:
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    validator = Validator(execution_engine=PandasExecutionEngine(batch_data_dict={"partition": frame}))
    validator.metrics_calculator.show_progress_bars = False
    configurations = [expectation.configuration for expectation in built]
    return validator.graph_validate(configurations, {"result_format": dict(result_format)})


def _read(result: ExpectationValidationResult) -> GxAnswer:
    info: Mapping[str, Any] = result.exception_info or {}
    # Either one exception, or one for each metric that raised, keyed by the metric's id.
    exceptions = [info] if "raised_exception" in info else info.values()
    messages = [
        exception["exception_message"] or "unknown"
        for exception in exceptions
        if exception["raised_exception"]
    ]
    return GxAnswer(result, "; ".join(dict.fromkeys(messages)) or None)


def _build(expectations: Sequence[Expectation]) -> list[GxExpectation]:
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations import registry

    built, problems = [], []
    for expectation in expectations:
        try:
            kind = registry.get_expectation_impl(expectation.expectation)
            built.append(kind(**expectation.args))
            refused = [
                f"{name}: is set by validation itself" for name in sorted(_OURS & set(expectation.args))
            ]
        except ExpectationNotFoundError:
            registered = registry.list_registered_expectation_implementations()
            refused = [f"no such expectation{near(expectation.expectation, registered)}"]
        except ValidationError as error:
            refused = _refused(error.errors(), kind)
        except (GreatExpectationsError, re.error, TypeError, ValueError) as error:
            refused = [str(error)]
        problems += [f"{expectation.expectation}: {refusal}" for refusal in refused]
    if problems:
        raise ValidationErrored("\n".join(problems))
    return built


def _refused(errors: Sequence[Any], kind: type[GxExpectation]) -> list[str]:
    arguments = sorted(set(kind.__fields__) - _OURS - {"id", "meta", "notes", "rendered_content", "windows"})
    reasons: dict[str, str] = {}
    for error in errors:
        name = str(error["loc"][0])
        unknown = error["type"] == "value_error.extra"
        # The first error of an argument: the others are about the other types that it may have.
        reasons.setdefault(name, f"no such argument{near(name, arguments)}" if unknown else error["msg"])
    return [why if name == "__root__" else f"{name}: {why}" for name, why in reasons.items()]
