"""The grid of the page about tune-policy is one, and has as many policies as the page says."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_mlops.domain.spec import grid
from airflow_mlops.domain.spec.model import ModelSpec

PAGE = Path(__file__).parents[2] / "docs" / "tune-policy.md"
SPEC = {
    "name": "flight_delays",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "source": {"files": "/data/{partition}.csv"},
}


def test_the_grid_of_the_page_is_read(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    block = re.search(r"<!-- test: grid -->\n```yaml\n(.*?)```", page, re.DOTALL)
    assert block is not None
    path = tmp_path / "grid.yaml"
    path.write_text(block[1])
    spec = ModelSpec.from_dict(SPEC)
    policies = grid.policies(grid.read(path, spec), spec)
    assert f"a policy, {len(policies)} here, at most {grid.MOST}" in page
