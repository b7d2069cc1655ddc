from __future__ import annotations

import pytest

from airflow_mlops.domain.counts import counted


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (1_200, ("row",), "1,200 rows"),
        (1, ("class", "classes"), "1 class"),
        (2, ("class", "classes"), "2 classes"),
    ],
)
def test_what_is_counted_has_the_form_that_its_number_needs(
    count: int, words: tuple[str, ...], text: str
) -> None:
    assert counted(count, *words) == text
