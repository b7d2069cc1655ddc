"""Expectations on one table, evaluated by Great Expectations one at a time on one batch."""

from __future__ import annotations

import difflib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.checks import Outcome, Severity
from airflow_mlops.domain.results import ExpectationResult
from airflow_mlops.engines.validation_words import Words, describe, text
from airflow_mlops.exceptions import ValidationErrored

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation as GxExpectation
    from great_expectations.validator.v1_validator import Validator

    from airflow_mlops.domain.spec import Expectation

SAMPLES = 20
"""Different values that a result shows."""

_LISTED = 20
"""Names that a message lists at most."""

# Arguments that every expectation takes and that would change how we read its answer.
_OURS = frozenset({"result_format", "catch_exceptions", "batch_id"})

_HINTS = (
    ("NA is ambiguous", "an integer is missing: say what becomes of such rows with `ignore_row_if`"),
    ("dtype=datetime64", "write a time with its zone, such as 2013-01-31T00:00:00+00:00"),
    ("Cannot compare Timestamp", "write a time with its zone, such as 2013-01-31T00:00:00+00:00"),
)


class Finding(NamedTuple):
    """One result, and what it means for the rows.

    :param broken: what is wrong if it failed or could not be evaluated, in words.
    :param positions: rows to set aside, counted from 0; None if it asks for none.
    """

    result: ExpectationResult
    broken: str
    positions: Sequence[int] | None = None


def evaluate(table: pa.Table, expectations: Sequence[Expectation]) -> list[Finding]:
    """Evaluate expectations in their order; one that raises does not keep the others from running.

    :param table: at least one row.
    :raises ValidationErrored: Great Expectations does not know an expectation or refuses its arguments.
    """
    if not expectations:
        return []
    with _quiet():
        built = _build(expectations)
        validator = _validator(to_frame(table))
        return [_finding(validator, gx, each, table) for gx, each in zip(built, expectations, strict=True)]


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return the frame that is validated: rows by position, integers and booleans with nulls kept as such.

    Plain conversion makes floats of integers with nulls: large keys would collide, and the type of a column would
    depend on whether this partition has a null in it.
    """
    import pandas as pd
    import pyarrow as pa

    sizes = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    nullable = {pa.type_for_alias(size.lower()): pd.api.types.pandas_dtype(size) for size in sizes}
    nullable[pa.bool_()] = pd.BooleanDtype()
    frame = table.to_pandas(ignore_metadata=True)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count and column.type in nullable:
            frame[name] = column.to_pandas(types_mapper=nullable.get)
    return frame


@contextmanager
def _quiet() -> Iterator[None]:
    # Great Expectations logs hundreds of lines when it is imported and when it makes a context, and its import turns
    # on logging.captureWarnings for the whole process. Both are put back as the host had them.
    logger = logging.getLogger("great_expectations")
    level, showwarning = logger.level, warnings.showwarning
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)
        if warnings.showwarning is not showwarning:
            logging.captureWarnings(False)


def _validator(frame: pd.DataFrame) -> Validator:
    import great_expectations as gx
    from great_expectations.data_context.types import base
    from great_expectations.validator.v1_validator import Validator

    config = base.DataContextConfig(
        analytics_enabled=False,
        progress_bars=base.ProgressBarsConfig(globally=False),
        store_backend_defaults=base.InMemoryStoreBackendDefaults(),
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("table")
    return Validator(
        asset.add_batch_definition_whole_dataframe("partition"),
        # COMPLETE: the only format with every row's position.
        result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
        batch_parameters={"dataframe": frame},
    )


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
            refused = [f"no such expectation{_near(each.expectation, known)}"]
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
        told.setdefault(name, f"no such argument{_near(name, known)}" if unknown else error["msg"])
    return [why if name == "__root__" else f"{name}: {why}" for name, why in told.items()]


def _near(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(sorted(known))}" if len(known) <= _LISTED else ""


def _finding(validator: Validator, gx: GxExpectation, each: Expectation, table: pa.Table) -> Finding:
    words = describe(each.expectation, each.args)
    missing = [column for column in words.columns if column not in table.column_names]
    if missing and each.expectation != "expect_column_to_exist":
        return _errored(each, words, f"no column {missing[0]}{_near(missing[0], table.column_names)}")
    try:
        answer = validator.validate_expectation(gx)
    except Exception as error:  # noqa: BLE001 - whatever it raises, the others still have to run
        return _errored(each, words, str(error))
    message = _exception(answer.exception_info or {})
    return _errored(each, words, message) if message else _answered(each, words, answer, table.num_rows)


def _exception(info: Mapping[str, Any]) -> str | None:
    # Either one exception, or one for each metric that raised, keyed by the metric's id.
    told = [info] if "raised_exception" in info else info.values()
    messages = [each["exception_message"] or "unknown" for each in told if each["raised_exception"]]
    return "; ".join(dict.fromkeys(messages)) or None


def _errored(each: Expectation, words: Words, message: str) -> Finding:
    short = message.strip().partition("\n")[0][:200] or "unknown"
    hint = next((f" ({hint})" for part, hint in _HINTS if part in short), "")
    result = ExpectationResult(
        expectation=each.expectation,
        column=", ".join(words.columns) or None,
        severity=each.severity,
        outcome=Outcome.ERROR,
        expected=words.expected,
        observed=f"could not be evaluated: {short}{hint}",
    )
    about = f"{each.expectation} on {result.column}" if result.column else each.expectation
    return Finding(result, f"{about} {result.observed}")


def _answered(each: Expectation, words: Words, answer: ExpectationValidationResult, rows: int) -> Finding:
    found = answer.result
    by_row = "element_count" in found  # elsewhere `unexpected_count` counts distinct values
    unexpected = int(found["unexpected_count"]) if by_row else None
    values = found.get("unexpected_list") or found.get("partial_unexpected_list") or ()
    if unexpected is not None:
        observed = f"{unexpected:,} of {rows:,} rows broke it"
    elif found.get("observed_value") is not None:
        observed = text(found["observed_value"])
    else:
        observed = "it holds" if answer.success else "it does not hold"
    result = ExpectationResult(
        expectation=each.expectation,
        column=", ".join(words.columns) or None,
        severity=each.severity,
        outcome=Outcome.PASS if answer.success else Outcome.FAIL,
        expected=words.expected,
        observed=observed,
        unexpected=unexpected,
        unexpected_share=None if unexpected is None else unexpected / rows,
        samples=tuple(dict.fromkeys(text(value) for value in values))[:SAMPLES],
    )
    aside = each.severity is Severity.QUARANTINE and not answer.success
    return Finding(result, words.broken, found.get("unexpected_index_list") if aside else None)
