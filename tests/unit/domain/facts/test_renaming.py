from __future__ import annotations

import pytest

from airflow_mlops.domain.facts.renaming import Names

NAMES = Names("old", "new", "file:///store/old", "file:///store/new")


def test_a_fact_names_the_new_model() -> None:
    assert NAMES.json('{"model": "old", "uri": "file:///store/old/data"}') == (
        '{"model": "new", "uri": "file:///store/new/data"}'
    )


@pytest.mark.parametrize("levels", [900, 100_000])
def test_text_that_no_fact_is_stays_as_it_is(levels: int) -> None:
    text = "[" * levels + "]" * levels
    assert NAMES.json(text) == text
