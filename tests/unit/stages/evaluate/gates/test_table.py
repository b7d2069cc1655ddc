from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.intervals import CalibratedIntervals
from airflow_mlops.domain.spec.gates import Gates
from airflow_mlops.stages.evaluate import gates
from airflow_mlops.stages.evaluate.gates import evidence, intervals, table
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome

# What a spec says under gates and no gate of an evaluation judges: they come after it.
LATER = {"approval", "shadow"}


def written() -> dict[str, Callable[[Evidence], GateOutcome]]:
    """Return every function of the package that takes the evidence, by its place."""
    functions = {}
    for info in pkgutil.iter_modules(gates.__path__):
        module = importlib.import_module(f"{gates.__name__}.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__ and not name.startswith("_")
            if own and module not in (table, evidence):
                functions[f"{info.name}.{name}"] = function
    return functions


def test_every_gate_that_is_written_is_in_the_table() -> None:
    listed = {*table.OF_PREDICTIONS, *table.OF_THE_MODEL}
    assert {name for name, gate in written().items() if gate not in listed} == {"finite.judge"}


def test_every_gate_takes_the_same_evidence() -> None:
    for gate in written().values():
        assert list(inspect.signature(gate).parameters) == ["evidence"]


def test_every_key_of_a_spec_has_a_gate() -> None:
    judged = {name.partition(".")[0] for name in written()}
    assert set(Gates.model_fields) - LATER <= judged


def make_evidence(**attributes: Any) -> Any:
    return type("Evidence", (), {"not_finite": 0, **attributes})()


def gate_of(name: str, unjudged: str = "") -> Callable[[Any], GateOutcome]:
    check = Check(name=name, verdict=Verdict.PASS, expected="e", reason="r")
    return lambda evidence: GateOutcome([check], unjudged)


def test_checks_come_in_the_order_of_the_table_and_small_parts_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "OF_PREDICTIONS", (gate_of("a", "x=1"), gate_of("b"), gate_of("c", "y=2")))
    monkeypatch.setattr(table, "OF_THE_MODEL", (gate_of("d"),))
    checks, unjudged = table.judge(make_evidence())
    assert ([check.name for check in checks], unjudged) == (["a", "b", "c", "d"], "x=1, y=2")


def test_predictions_that_are_no_numbers_are_judged_by_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "OF_PREDICTIONS", (gate_of("a"),))
    monkeypatch.setattr(table, "OF_THE_MODEL", (gate_of("d"),))
    judged = type("Judged", (), {"truth": type("Truth", (), {"size": 10})()})()
    checks, _ = table.judge(make_evidence(not_finite=3, judged=judged))
    assert [check.name for check in checks] == ["predictions", "d"]
    assert checks[0].verdict is Verdict.FAIL


def test_bounds_are_judged_where_a_model_has_them_and_the_spec_a_tolerance() -> None:
    metrics, rows = {"interval_coverage": 0.5}, SimpleNamespace(truth=np.zeros(100))
    bounds = CalibratedIntervals(coverage=0.9, method="absolute", rows=99, margin=1)
    for calibrated, gates_of_spec, count in (
        (bounds, Gates(), 1),
        (bounds, Gates(intervals=None), 0),
        (None, Gates(), 0),
    ):
        seen = make_evidence(
            candidate=SimpleNamespace(intervals=calibrated),
            gates=gates_of_spec,
            metrics=metrics,
            intervals={"interval_coverage": (0.4, 0.6)},
            judged=rows,
        )
        checks = intervals.judge(seen).checks
        assert [check.verdict for check in checks] == [Verdict.FAIL] * count
