from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.preview import functions

SPEC: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "source": {"python": "rows_of_flights:read"},
    "transform": "prepared.flights:prepare",
    "train": {
        "candidates": [{"built_flights:build": {}}],
        "metrics": {"lift": {"function": "lift_of_flights:lift", "greater_is_better": True}},
    },
}
CODE = '''
"""Prepare flights."""


def prepare(rows):
    """Return them."""
    return rows  # as they are
'''


def folder_of(path: Path, code: str) -> Path:
    (path / "prepared").mkdir(parents=True)
    (path / "prepared" / "flights.py").write_text(code)
    return path


def test_every_function_of_a_spec_has_a_version_and_one_without_code_its_name(tmp_path: Path) -> None:
    (tmp_path / "lift_of_flights.py").write_text("def lift(labels, predictions): return 1\n")
    (tmp_path / "built_flights.py").write_text("def build(: no Python\n")
    versions = functions.versions(ModelSpec.from_dict(SPEC), [folder_of(tmp_path, CODE)])
    assert list(versions) == [
        "transform",
        "source.python.function",
        "train.candidates.build.estimator",
        "train.metrics.lift.function",
    ]
    assert versions["transform"].startswith("prepared.flights:prepare@")
    assert versions["source.python.function"] == "rows_of_flights:read"
    assert versions["train.candidates.build.estimator"] == "built_flights:build"
    assert versions["train.metrics.lift.function"].startswith("lift_of_flights:lift@")


def test_the_body_of_a_function_counts_and_its_comments_do_not(tmp_path: Path) -> None:
    spec = ModelSpec.from_dict(SPEC)
    before = functions.versions(spec, [folder_of(tmp_path / "before", CODE)])
    comment = CODE.replace("# as they are", "# all of them").replace("Return them", "Give them back")
    after = functions.versions(spec, [folder_of(tmp_path / "comment", comment)])
    assert functions.differences(before, after) == ()
    body = CODE.replace("return rows ", "return rows[:1] ")
    after = functions.versions(spec, [folder_of(tmp_path / "body", body)])
    (change,) = functions.differences(before, after)
    assert change.place == "transform"
    assert (change.before, change.after) == (before["transform"], after["transform"])


def test_of_code_that_is_not_found_and_of_another_function_nothing_is_told() -> None:
    assert functions.differences({"transform": "a:f"}, {"transform": "a:f@1"}) == ()
    assert functions.differences({"transform": "a:f@1"}, {"transform": "b:f@2"}) == ()
    assert functions.differences({}, {"transform": "b:f@2"}) == ()


def test_a_module_that_is_gone_or_no_python_or_lacks_the_function_is_a_fault(tmp_path: Path) -> None:
    spec = ModelSpec.from_dict(SPEC)
    (tmp_path / "lift_of_flights.py").write_text("def gain(labels, predictions): return 1\n")
    (tmp_path / "built_flights.py").write_text("def build(: no Python\n")
    before = {"transform": "prepared.flights:prepare@0123456789ab"}
    reasons = {
        fault.place: (fault.reason, fault.is_certain) for fault in functions.faults(spec, before, [tmp_path])
    }
    gone = "there is no module {} beside the spec, and none is installed here"
    assert reasons == {
        "transform": (gone.format("prepared.flights"), True),
        "source.python.function": (gone.format("rows_of_flights"), False),
        "train.candidates.build.estimator": (
            "its module built_flights is no Python in line 1: invalid syntax",
            True,
        ),
        "train.metrics.lift.function": ("its module lift_of_flights has no lift", True),
    }
    folder_of(tmp_path, CODE)
    assert "transform" not in {fault.place for fault in functions.faults(spec, before, [tmp_path])}
    (tmp_path / "prepared" / "flights.py").write_bytes(b"\xff\xfe")
    [fault] = [fault for fault in functions.faults(spec, before, [tmp_path]) if fault.place == "transform"]
    assert "no Python" in fault.reason
