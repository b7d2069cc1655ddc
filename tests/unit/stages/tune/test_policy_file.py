from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from airflow_mlops.domain.spec import grid, replay
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.tune import policy_file

SPEC = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "source": {"files": "/data/{partition}.csv"},
    "monitor": {"performance": {"floor": {"roc_auc": 0.6}}},
    "gates": {"slices": {"by": ["origin"], "floor": {"roc_auc": 0.5}}},
}


@pytest.mark.parametrize("edition", [1, 2])
def test_each_policy_of_the_default_grid_is_written_as_a_file_that_reads_as_it(
    tmp_path: Path, edition: int
) -> None:
    spec = ModelSpec.from_dict({**SPEC, "defaults": edition})
    path = tmp_path / "policy.yaml"
    default = grid.default(spec)
    policies = grid.policies(default, spec)
    assert len(policies) > 10
    for each in policies:
        content = policy_file.content(spec, each.policy, grid.sections(default))
        path.write_text(yaml.safe_dump(content))
        assert replay.read(path, spec).spec == each.policy.spec
        assert len(path.read_text().splitlines()) < 20
