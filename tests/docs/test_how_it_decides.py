from __future__ import annotations

from pathlib import Path

import yaml

from airflow_mlops import ModelSpec

PAGE = Path(__file__).parents[2] / "docs" / "how-it-decides.md"


def test_what_the_page_spells_out_is_what_the_edition_sets() -> None:
    short, long = (
        ModelSpec.from_dict(yaml.safe_load(part.split("```")[0]))
        for part in PAGE.read_text(encoding="utf-8").split("```yaml")[1:]
    )
    assert (short.defaults, long.defaults) == (2, 1)
    assert {**long.to_dict(), "defaults": 2} == short.to_dict()
