"""The pages that are written from the code are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.reference import errors, tables
from tools.reference.markdown import parse, table
from tools.reference.pages import PAGES

from airflow_mlops.cli.commands.command import Command, Group
from airflow_mlops.cli.commands.everything import everything
from airflow_mlops.domain.metrics import FAMILIES, METRICS
from airflow_mlops.domain.predictions import PREDICTION_COLUMNS
from airflow_mlops.reporting.alerts.entries import COLUMNS
from airflow_mlops.stages.preview import memory
from airflow_mlops.stores.tables.ordered import AT

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_that_of_the_code(name: str) -> None:
    command = "run: python -m tools.reference docs"
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), command


def test_nothing_else_is_in_the_folder() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_error_says_what_to_do() -> None:
    page = errors.page()
    assert len(errors.errors()) > 40
    assert all(f"| `{error.__name__}` |" in page for error in errors.errors())


def test_every_command_has_a_section() -> None:
    def count(group: Group) -> int:
        return sum(1 if isinstance(command, Command) else count(command) for command in group.commands)

    assert PAGES["commands.md"]().count("\n## ") == count(everything())


def test_every_metric_has_a_row_and_is_explained() -> None:
    page = (FOLDER.parent / "metrics.md").read_text(encoding="utf-8")
    for name in (*METRICS, *(family.form for family in FAMILIES)):
        assert f"| `{name}` |" in PAGES["metrics.md"]()
        assert f"`{name}`" in page


def test_predictions_have_the_columns_that_are_written() -> None:
    layouts = tables.layouts()
    assert set(layouts["challenger"].columns) == set(PREDICTION_COLUMNS)
    assert set(layouts["predictions"].columns) < set(PREDICTION_COLUMNS)


def test_every_table_that_the_code_names_is_described() -> None:
    named = {memory.TABLE}
    for module in (FOLDER.parents[1] / "src").rglob("*.py"):
        named |= set(re.findall(r"""uri\((?:[\w.]+, )?"([a-z]+)"\)""", module.read_text(encoding="utf-8")))
    assert len(named) > 15
    assert named <= set(tables.layouts())


def test_the_outbox_has_the_columns_that_are_written() -> None:
    assert set(tables.layouts()["outbox"].columns) == {AT, *COLUMNS}


def test_a_docstring_becomes_markdown() -> None:
    class Documented:
        """Do ``this``.

        Or do it with
        :class:`~a.b.That`.

        :param one: a value of
            two lines; ``None`` means none.
        :param two: another.
        :raises ValueError: never.
        """

    text, parameters = parse(Documented)
    assert text == "Do `this`.\n\nOr do it with `That`."
    assert parameters == {"one": "a value of two lines; `None` means none.", "two": "another."}


def test_a_cell_neither_ends_early_nor_becomes_a_tag() -> None:
    assert table(["a"], [["x | <y> `<z>`"]]).splitlines()[-1] == "| x \\| &lt;y&gt; `<z>` |"
