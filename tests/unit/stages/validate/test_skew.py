from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Outcome, Severity
from airflow_mlops.domain.facts.results import Action, DatasetVersion, TrainingData
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.domain.spec.model import Skew
from airflow_mlops.stages.validate import skew
from airflow_mlops.stages.validate.skew import SkewReference
from airflow_mlops.stores.tables import tables
from history import changed, make_decision, moved
from registry_builders import make_evaluation, make_ref, make_version
from synthetic import make_client

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

START = datetime(2013, 1, 1, tzinfo=UTC)
FEATURES = ("distance", "carrier", "delayed")


def make_rows(month: int = 1, count: int = 2000, seed: int = 0, **columns: Any) -> pa.Table:
    random = np.random.default_rng(seed)
    rows = {
        "flight": np.arange(count),
        "at": [datetime(2013, month, 1, tzinfo=UTC) + timedelta(minutes=i) for i in range(count)],
        "distance": random.gamma(2, 300, count),
        "carrier": random.choice(["AA", "DL", "UA"], count),
        "delayed": random.random(count) < 0.2,
    }
    return pa.table({name: value for name, value in (rows | columns).items() if value is not None})


class Store:
    """January was trained on, and February comes."""

    def __init__(self, folder: Path, training: pa.Table | None = None, **facts: Any) -> None:
        self.uri = f"file://{folder}/flights/data"
        self.ledger = f"file://{folder}/flights/ledger"
        self.staging = f"file://{folder}/flights/staging"
        january = self.publish(self.uri, "2013-01", make_rows() if training is None else training)
        self.trained = self.training(january.model_copy(update=facts))

    def publish(self, uri: str, partition: str, rows: pa.Table) -> DatasetVersion:
        return tables.publish(
            uri, rows, name="flights", grain="month", partition=partition, key=["flight"], event_time="at",
            source="test", run="test",
        )  # fmt: skip

    def training(self, dataset: DatasetVersion, **changes: Any) -> TrainingData:
        facts = {"start": START, "cut": datetime(2013, 2, 1, tzinfo=UTC), "features": FEATURES}
        return TrainingData(dataset=dataset, **facts | changes)

    def compare(
        self, rows: pa.Table, policy: Skew | None = None, **facts: Any
    ) -> dict[str, ExpectationResult]:
        """Return the results by name, or by feature for distributions."""
        staged = self.publish(self.staging, "2013-02", rows).model_copy(update=facts)
        found = skew.compare(staged, SkewReference("3", self.trained), policy or Skew())
        return {each.column or each.expectation: each for each in found}


def failed(found: dict[str, ExpectationResult]) -> dict[str, Severity]:
    return {name: each.severity for name, each in found.items() if each.outcome is not Outcome.PASS}


def test_alike_data_passes_each_check_and_tells_its_distances(tmp_path: Path) -> None:
    found = Store(tmp_path).compare(make_rows(2, seed=1))
    assert failed(found) == {}
    assert set(found) == {"skew.missing", "skew.type", "skew.extra", *FEATURES}
    assert found["distance"].expected == "distance at most 0.5 to the training data of version 3"
    measured, _, of_what = found["distance"].observed.partition(" ")
    assert 0 <= float(measured) < 0.1
    assert of_what == "from the training data"


@pytest.mark.parametrize(
    ("columns", "name", "severity", "observed"),
    [
        ({"distance": None}, "skew.missing", Severity.BLOCK, "distance"),
        ({"distance": ["1.5"] * 2000}, "skew.type", Severity.BLOCK, "distance is string, was double"),
        ({"delayed": [0] * 2000}, "skew.type", Severity.BLOCK, "delayed is int64, was bool"),
        ({"distance": np.full(2000, 600)}, "skew.precision", Severity.WARN, "distance is int64, was double"),
        ({"tail": ["N1"] * 2000}, "skew.extra", Severity.WARN, "tail"),
    ],
)
def test_a_difference_of_columns_is_named(
    tmp_path: Path, columns: dict[str, Any], name: str, severity: Severity, observed: str
) -> None:
    result = Store(tmp_path).compare(make_rows(2, **columns), Skew(threshold=9))[name]
    assert (result.outcome, result.severity, result.observed) == (Outcome.FAIL, severity, observed)


@pytest.mark.parametrize(
    ("then", "now", "outcome"),
    [("f:g@1", "f:g@1", Outcome.PASS), ("f:g@1", "f:g@2", Outcome.FAIL), (None, "f:g@2", Outcome.FAIL)],
)
def test_features_prepared_by_other_code_are_told(
    tmp_path: Path, then: str | None, now: str | None, outcome: Outcome
) -> None:
    result = Store(tmp_path, transform=then).compare(make_rows(2), transform=now)["skew.transform"]
    assert (result.outcome, result.severity) == (outcome, Severity.WARN)


@pytest.mark.parametrize(
    ("columns", "name", "observed"),
    [
        ({"distance": np.random.default_rng(1).gamma(2, 300, 2000) * 1.6}, "distance", "0.8"),
        ({"carrier": ["B6"] * 2000}, "carrier", "0.83"),
        ({"delayed": [True] * 2000}, "delayed", "0.6"),
        (
            {"carrier": [None if i % 2 else "AA" for i in range(2000)]},
            "carrier",
            "50.0% missing, 0.0% in training",
        ),
        ({"distance": [np.inf if i % 3 else 600.0 for i in range(2000)]}, "distance", "66.6% missing, 0.0%"),
    ],
)
def test_a_feature_with_other_values_is_named(
    tmp_path: Path, columns: dict[str, Any], name: str, observed: str
) -> None:
    found = Store(tmp_path).compare(make_rows(2, **columns), Skew(severity=Severity.BLOCK))
    assert failed(found) == {name: Severity.BLOCK}
    assert observed in found[name].observed


@pytest.mark.parametrize(("value", "fails"), [(1.5, False), (2.5, True)])
def test_a_constant_of_training_is_compared_by_value(tmp_path: Path, value: float, fails: bool) -> None:
    store = Store(tmp_path, make_rows(distance=np.full(2000, 1.5)))
    found = store.compare(make_rows(2, distance=np.full(2000, value)))
    assert ("distance" in failed(found)) is fails


def test_few_values_are_not_judged_and_it_says_so(tmp_path: Path) -> None:
    found = Store(tmp_path).compare(make_rows(2, count=499, distance=np.full(499, -9e9)))
    assert failed(found) == {}
    assert found["distance"].observed == "not judged: 499 values here, 500 are needed"


def test_many_rare_categories_are_no_skew(tmp_path: Path) -> None:
    def tails(seed: int) -> Any:
        return np.random.default_rng(seed).integers(0, 1500, 2000).astype(str)

    store = Store(tmp_path, make_rows(carrier=tails(0)))
    found = store.compare(make_rows(2, carrier=tails(1)))
    assert failed(found) == {}


def test_only_rows_that_were_trained_on_are_compared_with(tmp_path: Path) -> None:
    store = Store(tmp_path)
    later = store.publish(store.uri, "2013-02", make_rows(2, distance=np.full(2000, 9e9)))
    store.trained = store.training(later)
    assert failed(store.compare(make_rows(2, seed=1))) == {}


def test_a_large_side_is_sampled_evenly_and_always_alike(tmp_path: Path) -> None:
    count = 3 * skew.SAMPLE
    rows = pa.table({"flight": np.arange(count), "at": [START] * count, "x": np.arange(count)})
    store = Store(tmp_path, rows)
    import pyarrow.compute as pc

    condition = pc.field("x") >= 0
    taken = skew._sample(store.trained.dataset, ["x"], condition)
    assert taken.num_rows <= skew.SAMPLE
    assert taken.num_rows > skew.SAMPLE / 2
    assert abs(np.mean(taken["x"]) / (count / 2) - 1) < 0.01
    assert taken.equals(skew._sample(store.trained.dataset, ["x"], condition))


def test_without_a_champion_nothing_is_compared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert skew.check(store.trained.dataset, Skew(), ledger_uri=store.ledger) == []


@pytest.mark.parametrize("severity", ["warn", "block"])
def test_training_data_that_is_gone_is_one_result(tmp_path: Path, severity: str) -> None:
    store = Store(tmp_path)
    gone = store.trained.dataset.model_copy(update={"uri": f"file://{tmp_path}/gone"})
    trained_on = store.trained.model_copy(update={"dataset": gone})
    promoted = make_decision("2013-01", Action.PROMOTED, after="1", trained_on=trained_on)
    moved(store.ledger, promoted)
    staged = store.publish(store.staging, "2013-02", make_rows(2))
    policy = Skew.from_dict({"severity": severity})
    (found,) = skew.check(staged, policy, ledger_uri=store.ledger)
    assert (found.expectation, found.severity, found.outcome) == ("skew", severity, Outcome.ERROR)
    assert "could not be computed: TableMissing: " in found.observed


def test_the_champion_of_the_partition_is_the_one_compared_with(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for month, version in (("2013-02", "1"), ("2013-04", "2")):
        trained_on = store.trained.model_copy(update={"features": (f"feature_{version}",)})
        promoted = make_decision(month, Action.PROMOTED, after=version, trained_on=trained_on)
        moved(store.ledger, promoted)
    assert skew.reference(store.ledger, "2013-02") is None
    assert skew.reference(store.ledger, "2013-03") == SkewReference(
        "1", store.trained.model_copy(update={"features": ("feature_1",)})
    )
    undone = make_decision("2013-05", Action.ROLLED_BACK, before="2", after="1", key="undo")
    moved(store.ledger, undone)
    later = skew.reference(store.ledger, "2013-06")
    assert later is not None
    assert later.version == "1"


def test_a_promotion_records_what_the_champion_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_mlops.domain.checks import Check, Verdict
    from airflow_mlops.stages.promote import promote

    blessed = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="in another test")
    monkeypatch.setattr(promote, "_blessed", lambda *_: blessed)
    client, uri = make_client(tmp_path), f"file://{tmp_path}/ledger"
    trained = make_version(client, "flights")
    promote.promote(client, ledger_uri=uri, evaluation=make_evaluation(trained), key="run", actor="test")
    assert skew.reference(uri, "2013-02") == SkewReference(
        trained.version,
        TrainingData(
            dataset=trained.dataset, start=trained.split.start, cut=trained.split.cut, features=("x",)
        ),
    )
    other = make_version(client, "flights", 0.01)
    worse = make_evaluation(other, make_ref(trained), Verdict.FAIL)
    decision = promote.promote(client, ledger_uri=uri, evaluation=worse, key="next", actor="test")
    assert decision.trained_on is not None, "the next training asks what the last one has seen"
    assert decision.trained_on.dataset == other.dataset
    found = skew.reference(uri, "2013-03")
    assert found is not None
    assert found.version == trained.version


def test_a_ledger_that_does_not_say_what_the_champion_was_trained_on_is_readable(tmp_path: Path) -> None:
    store = Store(tmp_path)
    former = make_decision("2013-01", Action.PROMOTED, after="1")
    assert "trained_on" not in {k: v for k, v in former.to_dict().items() if v is not None}
    moved(store.ledger, former)
    assert skew.check(store.trained.dataset, Skew(), ledger_uri=store.ledger) == []


def test_skew_needs_neither_evidently_nor_mlflow() -> None:
    code = "import sys; from airflow_mlops.stages.validate import skew; print({'evidently', 'mlflow', 'scipy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_changed_column_keeps_the_table_readable(tmp_path: Path) -> None:
    rows = changed(make_rows(2), carrier=pa.array(["AA"] * 2000).dictionary_encode())
    assert "skew.type" not in failed(Store(tmp_path).compare(rows))
