"""Tests of specs, transforms and gates by pytest: the loop over rows of one's own, in a store that is gone afterwards.

pytest loads this module as a plugin, which brings the fixture ``mlops``, a :class:`LoopLab`. It loads nothing heavy until a
test uses that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from airflow_mlops.domain.checks import Check
    from airflow_mlops.domain.facts.loop import LoopStep
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.stores.sources.source import Source

__all__ = [
    "LoopLab",
    "LoopRun",
    "assert_alarms",
    "assert_blocks",
    "assert_promotes",
    "assert_refuses",
]


@dataclass(frozen=True)
class LoopRun:
    """What a run of the loop came to.

    :param steps: what became of each partition, in order.
    :param storage: URI under which the tables are.
    """

    model: str
    steps: tuple[LoopStep, ...]
    storage: str

    def __getitem__(self, partition: str) -> LoopStep:
        """Return what became of a partition, by its key.

        :raises KeyError: if it was not run.
        """
        for step in self.steps:
            if step.partition == partition:
                return step
        raise KeyError(
            f"{partition} was not run; these were: {', '.join(step.partition for step in self.steps)}"
        )

    @property
    def champion(self) -> str | None:
        """Version of the champion after the last decision; None if there is none."""
        decisions = [step.decision for step in self.steps if step.decision is not None]
        return decisions[-1].after if decisions else None

    def __str__(self) -> str:
        from airflow_mlops.stages.loop.story import lines

        return "\n".join(lines(self.steps))


@dataclass(frozen=True)
class LoopLab:
    """A store and an MLflow of one test, in which the loop runs: ingest, validate, score, monitor, train.

    :param folder: what is kept, until pytest removes it.
    :param template: MLflow's database before anything is in it, for all tests: it takes seconds to make its tables.
    """

    folder: Path
    template: Path

    def spec(self, spec: str | Path | Mapping[str, Any] | ModelSpec, **changes: Any) -> ModelSpec:
        """Read a spec, with some of its keys replaced: ``mlops.spec("models/churn.yaml", gates={"floor": {"roc_auc": 0.9}})``.

        :param spec: a spec, its values as in YAML, or its file.
        :raises SpecError: listing everything that is wrong.
        """
        from airflow_mlops.domain.spec.model import ModelSpec

        if isinstance(spec, str | Path):
            spec = ModelSpec.load(spec)
        values = spec.to_dict() if isinstance(spec, ModelSpec) else dict(spec)
        return ModelSpec.from_dict(values | changes)

    def rows(
        self,
        spec: ModelSpec | str | Path | Mapping[str, Any],
        partition: str,
        count: int = 300,
        *,
        signal: float = 2.0,
        shift: float = 0.0,
        seed: int | None = None,
    ) -> pa.Table:
        """Make rows of a partition that a model of the spec's features can learn from; the same arguments make the same rows.

        :param signal: how much the target depends on the features; 0 makes it chance.
        :param shift: by how many standard deviations the numeric features are moved, so that they drift.
        :param seed: None takes one from the partition's key.
        :raises ValueError: if the spec names no features.
        """
        from airflow_mlops.stages.loop import example_rows

        return example_rows.make(self.spec(spec), partition, count, signal=signal, shift=shift, seed=seed)

    def run_loop(
        self,
        spec: ModelSpec | str | Path | Mapping[str, Any],
        partitions: Mapping[str, pa.Table | pd.DataFrame] | Sequence[str],
        *,
        labels: Mapping[str, pa.Table | pd.DataFrame] | None = None,
        delay: timedelta | str | None = None,
        frozen: bool = False,
    ) -> LoopRun:
        """Take partitions through the loop, in the order of their keys; a second run of a model goes on from the first.

        :param partitions: rows by partition, or the keys of partitions whose rows are in the files that the spec names.
        :param labels: labels by the partition in which they became known, for a spec with ``labels.source``.
        :param delay: in place of ``labels.delay``.
        :param frozen: the champion stays, whatever the retrain policy says: for tests of what monitoring sees.
        :raises SpecError: if the spec is wrong; what is wrong with data or a training is in the steps.
        """
        from airflow_mlops.domain.partitions import Partition
        from airflow_mlops.domain.spec.replay import built_in
        from airflow_mlops.stages.loop import loop

        model = self.spec(spec)
        if delay is not None:
            model = self.spec(model, labels={**model.labels.to_dict(), "delay": delay})
        if frozen:
            model = built_in("never", model).spec
        plan = self._plan(model, partitions, labels)
        keys = sorted(Partition.parse(key, model.grain) for key in partitions)
        return LoopRun(model.name, tuple(loop.run(plan, keys)), plan.storage)

    def has_files(self, spec: ModelSpec | str | Path | Mapping[str, Any], partitions: Sequence[str]) -> bool:
        """Tell whether the files of all of some partitions that a spec reads are on this machine."""
        from airflow_mlops.domain.partitions import Partition
        from airflow_mlops.stores.sources.local import LocalFiles

        model = self.spec(spec)
        files = model.source.files
        if files is None:
            return False
        keys = [Partition.parse(key, model.grain) for key in partitions]
        return all(LocalFiles(files).stamp(partition) is not None for partition in keys)

    def _plan(self, spec: ModelSpec, partitions: Any, labels: Mapping[str, Any] | None) -> Any:
        import shutil

        from airflow_mlops.stages.loop.plan import LoopPlan
        from airflow_mlops.stores.registry.client import connect, probe

        database = self.folder / "mlflow.db"
        if not self.template.exists():
            probe(connect(f"sqlite:///{self.template}"))
        if not database.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.template, database)
        return LoopPlan(
            spec=spec,
            client=connect(f"sqlite:///{database}"),
            source=_source(spec, partitions),
            labels=None if spec.labels.source is None else _rows_of(labels or {}),
            storage=f"file://{self.folder}/storage",
            write=self._write,
            actor="pytest",
            artifacts=(self.folder / "artifacts").as_uri(),
            pictures=False,
        )

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / "reports" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _rows_of(rows: Mapping[str, Any]) -> Source:
    from airflow_mlops.exceptions import SourceMissing
    from airflow_mlops.stores.sources.python import PythonSource

    def rows_of(partition: Partition | None) -> Any:
        if partition is None or partition.key not in rows:
            raise SourceMissing(f"the test has no rows of {partition}")
        return rows[partition.key]

    return PythonSource(rows_of)


def _source(spec: ModelSpec, partitions: Any) -> Source:
    if isinstance(partitions, Mapping):
        return _rows_of(partitions)
    from airflow_mlops.stores.sources.local import LocalFiles

    if spec.source.files is None:
        raise ValueError(
            f"the source of {spec.name!r} is no file: give run_loop rows, as {{'2024-01': frame}}, and not keys alone"
        )
    return LocalFiles(spec.source.files)


def assert_promotes(run: LoopRun, partition: str | None = None) -> None:
    """Assert that a candidate became champion: at a partition, or at any."""
    __tracebackhide__ = True
    from airflow_mlops.domain.facts.results import Action

    actions = [step.decision.action for step in _steps(run, partition) if step.decision]
    if Action.PROMOTED not in actions:
        pytest.fail(f"Nothing was promoted{_at(partition)}.\n{run}", pytrace=False)


def assert_refuses(run: LoopRun, check: str | None = None, partition: str | None = None) -> None:
    """Assert that a candidate was refused: by any gate, or by the one of a name such as ``floor.roc_auc``."""
    __tracebackhide__ = True
    from airflow_mlops.domain.checks import Verdict
    from airflow_mlops.domain.facts.results import Action
    from airflow_mlops.reporting.verdicts import subject

    decisions = [step.decision for step in _steps(run, partition) if step.decision]
    refusals = [decision for decision in decisions if decision.action is Action.REFUSED]
    if not refusals:
        pytest.fail(f"Nothing was refused{_at(partition)}.\n{run}", pytrace=False)
    against = [gate for refusal in refusals for gate in refusal.checks if gate.verdict is not Verdict.PASS]
    if check is not None and not any(_is_named(gate.name, check) for gate in against):
        others = ", ".join(map(subject, against))
        pytest.fail(f"{check} refused nothing{_at(partition)}, but {others}.\n{run}", pytrace=False)


def assert_blocks(run: LoopRun, expectation: str | None = None, partition: str | None = None) -> None:
    """Assert that a partition was not published, as it broke an expectation: any, or one of a name."""
    __tracebackhide__ = True
    from airflow_mlops.domain.checks import Severity, Verdict

    stopped = [step for step in _steps(run, partition) if step.dataset is None]
    reports = [step.validation for step in stopped if step.validation is not None]
    reports = [report for report in reports if report.verdict is not Verdict.PASS]
    results = [
        result for report in reports for result in report.results if result.outcome != Verdict.PASS.value
    ]
    broken = [result.expectation for result in results if result.severity is not Severity.WARN]
    if not reports:
        why = "No expectation stopped a partition" if stopped else "All partitions were published"
        pytest.fail(f"{why}{_at(partition)}.\n{run}", pytrace=False)
    if expectation is not None and expectation not in broken:
        pytest.fail(f"{expectation} stopped nothing{_at(partition)}.\n{run}", pytrace=False)


def assert_alarms(run: LoopRun, check: str = "drift", partition: str | None = None) -> None:
    """Assert that the champion's health failed by a check, such as ``drift`` or ``performance``."""
    __tracebackhide__ = True
    from airflow_mlops.domain.checks import Verdict

    reports = [step.health for step in _steps(run, partition) if step.health is not None]
    alarms = [
        judged.name for report in reports for judged in _checks(report) if judged.verdict is Verdict.FAIL
    ]
    # A column may drift, and the data not.
    is_whole = check in ("drift", "performance", "staleness")
    if not any(name == check if is_whole else _is_named(name, check) for name in alarms):
        others = f", but {', '.join(alarms)}" if alarms else ""
        pytest.fail(f"{check} raised no alarm{_at(partition)}{others}.\n{run}", pytrace=False)


def _checks(report: Any) -> list[Check]:
    return [report.drift, report.performance, report.staleness, *report.columns, *report.others]


def _is_named(check: str, name: str) -> bool:
    return check == name or check.startswith(f"{name}.")


def _steps(run: LoopRun, partition: str | None) -> Sequence[LoopStep]:
    return run.steps if partition is None else [run[partition]]


def _at(partition: str | None) -> str:
    return "" if partition is None else f" at {partition}"


@pytest.fixture(scope="session")
def _mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlops") / "mlflow.db"


@pytest.fixture
def mlops(tmp_path: Path, _mlflow_template: Path) -> LoopLab:
    """A store and an MLflow of this test, in which the loop runs."""
    return LoopLab(tmp_path / "mlops", _mlflow_template)
