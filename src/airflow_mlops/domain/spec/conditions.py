"""Conditions on rows, which pandas evaluates: what compares columns is taken, what could run code or fill the memory is not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from airflow_mlops.domain.spec.loading import DEEPEST, describe, shorten

LONGEST = 1_000
"""Most characters of a condition."""

_TOKENS = re.compile(r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|`(?P<column>[^`]*)`""")
_SYNTAX = (
    *(ast.Expression, ast.BoolOp, ast.boolop, ast.Compare, ast.cmpop, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.Name),
    *(ast.Attribute, ast.Call, ast.keyword, ast.List, ast.Tuple, ast.Constant, ast.expr_context),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr),
)  # fmt: skip
_COLLECTIONS = (ast.List, ast.Tuple)
_FUNCTIONS = frozenset({"abs", "ceil", "exp", "floor", "log", "log10", "log1p", "sqrt"})
# fmt: off
_OF_COLUMNS = frozenset({
    "abs", "between", "isin", "isna", "isnull", "notna", "notnull", "max", "mean", "median", "min", "quantile", "std", "sum",
    "str", "contains", "endswith", "fullmatch", "isalnum", "isalpha", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle",
    "isupper", "len", "lower", "lstrip", "match", "rstrip", "startswith", "strip", "upper",
    "dt", "date", "day", "day_of_week", "day_of_year", "dayofweek", "dayofyear", "days", "hour", "is_month_end", "is_month_start", "minute",
    "month", "quarter", "second", "total_seconds", "weekday", "year",
})
# fmt: on


def check(condition: Any, *, parsed_by_gx: bool = False) -> str | None:
    """Return what is wrong with a condition of a spec or suite; None if nothing is.

    pandas looks names with ``@`` up among those of Great Expectations, calls any method of a column, and counts with
    numbers of any size.

    :param condition: text, or the mapping that a condition of Great Expectations is in JSON.
    :param parsed_by_gx: whether text is of Great Expectations' own grammar, which knows comparisons only.
    """
    if isinstance(condition, dict):
        return next(_of_parts(condition, 0), None)
    if not isinstance(condition, str):
        return None
    if len(condition) > LONGEST:
        return f"is longer than {LONGEST:,} characters"
    if parsed_by_gx:
        return "names a column with a backtick" if "`" in condition else None
    return _of_text(condition)


def _of_parts(condition: dict[str, Any], depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield f"is nested deeper than {DEEPEST} levels"
        return
    if problem := check(condition.get("pass_through_filter")):
        yield problem
    if "`" in str(condition.get("column", "")):
        yield "names a column with a backtick"
    parts = condition.get("conditions")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            yield from _of_parts(part, depth + 1)


def _of_text(condition: str) -> str | None:
    if len(condition.splitlines()) > 1:
        return "has several lines; write one"
    # What stands in backticks must be the same to pandas as to us.
    for token in _TOKENS.finditer(condition):
        quoted = token["text"] or ""
        if "`" in quoted or re.search("['\"\\\\]", token["column"] or ""):
            return (
                f"holds a quote or a backtick in {shorten(token[0])}; compare with a column of a plain name"
            )
    plain = _TOKENS.sub(lambda token: token["text"] or "column", condition)
    try:
        tree = ast.parse(plain.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if re.search("@", _TOKENS.sub("", condition)):
            return "holds @, which is no part of a condition; write the value, or the column"
        return f"is no condition: {error.msg if isinstance(error, SyntaxError) else 'it is nested too deep'}"
    return next(_refused(tree), None)


def _refused(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=operator) if not isinstance(operator, _SYNTAX):
                yield f"may not hold {shorten(ast.unparse(node))}"
            case _ if not isinstance(node, _SYNTAX):
                yield f"may not hold {shorten(ast.unparse(node))}"
            case ast.Name(id=name) if name.startswith("__"):
                yield f"may not name {name!r}"
            case ast.Call(func=ast.Name(id=name)) if name not in _FUNCTIONS:
                yield f"may not call {name!r}; it may call {', '.join(sorted(_FUNCTIONS))}, and of columns isin, isnull, str.len …"
            case ast.Call(func=function) if not isinstance(function, ast.Name | ast.Attribute):
                yield f"may not call {shorten(ast.unparse(function))}"
            case ast.Attribute(attr=name) if name not in _OF_COLUMNS:
                yield f"may not use .{name}; of a column it may use {', '.join(sorted(_OF_COLUMNS))}"
            case ast.BinOp(left=left, right=right) if any(map(_is_no_number, (left, right))):
                yield "may compare texts and lists, but not calculate with them"
            case ast.Constant(value=value) if not isinstance(value, str | int | float | None):
                yield f"may not hold {describe(value)}"


def _is_no_number(node: ast.expr) -> bool:
    return isinstance(node, _COLLECTIONS) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
