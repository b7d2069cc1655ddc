from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.preview import memory
from airflow_mlops.stores.tables import journal

SPEC: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "source": {"python": "nowhere:read"},
}


def test_a_spec_is_kept_when_it_is_another_than_the_last_one(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/specs"
    assert memory.recall(uri, "flights").why == "no decision has kept its spec yet"
    assert not (tmp_path / "specs").exists()
    spec = ModelSpec.from_dict(SPEC)
    memory.remember(uri, spec, "2013-01")
    memory.remember(uri, spec, "2013-02")
    former = memory.recall(uri, "flights")
    assert former.spec == spec
    assert former.label == "the spec in force since 2013-01"
    later = ModelSpec.from_dict(SPEC | {"gates": {"floor": {"roc_auc": 0.7}}})
    memory.remember(uri, later, "2013-03")
    memory.remember(uri, spec, "2013-04")
    assert [row["partition"] for row in journal.rows(uri)] == ["2013-01", "2013-03", "2013-04"]
    assert memory.recall(uri, "flights").spec == spec
    renamed = memory.recall(uri, "planes").spec
    assert renamed is not None
    assert renamed.name == "planes"


def test_a_spec_that_this_release_refuses_is_said_to_be(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/specs"
    memory.remember(uri, ModelSpec.from_dict(SPEC), "2013-01")
    (row,) = journal.rows(uri)
    other = {"partition": "2013-02", "spec": row["spec"].replace('"target"', '"aim"'), "code": row["code"]}
    journal.append(uri, ("partition", "spec", "code"), lambda earlier, at: {"at": at, **other})
    former = memory.recall(uri, "flights")
    assert former.spec is None
    assert former.why.startswith("this release refuses the spec in force since 2013-02: ")


def test_a_table_that_cannot_be_written_ends_no_decision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "specs").write_text("no folder")
    memory.remember(f"file://{tmp_path}/specs", ModelSpec.from_dict(SPEC), "2013-01")
    assert "The spec of flights was not kept" in caplog.text
