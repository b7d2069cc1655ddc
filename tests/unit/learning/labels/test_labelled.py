from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import Action, DatasetVersion, Evaluation, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.model import Features, Gates, ModelSpec
from airflow_mlops.domain.spec.monitor import AutoRollback
from airflow_mlops.domain.spec.replay import CURRENT, NEVER, built_in
from airflow_mlops.exceptions import NotEnoughData, NotReproduced, SchemaMismatch
from airflow_mlops.learning import provenance
from airflow_mlops.learning.bless import process
from airflow_mlops.learning.labels import labelled as learning
from airflow_mlops.learning.labels import labels, maturity
from airflow_mlops.learning.models import models
from airflow_mlops.stages.drift import windows
from airflow_mlops.stages.drift.reference import TARGET, read
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.guard import probation
from airflow_mlops.stages.promote import promote
from airflow_mlops.stages.replay import compare, drifted, planning, replay, stages, workers
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.train import jobs, train
from airflow_mlops.stages.train.recipe import derive_features
from airflow_mlops.stages.train.split import split_of
from airflow_mlops.stores import retention
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.tables import tables
from history import MODEL, ROWS, changed, month, rows_of
from late import LATER, WEEK, Late, known_in
from synthetic import FEATURES, LOGISTIC, make_recipe

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
SPEC = ModelSpec(
    name=MODEL, task="classification", target="late", key=("flight",), event_time="departure", partition="month",
    source={"files": "/data/{partition}.csv"}, labels={"delay": "P7D", "source": {"files": "/labels/{partition}.csv"}},
    features=FEATURES, train={"candidates": [LOGISTIC]}, gates={"floor": {"roc_auc": 0.6}},
    monitor={"drift": {"min_rows": 50}, "performance": {"floor": {"roc_auc": 0.6}}},
    retrain={"when": {"every": 2}},
)  # fmt: skip


class Learner(Late):
    """A model whose labels come late, and how it is trained and judged."""

    def learn(self, dataset: DatasetVersion, key: str, **changes: Any) -> TrainedModel:
        split = split_of(dataset, 1, "all", WEEK)
        sealed = learning.seal(dataset, split.start, split.end)
        recipe = make_recipe(ROWS, dataset=sealed, split=split, **changes)
        rows = learning.read(sealed, since=split.start, until=split.end)
        return train.train(rows, client=self.client, recipe=recipe, key=key, tags={}, pictures=False)

    def judge(self, trained: TrainedModel) -> Evaluation:
        dataset, split = trained.dataset, trained.split
        names = [*dataset.key, dataset.event_time]
        return evaluate.evaluate(
            learning.read(dataset, since=split.cut, until=split.end),
            seen=learning.read(dataset, columns=names, until=split.end),
            client=self.client, candidates=[trained], champion=champions.current(self.client, self.uri("ledger"), MODEL).champion,
            gates=Gates(floor={"roc_auc": 0.6}), partition=dataset.partition, pictures=False,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def blessed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load and predict in this process: what a fresh one does is tested elsewhere."""

    @contextmanager
    def start(path: Path, digest: str, sample: Path, *, task: str, **_: Any) -> Iterator[Any]:
        yield lambda: process.Blessing(seconds=0.0, **process._predict(path, digest, sample, task))

    said = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="blessed in another test")
    monkeypatch.setattr(process, "start", start)
    monkeypatch.setattr(promote, "_blessed", lambda *_: said)


class Story:
    """Labels of January to April come late; a version learns as of March, and is champion from then on."""

    def __init__(self, folder: Path) -> None:
        self.history = Learner(folder)
        self.months = [self.history.month(key) for key in MONTHS[:3]]
        self.first = self.history.learn(self.months[2], "first")
        self.blind = self.history.learn(self.months[2], "blind", features=Features(numeric=("distance",)))
        self.months.append(self.history.month("2013-04"))

    @property
    def client(self) -> Any:
        return self.history.client


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("late"))


@pytest.fixture
def late(tmp_path: Path) -> Learner:
    return Learner(tmp_path)


def labelled(rows: pa.Table) -> int:
    return rows.num_rows - rows["late"].null_count


def until(end: datetime) -> int:
    """Count the flights before a time."""
    return pc.sum(pc.less(ROWS["departure"], end)).as_py()


def test_rows_have_the_labels_that_were_known_at_the_end_of_the_partition(story: Story) -> None:
    for dataset in story.months:
        rows = learning.read(dataset)
        end = month(dataset.partition).end
        assert rows.num_rows == until(end)
        assert labelled(rows) == until(end - LATER)
        told = rows.sort_by("flight").filter(rows.sort_by("flight")["late"].is_valid())
        assert told["late"].to_pylist() == [float(each) for each in ROWS["late"].to_pylist()[: told.num_rows]]


def test_a_split_counts_the_rows_that_have_a_label(story: Story) -> None:
    split = split_of(story.months[2], 1, "all", WEEK)
    assert split.train_rows + split.holdout_rows == until(month("2013-03").end - LATER)
    assert (split.cut, split.end) == (month("2013-03").start, month("2013-03").end - WEEK)


def test_a_holdout_whose_labels_have_not_come_is_too_little_data_and_says_so(late: Learner) -> None:
    late.publish("2013-01", rows_of("2013-01").drop_columns(["late", "delay"]))
    february = late.publish("2013-02", rows_of("2013-02").drop_columns(["late", "delay"]))
    none = learning.with_labels(february, late.uri("labels"), "late")
    assert none.labels is not None
    assert none.labels.version is None
    assert labelled(learning.read(none)) == 0
    with pytest.raises(
        NotEnoughData,
        match=r"rows with a label count, and labels\.source has brought 0 by the end of 2013-02",
    ):
        split_of(none, 1, "all", WEEK)
    late.bring("2013-01")
    some = learning.with_labels(february, late.uri("labels"), "late")
    with pytest.raises(NotEnoughData, match=r"0 held out .* say so in labels\.delay"):
        split_of(some, 1, "all", WEEK)


@pytest.mark.parametrize("most", [1, 500, 10**6])
def test_a_scan_finds_what_a_read_does_however_many_rows_it_takes_at_a_time(
    story: Story, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "_ROWS", most)
    dataset, names = story.months[2], ["flight", "departure", "late"]
    span = {"since": month("2013-01").start + WEEK, "until": month("2013-03").end - WEEK}
    parts = [*learning.scan(dataset, names, *span.values())]
    assert len(parts) == {1: 3, 500: 2}.get(most, 1)
    whole = learning.read(dataset, columns=names, **span)
    assert pa.concat_tables(parts).sort_by("flight") == whole.sort_by("flight").combine_chunks()


def test_labels_of_different_keys_that_are_one_in_the_data_are_refused(late: Learner) -> None:
    known = pa.table({"flight": ["1", "01"], "late": [0.0, 1.0]})
    with pytest.raises(SchemaMismatch, match=r"write 'flight' in labels\.source as in the data"):
        maturity.same_keys(known, pa.table({"flight": [1]}), ["flight"])


def test_labels_that_contradict_each_other_are_none(late: Learner) -> None:
    january = late.month("2013-01")
    before = labelled(learning.read(january))
    rows = known_in(month("2013-01"))
    wrong = changed(rows.slice(0, 3), late=pc.invert(rows["late"].slice(0, 3)))
    late.bring("2013-01", wrong)
    after = learning.with_labels(january, late.uri("labels"), "late")
    assert labelled(learning.read(after)) == before - 3
    # What is pinned stays as it was.
    assert labelled(learning.read(january)) == before
    maturing = [maturity.matured(each, month("2013-01").start, WEEK).num_rows for each in (january, after)]
    assert maturing == [before, before - 3]


def test_a_key_that_comes_again_in_another_partition_is_another_row(late: Learner) -> None:
    rows = rows_of("2013-01").drop_columns(["late", "delay"]).slice(0, 60)
    again = changed(
        rows, departure=pc.add(rows["departure"], pa.scalar(timedelta(days=31), pa.duration("us")))
    )
    late.publish("2013-01", rows)
    dataset = late.publish("2013-02", again)
    for key, table, value in (("2013-01", rows, 1.0), ("2013-02", again, 0.0)):
        told = table.select(["flight", "departure"]).append_column("late", pa.array([value] * 60))
        late.bring(key, told)
    found = learning.read(learning.with_labels(dataset, late.uri("labels"), "late"))
    by_month = [found.filter(pc.equal(pc.month(found["departure"]), number))["late"] for number in (1, 2)]
    assert [set(each.to_pylist()) for each in by_month] == [{1.0}, {0.0}]


def test_keys_and_columns_that_do_not_fit_are_named(late: Learner) -> None:
    january = late.month("2013-01")
    other = learning.with_labels(january, late.uri("labels"), "delay")
    with pytest.raises(SchemaMismatch, match=r"no column delay; they have .*labels\.source"):
        learning.read(other)
    named = known_in(month("2013-01"))
    named = changed(named, flight=pc.binary_join_element_wise("x", named["flight"].cast(pa.string()), ""))
    labels.write(
        late.uri("named"), named, month("2013-01"), key=["flight"], event_time="departure", target="late",
        task="classification",
    )  # fmt: skip
    with pytest.raises(SchemaMismatch, match="'flight' is string in the labels and int64 in the data"):
        learning.read(learning.with_labels(january, late.uri("named"), "late"))


def test_what_is_scanned_is_what_is_read(story: Story) -> None:
    dataset, split = story.months[2], story.first.split
    names = ["flight", "wind", "late"]
    parts = pa.concat_tables(learning.scan(dataset, names, split.start, split.cut))
    whole = learning.read(dataset, columns=names, since=split.start, until=split.cut)
    assert parts.sort_by("flight").equals(whole.sort_by("flight"))
    assert learning.read(dataset, columns=["wind"]).column_names == ["wind"]


def test_the_digest_is_that_of_the_labels_that_count_whatever_came_later(late: Learner) -> None:
    january = late.month("2013-01")
    first = learning.seal(january)
    late.bring("2013-02")
    second = learning.seal(learning.with_labels(january, late.uri("labels"), "late"))
    assert first.labels is not None
    assert second.labels is not None
    assert first.labels.version < second.labels.version
    assert learning.content(first) == learning.content(second)
    rows = known_in(month("2013-02")).slice(0, 1)
    early = changed(rows, labelled_at=pa.array([month("2013-01").start], pa.timestamp("us", "UTC")))
    late.bring("2013-01", early)
    third = learning.seal(learning.with_labels(january, late.uri("labels"), "late"))
    assert learning.content(third) != learning.content(second)


def test_a_training_is_another_one_if_its_labels_are_and_the_same_if_others_came(story: Story) -> None:
    recipe = make_recipe(ROWS, dataset=story.first.dataset, split=story.first.split)

    def identity(**changes: Any) -> str:
        told = story.first.dataset.labels.model_copy(update=changes)
        dataset = story.first.dataset.model_copy(update={"labels": told})
        return jobs.Job.of(recipe.model_copy(update={"dataset": dataset})).identity()

    assert identity(version=99) == identity()
    assert identity(digest="0" * 64) != identity()


def test_columns_of_labels_are_no_features(story: Story) -> None:
    dataset = story.months[0]
    names = {**dataset.columns, labels.LABELLED_AT: "timestamp[us, tz=UTC]", "late": "bool"}
    features = derive_features(dataset.model_copy(update={"columns": names}), "late")
    assert (
        features.names == derive_features(dataset, "late").names == ("distance", "wind", "carrier", "origin")
    )


def test_a_version_is_trained_judged_promoted_and_taken_back_by_labels_of_their_own(story: Story) -> None:
    evaluation = story.history.judge(story.first)
    assert evaluation.verdict is Verdict.PASS, evaluation.reason
    told = {check.n for check in evaluation.checks if check.name.startswith("floor")}
    assert told == {story.first.split.holdout_rows}
    uri = story.history.uri("ledger")
    decision = promote.promote(story.client, ledger_uri=uri, evaluation=evaluation, key="run-1", actor="test")
    assert decision.action is Action.PROMOTED
    assert decision.trained_on.dataset.labels == story.first.dataset.labels
    story.history.crown(story.blind, "2013-03")
    promotion = probation.on_probation(ledger.rows(uri))
    check = probation.judge(
        story.client, promotion, ledger.rows(uri), dataset=story.months[3], policy=AutoRollback(within=1),
        question=Question(target="late", task="classification", metric="roc_auc", delay=WEEK),
    )  # fmt: skip
    april = month("2013-04")
    assert check.verdict is Verdict.FAIL, check.reason
    assert check.n == until(april.end - LATER) - until(april.start)


def test_a_version_is_reproduced_from_the_labels_that_it_learned_from(story: Story) -> None:
    story.history.judge(story.first)
    found = reproduce.reproduce(story.client, MODEL, story.first.version)
    assert found.reproduced
    assert found.digest == story.first.digest
    assert [check.verdict for check in found.outcome] == [Verdict.PASS] * len(found.outcome)
    assert len(found.outcome) > 1


def test_a_training_whose_labels_were_changed_cannot_be_repeated(late: Learner) -> None:
    for key in MONTHS[:2]:
        dataset = late.month(key)
    trained = late.learn(dataset, "changed")
    for file in (late.folder / "storage" / MODEL / "labels").rglob("*"):
        if file.is_file():
            file.unlink()
    for key in MONTHS[:2]:
        rows = known_in(month(key))
        late.bring(key, changed(rows, late=pc.invert(rows["late"])))
    with pytest.raises(NotReproduced, match="are not those of this training"):
        reproduce.reproduce(late.client, MODEL, trained.version)


def test_what_a_version_learned_from_is_told_and_stays(story: Story) -> None:
    version = story.client.get_model_version(MODEL, story.first.version)
    assert version.tags["mlops.labels_version"] == str(story.first.dataset.labels.version)
    kept = provenance.read(story.client, story.first.run_id)["recipe"]["dataset"]["labels"]
    assert kept == story.first.dataset.labels.to_dict()
    inputs = story.client.get_run(story.first.run_id).inputs.dataset_inputs
    assert f"{MODEL}.labels" in {each.dataset.name for each in inputs}
    story.history.crown(story.first, "2013-03")
    needed = retention.needed(story.client, story.history.uri("labels"), {MODEL: story.history.uri("ledger")})
    assert story.first.dataset.labels.version in needed


def test_the_drift_of_the_target_is_that_of_labels_that_began_to_count(story: Story) -> None:
    ref = registry.version(story.client, MODEL, story.first.version)
    reference = read(story.client, ref, season=None, groups=None)
    learned = reference.columns[TARGET]
    assert learned.rows - learned.missing == story.first.split.train_rows
    window = windows.of(story.months[3], 1)
    now = windows.target(window, "late", WEEK, classes=True)
    april = month("2013-04")
    assert now is not None
    assert now.rows == until(april.end - LATER) - until(april.start - LATER)


def test_a_model_with_labels_of_their_own_is_replayed_as_of_each_partition(
    story: Story, tmp_path: Path
) -> None:
    plan = planning.make(SPEC, story.history.storage, tmp_path / "work")
    policies = [built_in(name, SPEC) for name in (CURRENT, NEVER)]
    with workers.pool(1) as pool:
        found = compare.compare(pool, plan, policies, oracle=False)
    points = found.points[NEVER]
    assert [point.action for point in points] == [Action.KEPT, Action.PROMOTED, Action.KEPT, Action.KEPT]
    assert [bool(point.quality) for point in points] == [False, False, True, True]
    assert [each.labels.until for each in plan.datasets] == [month(key).end for key in MONTHS]
    # The recipe is that of the loop, and so is the model.
    (again,) = stages.trained(plan, 2)
    assert again.digest == story.first.digest
    assert learning.content(again.dataset) == learning.content(story.first.dataset)


class Cached:
    """A plan, and what was computed for it."""

    def __init__(self, plan: ReplayPlan, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plan = plan
        self.asked: list[tuple[str, str]] = []
        for module in (stages, drifted):
            monkeypatch.setattr(module, "cached", self._ask)

    def _ask(self, folder: Path, kind: str, key: str, compute: Any) -> Any:
        self.asked.append((kind, key))
        raise LookupError(kind)

    def key(self, stage: Any, *arguments: Any) -> tuple[str, str]:
        with pytest.raises(LookupError):
            stage(*arguments)
        return self.asked[-1]


def with_spec(plan: ReplayPlan, **changes: Any) -> ReplayPlan:
    return ReplayPlan(SPEC.model_copy(update=changes), plan.datasets, plan.folder, plan.labels)


def test_what_was_replayed_is_kept_for_its_metric_split_target_and_labels(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planning.make(SPEC, story.history.storage, tmp_path / "work")
    asked, first = Cached(plan, monkeypatch), story.first
    ref = registry.version(story.client, MODEL, first.version)

    def evaluated(*candidates: TrainedModel) -> Any:
        return asked.key(stages.evaluated, plan, SPEC, 2, candidates, None)

    def key_where(failing: str) -> Any:
        decision = RetrainDecision(
            model=MODEL, partition=plan.datasets[2].partition, retrain=True, checks=(), dataset=plan.datasets[2], reason="r",
            failing=failing,
        )  # fmt: skip
        return asked.key(stages.evaluated, plan, SPEC, 2, [first], ref, decision)

    # What is known of the champion counts only where it is handed on, which is where the gates ask for it.
    assert (
        len(
            {
                asked.key(stages.evaluated, plan, SPEC, 2, [first], ref),
                key_where(""),
                key_where("bad"),
                key_where("worse"),
            }
        )
        == 3
    )
    shorter = first.split.model_copy(update={"end": first.split.end - WEEK})
    others = [{"metric": "f1"}, {"split": shorter}]
    assert len({evaluated(first.model_copy(update=each)) for each in ({}, *others)}) == 3
    other = with_spec(plan, target="delayed")
    later = with_spec(plan, labels=SPEC.labels.model_copy(update={"delay": LATER}))
    drift = {asked.key(drifted.compared, each, SPEC.monitor.drift, 2, ref) for each in (plan, other, later)}
    assert len(drift) == 3
    assert len({asked.key(stages.quality, each, 2, ref) for each in (plan, other)}) == 2
    assert len({asked.key(stages.split, each, 2) for each in (plan, later)}) == 2


def test_labels_that_come_later_are_seen_by_the_steps_that_they_are_about(
    late: Learner, tmp_path: Path
) -> None:
    for key in MONTHS[:2]:
        late.month(key)
    late.publish("2013-03", rows_of("2013-03").drop_columns(["late", "delay"]))

    def keys() -> list[str]:
        plan = planning.make(SPEC, late.storage, tmp_path / "work", last="2013-02")
        return replay._keys(plan, built_in(NEVER, SPEC))

    before = keys()
    rows = known_in(month("2013-04"))
    late.bring("2013-04", rows.filter(pc.greater_equal(rows["departure"], month("2013-03").end)))
    assert keys() == before
    late.bring("2013-03")  # of February's last days, too
    assert [one == other for one, other in zip(before, keys(), strict=True)] == [True, False]


def test_a_candidate_whose_code_has_changed_is_replayed_again(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "replayed_candidate.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    candidate = LOGISTIC.model_copy(update={"estimator": "replayed_candidate:build"})
    spec = SPEC.model_copy(update={"train": SPEC.train.model_copy(update={"candidates": (candidate,)})})
    plan = planning.make(spec, story.history.storage, tmp_path / "work")
    found = []
    for number in (1, 2):
        module.write_text(
            "from sklearn.linear_model import LogisticRegression\n\n\n"
            f"def build():\n    return LogisticRegression(C={number})\n"
        )
        monkeypatch.delitem(sys.modules, "replayed_candidate", raising=False)
        found.append(replay._keys(plan, built_in(NEVER, spec)))
    assert all(one != other for one, other in zip(*found, strict=True))


def test_the_version_predicts_without_the_target(story: Story) -> None:
    ref = registry.version(story.client, MODEL, story.first.version)
    rows = tables.read(story.history.uri("data"), partition="2013-04")
    assert "late" not in rows.column_names
    assert (
        models.predict(models.load_version(story.client, ref), rows, "classification").size == rows.num_rows
    )
