"""The page about the house names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`([\w./-]+(?:\.py|/|\.toml|\.txt))(?::[^`]*)?`", PAGE)))
FUNCTIONS = sorted(set(re.findall(r"`([\w/]+\.py): (\w+)`", PAGE)))


def is_there(place: str) -> bool:
    roots = (ROOT, ROOT / "src" / "airflow_mlops", *(ROOT / "src" / "airflow_mlops").iterdir())
    return any((root / place).exists() for root in roots)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_on_the_page_is_there(place: str) -> None:
    assert is_there(place)


@pytest.mark.parametrize(("module", "function"), FUNCTIONS)
def test_every_use_case_on_the_page_is_there(module: str, function: str) -> None:
    text = (ROOT / "src" / "airflow_mlops" / module).read_text(encoding="utf-8")
    assert re.search(rf"^def {function}\(", text, re.MULTILINE)


def test_the_page_names_places_and_use_cases() -> None:
    assert len(PLACES) > 20
    assert len(FUNCTIONS) > 5
    assert not is_there("stages/nowhere/nothing.py")
