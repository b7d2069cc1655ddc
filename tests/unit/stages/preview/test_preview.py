from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mlops.domain.facts.preview import Outlook, Part, Preview
from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import DigestMismatch
from airflow_mlops.learning.models import code
from airflow_mlops.stages.loop import loop
from airflow_mlops.stages.loop.plan import LoopPlan
from airflow_mlops.stages.preview import memory
from airflow_mlops.stages.preview.preview import PreviewPlan, preview
from airflow_mlops.stores.sources.local import LocalFiles
from history import changed, month, rows_of
from synthetic import make_client

pytestmark = pytest.mark.slow  # one loop of three months, which all tests look at

MONTHS = ("2013-01", "2013-02", "2013-03")
MODULE = "prepare_flights_for_plan"
CODE = '''
import pyarrow.compute as pc


def prepare(rows):
    """Add gusts."""
    return rows.append_column("gust", pc.multiply(rows["wind"], 1.5))  # half as much again
'''


@dataclass(frozen=True)
class Store:
    """A model of three months, with a champion, and what its spec says."""

    folder: Path
    client: Any
    values: dict[str, Any]

    @property
    def storage(self) -> str:
        return f"file://{self.folder}/storage"

    def preview(self, *, reads: bool = True, folder: Path | None = None, **changes: Any) -> Preview:
        """Say what the spec would do with other values."""
        spec = ModelSpec.from_dict(self.values | changes)
        files = spec.source.files
        assert files is not None
        former = memory.recall(f"{self.storage}/flights/specs", "flights")
        plan = PreviewPlan(
            spec=spec,
            former=former,
            storage=self.storage,
            source=LocalFiles(files) if reads else None,
            connect=lambda: self.client,
            folder=folder or self.folder,
        )
        before = self.digest()
        outcome = preview(plan)
        assert self.digest() == before, "a preview has written something"
        return outcome

    def digest(self) -> dict[str, str]:
        files = sorted(
            path for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in str(path)
        )
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "data").mkdir()
    for key in MONTHS:
        pq.write_table(rows_of(key), folder / "data" / f"{key}.parquet")
    (folder / f"{MODULE}.py").write_text(CODE)
    values = {
        "name": "flights",
        "task": "classification",
        "target": "late",
        "key": ["flight"],
        "event_time": "departure",
        "partition": "month",
        "features": {"numeric": ["distance", "gust"], "categorical": ["carrier", "origin"]},
        "source": {"files": f"{folder}/data/{{partition}}.parquet"},
        "transform": f"{MODULE}:prepare",
        "validate": [{"expect_column_values_to_be_between": {"column": "distance", "min_value": 0}}],
        "train": {"candidates": [{"sklearn.linear_model.LogisticRegression": {"C": 1.0}}]},
    }
    store = Store(folder, make_client(folder), values)
    spec = ModelSpec.from_dict(values)
    assert spec.source.files is not None
    plan = LoopPlan(
        spec=spec,
        client=store.client,
        source=LocalFiles(spec.source.files),
        storage=store.storage,
        write=lambda name, content: None,
        actor="ann",
        artifacts=f"file://{folder}/artifacts",
        pictures=False,
        folder=folder,
    )
    with code.importable([folder]):
        steps = list(loop.run(plan, map(month, MONTHS)))
        assert [step.problem for step in steps] == [""] * 3
        yield store
    sys.modules.pop(MODULE, None)


def texts(outcome: Preview, part: Part) -> str:
    return " ".join(f"{effect.outlook}: {effect.text}" for effect in outcome.effects if effect.part is part)


def places(outcome: Preview) -> list[str]:
    return [change.place for change in outcome.changes]


def test_the_same_spec_changes_nothing(store: Store) -> None:
    outcome = store.preview()
    assert outcome.outlook is Outlook.SAME
    assert (outcome.changes, outcome.columns, outcome.ingest_again) == ((), (), ())
    assert outcome.against == "the spec in force since 2013-01"
    assert outcome.published == MONTHS
    assert (outcome.trains_at, outcome.trains) == ("2013-04", False)
    assert outcome.why.startswith("no rule asks for it")
    assert texts(outcome, Part.CHAMPION) == (
        "same: Champion 1 can be loaded, and predicts 200 rows as the spec has them."
    )
    assert texts(outcome, Part.PREDICTIONS) == "same: No partition is scored again: what was predicted stays."
    assert outcome.seconds is not None
    assert f"To train LogisticRegression took {outcome.seconds:,.1f} s at 2013-0" in texts(outcome, Part.TIME)
    assert Preview.from_dict(outcome.to_dict()) == outcome


def test_a_comment_in_the_code_changes_nothing_and_its_body_asks_for_the_data_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"{MODULE}.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    file.write_text(CODE.replace("# half as much again", "# more"))
    assert store.preview(folder=tmp_path).outlook is Outlook.SAME
    file.write_text(CODE.replace("1.5", "2.5"))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    outcome = store.preview(folder=tmp_path)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    assert places(outcome) == ["transform"]
    assert outcome.outlook is Outlook.BREAKS
    assert outcome.ingest_again == MONTHS
    count = rows_of("2013-03").num_rows
    data = texts(outcome, Part.DATA)
    assert "To be ingested again: 3 partitions, 2013-01 to 2013-03" in data
    assert f"of {count:,} that it had" in data
    assert "No training succeeds until 3 partitions, 2013-01 to 2013-03, were ingested again" in texts(
        outcome, Part.TRAINING
    )
    assert "It has learned from rows that prepare_flights_for_plan:prepare@" in texts(outcome, Part.CHAMPION)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def prepare(:", "is no Python in line 1: "),
        ("def prepared(rows): ...", f"its module {MODULE} has no prepare."),
    ],
)
def test_code_of_an_unchanged_spec_that_could_not_be_run_would_stop_what_works(
    store: Store, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / f"{MODULE}.py").write_text(text)
    outcome = store.preview(folder=tmp_path)
    assert "breaks: transform could not be called: " in texts(outcome, Part.DATA)
    assert reason in texts(outcome, Part.DATA)
    assert outcome.outlook is Outlook.BREAKS


def test_a_feature_that_the_data_lacks_is_refused_and_one_that_is_left_out_changes_the_recipe(
    store: Store,
) -> None:
    features = {"numeric": ["distance", "gust", "rain"], "categorical": ["carrier", "origin"]}
    added = store.preview(features=features)
    assert places(added) == ["features.numeric"]
    assert added.outlook is Outlook.BREAKS
    assert "Partitions like 2013-03 would be refused: " in texts(added, Part.DATA)
    assert "lacks 'rain'" in texts(added, Part.DATA)
    assert "is not known, as there are no rows to try it on" in texts(added, Part.CHAMPION)
    removed = store.preview(features={**features, "numeric": ["distance"]})
    assert removed.outlook is Outlook.CHANGES
    assert f"Read again by this spec, 2013-03 has the same {rows_of('2013-03').num_rows} rows." in texts(
        removed, Part.DATA
    )
    assert "A changed recipe alone asks for no training" in texts(removed, Part.TRAINING)
    assert "a run of flights.train with force: true trains at once" in texts(removed, Part.TRAINING)


def test_a_source_elsewhere_is_read_and_the_champion_tried_on_its_rows(store: Store, tmp_path: Path) -> None:
    path = f"{tmp_path}/{{partition}}.parquet"
    missing = store.preview(source={"files": path})
    assert (places(missing), missing.outlook) == (["source.files.path"], Outlook.CHANGES)
    assert "unknown: Whether 2013-03 would be read alike is not known: " in texts(missing, Part.DATA)
    rows = rows_of("2013-03")
    pq.write_table(rows.drop_columns(["origin"]), tmp_path / "2013-03.parquet")
    without = store.preview(
        source={"files": path},
        features={"numeric": ["distance", "gust"], "categorical": ["carrier"]},
        schema="evolve",
    )
    assert without.outlook is Outlook.CHANGES
    strict = store.preview(
        source={"files": path}, features={"numeric": ["distance", "gust"], "categorical": ["carrier"]}
    )
    assert "column 'origin' is lost (`schema: evolve` would fill it with nulls)" in texts(strict, Part.DATA)
    assert strict.outlook is Outlook.BREAKS
    pq.write_table(changed(rows, carrier=rows["origin"]), tmp_path / "2013-03.parquet")
    other = store.preview(source={"files": path})
    assert (
        f"has other rows: {rows.num_rows - sum(map(alike, rows['carrier'], rows['origin']))} others"
        in texts(other, Part.DATA)
    )
    pq.write_table(rows.append_column("rain", rows["wind"]), tmp_path / "2013-03.parquet")
    more = store.preview(source={"files": path}, schema="add")
    assert [(change.column, change.before, change.after) for change in more.columns] == [
        ("rain", None, "double")
    ]
    blind = store.preview(reads=False, source={"files": path})
    assert "is not known, as no data was to be read" in texts(blind, Part.DATA)


def alike(one: Any, two: Any) -> bool:
    return bool(one.as_py() == two.as_py())


def test_expectations_are_tried_on_the_latest_partition(store: Store) -> None:
    bound = {"column": "distance", "min_value": 0, "max_value": 10}
    strict = store.preview(validate=[{"expect_column_values_to_be_between": bound}])
    assert places(strict) == ["validate.expect_column_values_to_be_between(distance).max_value"]
    assert strict.outlook is Outlook.BREAKS
    assert "breaks: 2013-03 by these expectations: " in texts(strict, Part.DATA)
    assert "they stay as they are, and only new ones are read and checked" in texts(strict, Part.DATA)
    soft = store.preview(validate=[{"expect_column_values_to_be_between": {**bound, "severity": "warn"}}])
    assert soft.outlook is Outlook.CHANGES
    blind = store.preview(reads=False, validate=[])
    assert "What the changed expectations would do is not known" in texts(blind, Part.DATA)


def test_the_real_retrain_policy_says_whether_the_next_partition_trains(store: Store) -> None:
    outcome = store.preview(retrain={"when": {"every": 1}})
    assert (outcome.trains_at, outcome.trains) == ("2013-04", True)
    words = texts(outcome, Part.TRAINING)
    assert words.startswith("changes: 2013-04 trains (by what is recorded so far): every: ")
    assert "; by the former spec: no rule asks for it" in words
    asked = store.preview(retrain={"when": {"every": 1}, "mode": "suggest"})
    assert asked.trains is None
    assert "At 2013-04 a person is asked whether to train" in texts(asked, Part.TRAINING)


def test_candidates_gates_schedules_and_mails_leave_data_and_champion_as_they_are(store: Store) -> None:
    regularised = store.preview(
        train={"candidates": [{"sklearn.linear_model.LogisticRegression": {"C": 0.5}}]}
    )
    assert places(regularised) == ["train.candidates.LogisticRegression.C"]
    assert "with its former settings" in texts(regularised, Part.TIME)
    other = store.preview(train={"candidates": ["sklearn.tree.DecisionTreeClassifier"]})
    assert other.seconds is None
    assert "because DecisionTreeClassifier has never been trained" in texts(other, Part.TIME)
    gates = store.preview(gates={"floor": {"roc_auc": 0.99}})
    assert "Gates judge candidates only" in texts(gates, Part.TRAINING)
    for changes in ({"schedule": "0 6 1 * *"}, {"alerts": {"email": ["a@example.com"]}}):
        outcome = store.preview(**changes)
        assert outcome.outlook is Outlook.CHANGES
        assert texts(outcome, Part.DATA) == ""
        assert texts(outcome, Part.CHAMPION).startswith("same: ")


def test_another_target_task_or_grain_would_stop_what_works(store: Store) -> None:
    target = store.preview(target="delay", task="regression", train={})
    assert target.outlook is Outlook.BREAKS
    assert "Champion 1 has learned the target late, and the spec asks for delay" in texts(
        target, Part.CHAMPION
    )
    assert ("prediction", "string", None) in [
        (change.column, change.before, change.after) for change in target.columns
    ]
    days = store.preview(partition="day")
    assert days.outlook is Outlook.BREAKS
    assert "partitions by the day are refused beside them" in texts(days, Part.DATA)
    assert days.trains_at is None


def test_a_champion_that_cannot_be_loaded_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'lightgbm'")

    monkeypatch.setattr("airflow_mlops.stages.score.batches.scorer", missing)
    outcome = store.preview()
    assert outcome.outlook is Outlook.BREAKS
    assert texts(outcome, Part.CHAMPION) == (
        "breaks: Champion 1 cannot be loaded here: ModuleNotFoundError: No module named 'lightgbm'."
    )
    assert [(serving.version, serving.serves) for serving in outcome.serving] == [("1", False)]


def test_a_champion_whose_file_was_changed_leaves_the_next_decision_unknown(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*_: object) -> None:
        raise DigestMismatch("Version 1 of 'flights' is registered with another digest.")

    monkeypatch.setattr("airflow_mlops.stores.registry.champions.current", changed)
    outcome = store.preview()
    assert (outcome.outlook, outcome.trains_at, outcome.trains) == (Outlook.BREAKS, None, None)
    assert texts(outcome, Part.TRAINING).startswith("unknown: Whether the next partition trains is not known")
    assert (
        texts(outcome, Part.CHAMPION) == "breaks: Version 1 of 'flights' is registered with another digest."
    )


def test_another_name_begins_with_nothing_and_is_told_how_to_take_its_past_along(store: Store) -> None:
    spec = ModelSpec.from_dict(store.values | {"name": "planes"})
    plan = PreviewPlan(
        spec=spec,
        former=memory.recall(f"{store.storage}/flights/specs", "flights"),
        storage=store.storage,
        source=None,
        connect=lambda: store.client,
        folder=store.folder,
    )
    outcome = preview(plan)
    assert places(outcome) == ["name"]
    assert outcome.outlook is Outlook.BREAKS
    assert "airflow mlops rename-model flights planes" in texts(outcome, Part.DATA)
    assert texts(outcome, Part.CHAMPION) == "same: There is no champion yet."
    assert not (store.folder / "storage" / "planes").exists()
    new = preview(replace(plan, former=memory.recall(f"{store.storage}/planes/specs", "planes")))
    assert (new.compared, new.outlook) == (False, Outlook.CHANGES)
    assert "No partition is published yet" in texts(new, Part.DATA)
    assert "The first model is trained as soon as" in texts(new, Part.TRAINING)
    forgotten = preview(replace(plan, spec=ModelSpec.from_dict(store.values), former=new_former()))
    assert (forgotten.compared, forgotten.outlook) == (False, Outlook.UNKNOWN)
    assert "What changes in the spec is not known, because no decision" in texts(forgotten, Part.DATA)


def test_of_data_alone_only_data_is_told(store: Store) -> None:
    keys = ("name", "key", "event_time", "partition", "source", "transform", "validate")
    values = {key: store.values[key] for key in keys}
    before = DataSpec.from_dict(values)
    files = before.source.files
    assert files is not None
    plan = PreviewPlan(
        spec=DataSpec.from_dict(values | {"schema": "add"}),
        former=memory.FormerSpec("another file", before, {}),
        storage=store.storage,
        source=LocalFiles(files),
        connect=lambda: pytest.fail("MLflow was opened"),
        folder=store.folder,
    )
    outcome = preview(plan)
    assert [(change.place, change.before, change.after) for change in outcome.changes] == [
        ("schema", "strict", "add")
    ]
    assert {effect.part for effect in outcome.effects} == {Part.DATA}
    assert "Read again by this spec, 2013-03 has the same" in texts(outcome, Part.DATA)
    model = preview(replace(plan, spec=ModelSpec.from_dict(store.values), connect=lambda: store.client))
    assert {"target", "task"} <= set(places(model))


def new_former() -> memory.FormerSpec:
    return memory.FormerSpec("nothing", None, {}, "no decision has kept its spec yet")
