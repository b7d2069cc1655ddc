from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.replay import Replay, Step
from airflow_mlops.domain.facts.results import Action, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.model import (
    AutoRollback,
    Budget,
    Candidate,
    Gates,
    KofN,
    Labels,
    ModelSpec,
    Retrain,
    RetrainWhen,
    VersusChampion,
)
from airflow_mlops.domain.spec.replay import CURRENT, NEVER, Policy, built_in
from airflow_mlops.domain.spec.train import Train
from airflow_mlops.exceptions import TableMissing, UnknownPartition
from airflow_mlops.stages.replay import calibrate, compare, planning, replay, report, stages, workers
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.train import jobs
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, month, rows_of, shifted
from registry_builders import make_gate
from synthetic import FEATURES, LOGISTIC

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # real processes, or fits: seconds each

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
SPEC = ModelSpec(
    name=MODEL, task="classification", target="late", key=("flight",), event_time="departure", partition="month",
    source={"files": "/data/{partition}.csv"}, labels={"delay": "P7D"}, features=FEATURES,
    train={"candidates": [LOGISTIC]},
    monitor={"drift": {"min_rows": 100, "columns": 0.2}, "performance": {"floor": {"roc_auc": 0.95}}},
    retrain={"when": {"drift": "1 of 1", "performance": None}},
)  # fmt: skip


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Four months, the last of them in a stronger wind."""
    found = History(tmp_path_factory.mktemp("replay"))
    for key in MONTHS[:3]:
        found.publish(key)
    found.publish("2013-04", shifted("2013-04"))
    return found


@pytest.fixture(scope="module")
def plan(history: History) -> ReplayPlan:
    return planning.make(SPEC, history.storage, history.folder / "work")


def here(plan: ReplayPlan, **options: Any) -> Replay:
    """Replay in this process."""
    policies = [built_in(name, plan.spec) for name in (CURRENT, NEVER)]
    with workers.pool(1) as pool:
        return compare.compare(pool, plan, policies, **options)


@pytest.fixture(scope="module")
def found(plan: ReplayPlan) -> Replay:
    return here(plan, quiet=MONTHS[3:])


def steps(plan: ReplayPlan, name: str, count: int = 4) -> list[Step]:
    policy = built_in(name, plan.spec)
    return [replay.step(plan, policy, place) for place in range(count)]


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each candidate pass: to judge one takes a process of its own."""

    def passed(
        plan: ReplayPlan,
        spec: ModelSpec,
        place: int,
        candidates: Sequence[TrainedModel],
        champion: ModelRef | None,
        retrain: Any,
    ) -> tuple[Evaluation, float]:
        found = Evaluation(
            model=MODEL, partition=MONTHS[place], candidate=candidates[0], champion=champion, metrics={}, checks=(make_gate(),),
            verdict=Verdict.PASS, leaderboard={}, reason="better",
        )  # fmt: skip
        return found, 0.0

    monkeypatch.setattr(stages, "evaluated", passed)


def test_the_first_model_comes_with_the_first_holdout_and_serves_from_the_next_partition_on(
    found: Replay,
) -> None:
    points = found.points[NEVER]
    assert [point.action for point in points] == [Action.KEPT, Action.PROMOTED, Action.KEPT, Action.KEPT]
    assert "too little data" in points[0].reason
    assert [point.model for point in points] == [None, None, "2013-01", "2013-01"]
    assert [point.retrain for point in points] == [False, True, False, False]


def test_each_policy_trains_when_its_rules_ask_for_it(found: Replay) -> None:
    trained = {summary.name: summary.retrainings for summary in found.summaries}
    # Drift comes with April.
    assert (trained[NEVER], trained[CURRENT]) == (1, 2)
    assert [point.drift for point in found.points[CURRENT]][2:] == [Verdict.PASS, Verdict.FAIL]
    assert "drift" in found.points[CURRENT][3].why


def test_a_search_that_time_cut_short_is_replayed_by_as_many_trials(history: History, tmp_path: Path) -> None:
    search = Candidate(estimator=LOGISTIC.estimator, search={"C": [1e-6, 1.0, 10.0]})
    spec = SPEC.model_copy(update={"train": Train(candidates=(search,), budget=Budget(seconds=1e-9))})
    live = planning.make(spec, history.storage, tmp_path / "live")
    [cut] = stages.trained(live, 1)
    assert cut.trials == 1
    done = jobs.searched(live.client(), MODEL)
    assert list(done.values()) == [1]
    patient = spec.model_copy(update={"train": Train(candidates=(search,))})
    assert stages.trained(planning.make(patient, history.storage, tmp_path / "patient"), 1)[0].trials == 3
    # By another budget it is another search; by the same, at any speed, the same.
    again = planning.make(spec, history.storage, tmp_path / "again", searched=dict.fromkeys(done, 2))
    assert stages.trained(again, 1)[0].trials == 2
    again = planning.make(spec, history.storage, tmp_path / "again", searched=done)
    [same] = stages.trained(again, 1)
    assert (same.trials, same.digest) == (1, cut.digest)


def test_each_candidate_chooses_its_window_in_a_replay_too(tmp_path: Path) -> None:
    found = History(tmp_path)
    first = rows_of("2013-01")
    found.publish("2013-01", changed(first, late=pc.invert(first["late"])))
    for key in MONTHS[1:]:
        found.publish(key)
    # To every row alike: such a candidate is as good with any window, and so takes the longest.
    blind = Candidate(estimator=LOGISTIC.estimator, params={"C": 1e-12}, name="Blind")
    train = Train(candidates=(LOGISTIC, blind), window=("all", 2), metric="f1")
    spec = SPEC.model_copy(update={"train": train, "labels": Labels()})
    plan = planning.make(spec, found.storage, tmp_path / "work")
    candidates = stages.trained(plan, 3)
    windows = [candidate.window and candidate.window.chosen for candidate in candidates]
    assert windows[0] == 2
    assert candidates[0].split.start == month("2013-02").start
    evaluation, _ = stages.evaluated(plan, spec, 3, candidates, None)
    assert evaluation.candidate.window == candidates[0].window
    assert stages.trained(plan, 3) == candidates


def test_models_are_trained_once_for_all_policies(plan: ReplayPlan, found: Replay) -> None:
    # As of February, March and April: January has no holdout.
    assert len(plan.client().search_model_versions(f"name = '{MODEL}'")) == 3


def test_a_champion_is_recalibrated_in_a_replay_where_its_calibration_alone_asks(plan: ReplayPlan) -> None:
    [first] = stages.trained(plan, 1)
    champion = ModelRef(model=MODEL, version=first.version, digest=first.digest, run_id=first.run_id)
    asks = RetrainDecision(
        model=MODEL, partition=MONTHS[3], retrain=True, checks=(), dataset=plan.datasets[3], reason="calibration", recalibrates=True,
    )  # fmt: skip
    candidates = stages.candidates(plan, 3, asks, champion, plan.spec)
    assert [candidate.keeps for candidate in candidates] == [first.version, None]
    assert stages.candidates(plan, 3, asks, champion, plan.spec) == candidates
    assert len(stages.candidates(plan, 3, asks, None, plan.spec)) == 1
    others = asks.model_copy(update={"recalibrates": False})
    assert len(stages.candidates(plan, 3, others, champion, plan.spec)) == 1


def test_a_policy_trains_on_its_own_window(plan: ReplayPlan, found: Replay) -> None:
    short = SPEC.model_copy(update={"train": SPEC.train.model_copy(update={"window": 1})})
    policy = Policy(
        "short", short.model_copy(update={"retrain": built_in("every_partition", short).spec.retrain})
    )
    taken = [replay.step(plan, policy, place) for place in range(3)]
    assert [step.decision.trained_on.start.month for step in taken[1:] if step.decision.trained_on] == [1, 2]
    [ours], [theirs] = stages.trained(plan, 2, short), stages.trained(plan, 2)
    assert (ours.split.start.month, theirs.split.start.month) == (2, 1)
    assert taken[2].trained == (ours.version,)
    assert ours.version != theirs.version


def test_what_was_replayed_is_not_computed_again(
    plan: ReplayPlan, found: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trained", "evaluated", "health", "quality"):
        monkeypatch.setattr(stages, name, None)
    assert here(plan, oracle=False).points == found.points


def test_nothing_of_a_later_partition_is_seen(
    history: History, plan: ReplayPlan, found: Replay, unjudged: None
) -> None:
    shorter = planning.make(SPEC, history.storage, history.folder / "shorter", last="2013-03")
    alone, all_of_them = steps(shorter, NEVER, 3), steps(plan, NEVER, 3)
    for one, other in zip(alone, all_of_them, strict=True):
        assert one.retrain == other.retrain
        assert one.quality == other.quality
        assert one.health.drift == other.health.drift
        judged = [
            (each.observed, each.interval, each.n)
            for each in (one.health.performance, other.health.performance)
        ]
        assert judged[0] == judged[1]
        assert one.decision.action == other.decision.action


def test_the_models_own_tables_and_registry_are_left_alone(history: History, found: Replay) -> None:
    assert {path.name for path in (history.folder / "storage" / MODEL).iterdir()} == {"data"}
    assert tables.open_table(history.uri("data")).version() == 4
    assert not (history.folder / "mlflow.db").exists()


def test_quality_is_measured_on_all_labels_and_the_monitors_on_those_that_had_matured(
    plan: ReplayPlan, found: Replay
) -> None:
    march = steps(plan, NEVER)[2]
    assert march.health.performance.n is not None
    assert march.health.performance.n < plan.datasets[2].rows
    assert march.quality["roc_auc"] != march.health.metrics["roc_auc"]


def test_no_policy_is_better_than_the_oracle_in_any_partition(found: Replay) -> None:
    assert [served.model for served in found.oracle][:2] == [None, None]
    for points in found.points.values():
        for served, point in zip(found.oracle, points, strict=True):
            if point.quality:
                assert served.quality["roc_auc"] >= point.quality["roc_auc"]


def test_partitions_below_the_floor_of_the_spec_are_degraded(plan: ReplayPlan, found: Replay) -> None:
    points = found.points[NEVER]
    assert [point.degraded for point in points] == [
        bool(point.quality) and point.quality["roc_auc"] < 0.95 for point in points
    ]


def test_a_higher_threshold_never_cries_more_often(found: Replay) -> None:
    rates = [rate for rate in found.rates if rate.policy == NEVER]
    assert [rate.threshold for rate in rates] == [0.05, 0.1, 0.15, 0.2, 0.3]
    alarms = [rate.alarms for rate in rates]
    assert alarms == sorted(alarms, reverse=True)
    assert (alarms[0], {rate.judged for rate in rates}) == (1, {1})
    assert all(rate.interval and rate.interval[0] <= rate.alarms <= rate.interval[1] for rate in rates)


def test_the_report_can_be_read_again_and_has_a_picture(found: Replay, tmp_path: Path) -> None:
    report.write(found, tmp_path / "report")
    assert Replay.model_validate_json((tmp_path / "report" / "replay.json").read_text()) == found
    assert (tmp_path / "report" / "replay.png").read_bytes().startswith(b"\x89PNG")


def test_a_corrected_partition_is_gone_through_again_and_those_before_it_are_not(
    tmp_path: Path, unjudged: None
) -> None:
    history = History(tmp_path)
    for key in MONTHS[:3]:
        history.publish(key)
    before = planning.make(SPEC, history.storage, tmp_path / "work")
    first = steps(before, NEVER, 3)
    history.publish("2013-03", shifted("2013-03"))
    after = planning.make(SPEC, history.storage, tmp_path / "work")
    assert [each.version for each in after.datasets] == [1, 2, 4]
    second = steps(after, NEVER, 3)
    assert second[:2] == first[:2]
    assert (first[2].health.drift.verdict, second[2].health.drift.verdict) == (Verdict.PASS, Verdict.FAIL)


def test_partitions_that_came_in_another_order_are_seen_whole(tmp_path: Path) -> None:
    history = History(tmp_path)
    for key in ("2013-02", "2013-01", "2013-03"):
        history.publish(key)
    found = planning.pinned(history.uri("data"))
    assert [(each.partition, each.version) for each in found] == [
        ("2013-01", 2),
        ("2013-02", 2),
        ("2013-03", 3),
    ]


def test_a_span_begins_with_what_was_known_before_it(
    plan: ReplayPlan, found: Replay, history: History
) -> None:
    later = planning.make(SPEC, history.storage, history.folder / "work", first="2013-03")
    assert [each.partition for each in later.datasets] == ["2013-03", "2013-04"]
    assert later.datasets == plan.datasets[2:]
    split, _ = stages.split(later, 0)
    assert split is not None
    assert split.start.month == 1


def test_a_champion_on_probation_is_taken_back_as_the_policy_says(
    plan: ReplayPlan, found: Replay, unjudged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    first = steps(plan, NEVER)
    failed = first[3].health.drift.model_copy(update={"name": "probation", "verdict": Verdict.FAIL})

    def worse(client: Any, promotion: Any, *_: Any, **facts: Any) -> Any:
        asked.append((promotion.before, promotion.after))
        return failed

    monkeypatch.setattr("airflow_mlops.stages.guard.probation.judge", worse)
    monkeypatch.setattr(stages, "monitored", lambda *_: first[3].health)
    every = built_in("every_partition", plan.spec).spec
    monitor = every.monitor.model_copy(update={"rollback": AutoRollback()})
    policy = Policy("watched", every.model_copy(update={"monitor": monitor}))
    taken = [replay.step(plan, policy, place) for place in range(4)]
    old, new = (taken[place].champion.version for place in (1, 2))
    assert asked == [(old, new)]
    assert [each.restored is not None for each in taken] == [False, False, False, True]
    assert (taken[3].served.version, taken[3].restored.after) == (new, old)
    assert taken[3].decision.before == old


def test_a_candidate_that_was_refused_by_a_hair_is_judged_again_without_a_training(
    history: History, tmp_path: Path
) -> None:
    spec = SPEC.model_copy(
        update={
            "gates": Gates(versus_champion=VersusChampion(evidence="adds_up", margin=-0.003)),
            "retrain": Retrain(when=RetrainWhen(every=1), cooldown=0, budget=KofN(2, 3)),
            "labels": Labels(),
        }
    )
    plan = planning.make(spec, history.storage, tmp_path / "work")
    policy = built_in(CURRENT, spec)
    *_, refused, again = [replay.step(plan, policy, place) for place in range(4)]
    assert (refused.decision.action, again.decision.action) == (Action.REFUSED, Action.REFUSED)
    assert refused.trained == (again.decision.candidate,)
    assert (again.retrain.retrain, again.retrain.version, again.trained) == (
        False,
        refused.decision.candidate,
        (),
    )
    numbers = [
        check.n for step in (refused, again) for check in step.decision.checks if check.name == "evidence"
    ]
    assert numbers == [1, 2]
    # What was replayed is read again, and is the same.
    assert replay.step(plan, policy, 3) == again


def test_a_span_without_data_and_a_key_of_another_grain_are_told(history: History, tmp_path: Path) -> None:
    with pytest.raises(
        TableMissing, match="No partition of 'flights' .* from 2014-01 to the last; ingest it"
    ):
        planning.make(SPEC, history.storage, tmp_path, first="2014-01")
    with pytest.raises(UnknownPartition, match="2013-01-01"):
        planning.make(SPEC, history.storage, tmp_path, first="2013-01-01")


def test_quiet_partitions_are_named_by_a_span_or_all() -> None:
    assert calibrate.quiet("2013-02..2013-03", SPEC.partition, MONTHS) == MONTHS[1:3]
    assert calibrate.quiet("all", SPEC.partition, MONTHS) == MONTHS
    with pytest.raises(ValueError, match=r"first\.\.last"):
        calibrate.quiet("2013-02", SPEC.partition, MONTHS)
    with pytest.raises(ValueError, match="none of the replayed"):
        calibrate.quiet("2014-02..2014-03", SPEC.partition, MONTHS)


def test_candidates_are_judged_by_one_process_at_a_time_whatever_the_gates(
    plan: ReplayPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = stages.trained(plan, 2)
    judge, running, overlapped = stages.evaluate.evaluate_candidates, [], []
    others: list[Thread] = []

    def judged(*models: Any, gates: Gates, **facts: Any) -> Evaluation:
        overlapped.append(len(running))
        running.append(gates)
        if not others:
            others.append(Thread(target=lambda: evaluate(0.52)))
            others[0].start()
            # It comes as far as it may.
            others[0].join(0.5)
        evaluation = judge(*models, gates=gates, **facts)
        running.pop()
        return evaluation

    def evaluate(floor: float) -> None:
        gates = Gates(floor={"roc_auc": floor})
        stages.evaluated(plan, plan.spec.model_copy(update={"gates": gates}), 2, candidates, None)

    monkeypatch.setattr(stages.evaluate, "evaluate_candidates", judged)
    evaluate(0.51)
    others[0].join(60)
    assert overlapped == [0, 0]
