from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from airflow_mlops.domain.spec import conditions
from airflow_mlops.domain.spec.model import Expectation
from airflow_mlops.exceptions import SpecError

FRAME = pd.DataFrame(
    {"n": [1, 2, 3], "x": ["a", "b", None], "a b@c": [1.5, 0.5, 2.5], "at": pd.to_datetime(["2013-01-01"] * 3, utc=True)}
)  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("n > 1", 2),
        (' x == "a" ', 1),
        ("not (n > 1) or x in ['a', 'b']", 2),
        ("1 <= n < 3 and ~(x == 'b')", 1),
        ("`a b@c` * 2 + n % 2 > 3", 2),
        ('x == "@pd" or n == -1', 0),
        ("x.isnull()", 1),
        ("x.str.len() == 1 & n.isin([1, 3])", 1),
        ("x.str.startswith('a', na=False)", 1),
        ("n == n.max() or n.between(1, 1)", 2),
        ("at < '2013-02-01T00:00:00+00:00'", 3),
        ("at.dt.month == 1 and sqrt(n) < 1.5", 2),
        ("index > 0", 2),
    ],
)  # fmt: skip
def test_what_compares_columns_is_taken_and_pandas_evaluates_it(condition: str, rows: int) -> None:
    assert conditions.check(condition) is None
    assert len(FRAME.query(condition)) == rows


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("@pd.io.common.os.system('true')", "holds @, which is no part of a condition"),
        ("n > 1 and @self", "holds @"),
        ("n @ n", "may not hold n @ n"),
        ("__pd_eval_local_pd.io.common.os.system('true')", "may not "),
        ("x.to_csv('/tmp/x.csv') == 1", "may not use .to_csv; of a column it may use abs, between"),
        ("x.map(n)", "may not use .map"),
        ("x.__class__", "may not use .__class__"),
        ("eval('1')", "may not call 'eval'; it may call abs, ceil"),
        ("(lambda: 1)()", "may not "),
        ("x.max()()", "may not call x.max()"),
        ("[i for i in n]", "may not hold [i for i in n]"),
        ("n > 9**9**9", "may not hold 9 ** 9 ** 9"),
        ("n << 99", "may not hold n << 99"),
        ("n[0] > 1", "may not hold n[0]"),
        ("x == 'a' * 10000000000", "may compare texts and lists, but not calculate with them"),
        ("n in [1] * 10000000000", "may compare texts and lists"),
        ("x == '%9999999999d' % n", "may compare texts and lists"),
        ("x == f'{n}'", "may not hold f'{n}'"),
        ("x == b'a'", "may not hold an object of type bytes"),
        ("n > 1; n < 2", "is no condition: invalid syntax"),
        ("n >", "is no condition: invalid syntax"),
        ("", "is no condition"),
        ("n > 1\n@pd.x()", "has several lines"),
        ("x == '`' and @pd.x() and x == '`'", "holds a quote or a backtick in '`'"),
        ("`it's` > 1 and x == '@pd'", "holds a quote or a backtick in `it's`"),
        ("(" * 300 + "n" + ")" * 300, "is no condition: "),
        ("n > 1 " * 200, "is longer than 1,000 characters"),
        ({"type": "pass_through", "pass_through_filter": "@pd.x()"}, "holds @"),
        ({"type": "and", "conditions": [{"type": "or", "conditions": [{"pass_through_filter": "x.to_csv()"}]}]}, "may not use .to_csv"),
        ({"type": "nullity", "column": {"name": "n` > 1 or @pd.x() or `n"}, "is_null": True}, "names a column with a backtick"),
    ],
)  # fmt: skip
def test_what_could_run_code_or_fill_the_memory_is_refused(condition: Any, says: str) -> None:
    assert says in (conditions.check(condition) or "")


def test_mappings_without_an_end_are_refused() -> None:
    deep: dict[str, Any] = {"type": "and", "conditions": []}
    for _ in range(50_000):
        deep = {"type": "and", "conditions": [deep]}
    assert conditions.check(deep) == "is nested deeper than 20 levels"


@pytest.mark.parametrize("parser", ["pandas", "spark", None])
def test_a_condition_is_refused_where_the_expectation_is_read(parser: str | None) -> None:
    args = {"column": "x", "row_condition": "@pd.x()"} | ({"condition_parser": parser} if parser else {})
    with pytest.raises(SpecError, match=r"row_condition: holds @"):
        Expectation.from_dict({"expect_column_values_to_be_unique": args})


def test_great_expectations_own_grammar_is_left_to_it() -> None:
    args = {"column": "x", "row_condition": 'col("x").notNull()', "condition_parser": "great_expectations"}
    assert Expectation.from_dict({"expect_column_values_to_be_unique": args}).args == args
    args["row_condition"] = 'col("x` or @pd.x() or `y") > 1'
    with pytest.raises(SpecError, match=r"row_condition: names a column with a backtick"):
        Expectation.from_dict({"expect_column_values_to_be_unique": args})
