from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops import assets
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.approval import Answer
from airflow_mlops.domain.facts.results import Action, Evaluation, ModelRef, PromotionDecision, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import ApprovalMissing, SpecError, TrainingFailed
from airflow_mlops.operators.promote import PromoteOperator, RollbackOperator
from airflow_mlops.operators.record import RecordOperator
from airflow_mlops.stages.preview import memory
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.registry.ledger import RowKind
from contexts import Run, deploy
from history import MODEL, STIFF, History, make_decision
from registry_builders import make_evaluation, make_ref

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # real processes, or fits: seconds each

CHAMPION = assets.champion(MODEL)
RULE = Check(name="retrain.drift", verdict=Verdict.PASS, expected="no drift", reason="calm")


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def train_run(key: str | None = "2013-02", **changes: Any) -> Run:
    return Run(f"{MODEL}.train", key, **changes)


def train(history: History) -> TrainedModel:
    history.publish("2013-01")
    return history.train(history.publish("2013-02"))


def promoted(run: Run, evaluation: Evaluation, **changes: Any) -> PromotionDecision:
    arguments = {"evaluation": evaluation.to_dict(), "outlets": [CHAMPION], **changes}
    decision = PromotionDecision.from_dict(run.execute(PromoteOperator, "promote", **arguments))
    assert run.stated == [Statement.of(decision)]
    return decision


def test_a_candidate_that_passed_becomes_champion_once(history: History) -> None:
    trained = train(history)
    evaluation = make_evaluation(trained, partition="2013-02")
    decision = promoted(run := train_run(), evaluation)
    assert (decision.action, decision.key) == (Action.PROMOTED, "flights.train/run-1/promote")
    assert champions.champion(history.client, MODEL, history.storage) == make_ref(trained)
    assert (run.pushed["mlflow_run"], run.pushed["decision"]) == (trained.run_id, decision.to_dict())
    assert run.facts(CHAMPION) == {"decision": decision.to_dict()}
    assert promoted(train_run(), evaluation) == decision
    assert [row.kind for row in ledger.rows(history.uri("ledger"))] == [RowKind.INTENT, RowKind.DONE]


def test_a_candidate_that_is_champion_already_skips_the_task(history: History) -> None:
    champion = history.crown(trained := train(history), "2013-01")
    run = train_run()
    with pytest.raises(AirflowSkipException, match="version 1 is the champion already"):
        promoted(run, make_evaluation(trained, champion, partition="2013-02"))
    assert run.pushed["decision"]["action"] == Action.KEPT
    assert run.stated == []
    assert len(run.outlet_events) == 0


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_a_candidate_that_did_not_pass_skips_the_task_and_leaves_the_decision(
    history: History, verdict: Verdict
) -> None:
    trained, run = train(history), train_run()
    with pytest.raises(AirflowSkipException, match=f"the gates say {verdict}"):
        promoted(run, make_evaluation(trained, verdict=verdict, partition="2013-02"))
    decision = PromotionDecision.from_dict(run.pushed["decision"])
    assert (decision.action, decision.after) == (Action.REFUSED, None)
    assert ledger.decision(history.uri("ledger"), "2013-02") == decision
    assert registry.champion_version(history.client, MODEL) is None
    assert len(run.outlet_events) == 0


def say(
    person: str, approved: bool = True, reason: str = "looks right", verdict: Verdict = Verdict.PASS
) -> dict[str, Any]:
    answer = Answer(
        version="1", verdict=verdict, user=person, person=person, approved=approved, reason=reason,
        at=datetime(2013, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    return answer.to_dict()


def test_what_people_approved_is_promoted_with_their_words(history: History) -> None:
    evaluation = make_evaluation(train(history), partition="2013-02")
    # A task that asked nobody has pushed nothing.
    decision = promoted(
        train_run(), evaluation, people="two", approvals=[say("anna"), None, say("ben", reason="at last")]
    )
    assert decision.action is Action.PROMOTED
    assert decision.reason.endswith("approved by anna: looks right; ben: at last")
    assert ledger.moves(history.uri("ledger"))[-1].evidence.approval == decision.approval


@pytest.mark.parametrize(
    ("people", "approvals"),
    [
        ("one", None),
        ("one", []),
        ("one", [None]),
        ("two", [say("anna")]),
        ("two", say("anna")),
        ("two", [say("anna"), say("anna")]),
    ],
)
def test_without_enough_people_nothing_is_promoted(history: History, people: str, approvals: Any) -> None:
    evaluation = make_evaluation(train(history), partition="2013-02")
    with pytest.raises(ApprovalMissing):
        promoted(train_run(), evaluation, people=people, approvals=approvals)
    assert registry.champion_version(history.client, MODEL) is None
    assert ledger.rows(history.uri("ledger")) == []


def test_a_failed_gate_is_overridden_only_where_the_spec_allows_it(history: History) -> None:
    evaluation = make_evaluation(train(history), verdict=Verdict.FAIL, partition="2013-02")
    asked: dict[str, Any] = {"people": "one", "approvals": [say("anna", verdict=Verdict.FAIL)]}
    with pytest.raises(AirflowSkipException, match="the gates say FAIL"):
        promoted(train_run(), evaluation, **asked)
    with pytest.raises(AirflowSkipException, match="anna did not approve: too early"):
        promoted(
            train_run(run_id="run-2"), evaluation, override=True, people="one",
            approvals=[say("anna", False, "too early", Verdict.FAIL)],
        )  # fmt: skip
    decision = promoted(train_run(run_id="run-3"), evaluation, override=True, **asked)
    assert (decision.action, decision.after) == (Action.PROMOTED, "1")
    assert decision.approval is not None
    assert decision.approval.overridden


def test_the_model_card_tells_of_the_promotion(history: History) -> None:
    evaluation = make_evaluation(train(history), partition="2013-02")
    run = train_run()
    promoted(run, evaluation, people="one", approvals=[say("anna")], description="Late or not?", owner="ops")
    name = run.pushed["report"]
    assert name == f"{MODEL}/2013-02/model_card.html"
    page = (history.folder / "storage" / "reports" / name).read_text()
    assert "Late or not?" in page
    assert "anna" in page


def test_a_card_that_cannot_be_written_does_not_undo_a_promotion(
    history: History, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (history.folder / "file").write_text("no folder")
    monkeypatch.setattr("airflow_mlops.config.reports", lambda: f"file://{history.folder}/file")
    run = train_run()
    decision = promoted(run, make_evaluation(train(history), partition="2013-02"))
    assert decision.action is Action.PROMOTED
    assert run.facts(CHAMPION) == {"decision": decision.to_dict()}
    assert "The model card does not tell of the promotion" in capsys.readouterr().out


def recorded(
    run: Run,
    *,
    retrain: RetrainDecision | None = None,
    evaluation: Evaluation | None = None,
    promotion: PromotionDecision | None = None,
    approvals: Any = None,
    **states: str,
) -> PromotionDecision:
    """Record after tasks that gave what is given and ended in these states."""
    run.given[("promote", "decision")] = promotion.to_dict() if promotion else None
    run.states |= states
    arguments = {
        "model": MODEL,
        "promotion": "promote",
        "retrain": retrain.to_dict() if retrain else None,
        "evaluation": evaluation.to_dict() if evaluation else None,
        "approvals": approvals,
    }
    decision = PromotionDecision.from_dict(run.execute(RecordOperator, "record", **arguments))
    assert run.stated == [Statement.of(decision)]
    return decision


def make_retrain(history: History, answer: bool, key: str = "2013-02") -> RetrainDecision:
    return RetrainDecision(
        model=MODEL, partition=key, retrain=answer, checks=(RULE,), dataset=history.publish(key),
        reason="drift: calm",
    )  # fmt: skip


def test_the_spec_of_a_decision_is_kept(history: History) -> None:
    spec = ModelSpec.from_dict(
        {
            "name": MODEL, "task": "classification", "target": "late", "key": ["flight"], "event_time": "departure",
            "partition": "month", "source": {"python": "nowhere:read"},
        }
    )  # fmt: skip
    kept = make_retrain(history, False).to_dict()
    train_run().execute(
        RecordOperator, "record", model=MODEL, promotion="promote", retrain=kept, evaluation=None, spec=spec
    )
    former = memory.recall(history.uri(memory.TABLE), MODEL)
    assert (former.spec, former.label) == (spec, "the spec in force since 2013-02")


def decision_on(history: History, key: str = "2013-02") -> PromotionDecision | None:
    return ledger.decision(history.uri("ledger"), key)


REFUSED = make_decision("2013-02", Action.REFUSED, reason="too weak", key="flights.train/run-1/promote")


def test_what_promotion_decided_is_the_decision(history: History) -> None:
    decision = recorded(
        train_run(), retrain=make_retrain(history, True), promotion=REFUSED, promote="skipped", record="running"
    )  # fmt: skip
    assert decision == REFUSED == decision_on(history)


def test_what_promotion_decided_on_a_candidate_that_was_judged_again_is_the_decision_too(
    history: History,
) -> None:
    again = make_retrain(history, False).model_copy(update={"version": "1"})
    decision = recorded(train_run(), retrain=again, promotion=REFUSED, promote="skipped", record="running")
    assert decision == REFUSED == decision_on(history)


def test_what_is_left_of_a_run_from_before_it_was_cleared_does_not_hide_a_failure(history: History) -> None:
    with pytest.raises(TrainingFailed, match="train_0 failed in flights.train/run-1"):
        recorded(
            train_run(), retrain=make_retrain(history, True), promotion=REFUSED, train_0="failed",
            promote="upstream_failed", record="failed",
        )  # fmt: skip
    decision = decision_on(history)
    assert decision is not None
    assert decision.action is Action.FAILED


def test_a_failure_does_not_unsay_what_was_decided_before(history: History) -> None:
    kept = history.decide("2013-02", Action.KEPT)
    with pytest.raises(TrainingFailed):
        recorded(train_run(), retrain=make_retrain(history, True), train="failed")
    assert decision_on(history) == kept


def test_without_retraining_the_champion_is_kept_for_the_policys_reason(history: History) -> None:
    champion = history.crown(train(history), "2013-02")
    run = train_run("2013-03")
    decision = recorded(run, retrain=make_retrain(history, False, "2013-03"), train="skipped")
    assert (decision.action, decision.reason) == (Action.KEPT, "drift: calm")
    assert run.note == "2013-03: not trained: drift: calm"
    assert (decision.before, decision.after, decision.digest) == ("1", "1", champion.digest)
    assert (decision.checks, decision.key) == ((RULE,), "flights.train/run-1")
    assert decision_on(history, "2013-03") == decision


def test_a_settled_partition_keeps_its_decision_and_a_failed_one_gets_a_new_one(history: History) -> None:
    history.decide("2013-02", Action.FAILED, key="flights.train/run-0")
    kept = recorded(train_run(), retrain=make_retrain(history, False))
    assert kept.action is Action.KEPT
    again = recorded(run := train_run(run_id="run-2"), retrain=make_retrain(history, False))
    assert again == kept == decision_on(history)
    assert run.note == "2013-02: decided before: not trained: drift: calm"


def test_a_promotion_that_nobody_approved_is_refused_with_the_evidence(history: History) -> None:
    evaluation = make_evaluation(train(history), partition="2013-02")
    decision = recorded(
        train_run(), retrain=make_retrain(history, True), evaluation=evaluation, approve="success",
        promote="skipped",
    )  # fmt: skip
    assert (decision.action, decision.after) == (Action.REFUSED, None)
    assert decision.reason == "a person did not approve the promotion"
    assert decision.metrics == evaluation.metrics


def test_who_refused_a_promotion_and_why_is_the_reason(history: History) -> None:
    evaluation = make_evaluation(train(history), partition="2013-02")
    decision = recorded(
        train_run(), retrain=make_retrain(history, True), evaluation=evaluation,
        approvals=[say("anna"), say("ben", False, "too early")], promote="skipped",
    )  # fmt: skip
    assert (decision.action, decision.reason) == (Action.REFUSED, "ben did not approve: too early")
    assert decision.approval is not None
    assert [answer.person for answer in decision.approval.answers] == ["anna", "ben"]
    assert decision.candidate == evaluation.candidate.version
    assert decision_on(history) == decision


@pytest.mark.parametrize("state", ["failed", "upstream_failed"])
def test_a_promotion_that_failed_is_no_refusal_and_fails_the_run_after_it_was_recorded(
    history: History, state: str
) -> None:
    champion = history.crown(train(history), "2013-01")
    evaluation = make_evaluation(history.train(history.publish("2013-02"), candidate=STIFF), champion)
    with pytest.raises(TrainingFailed, match="promote failed in flights.train/run-1"):
        recorded(
            train_run(), retrain=make_retrain(history, True), evaluation=evaluation, evaluate="success",
            promote=state,
        )  # fmt: skip
    decision = decision_on(history)
    assert decision is not None
    assert (decision.action, decision.before, decision.after) == (Action.FAILED, "1", "1")


def test_training_that_failed_fails_the_run(history: History) -> None:
    with pytest.raises(TrainingFailed):
        recorded(train_run(), retrain=make_retrain(history, True), train="failed")


@pytest.mark.parametrize(("key", "partition"), [("2013-01", "2013-01"), (None, "2013-02")])
def test_deciding_that_failed_is_recorded_on_the_runs_partition_or_the_latest(
    history: History, key: str | None, partition: str
) -> None:
    for each in ("2013-02", "2013-01"):
        history.publish(each)
    with pytest.raises(TrainingFailed):
        recorded(train_run(key), decide="failed")
    decision = decision_on(history, partition)
    assert decision is not None
    assert decision.action is Action.FAILED


def past(history: History) -> tuple[ModelRef, TrainedModel]:
    """Crown a version at February, decide March, and return the champion and a candidate of January."""
    history.publish("2013-01")
    champion = history.crown(history.train(history.publish("2013-02")), "2013-02")
    history.decide("2013-03", before=champion.version, after=champion.version)
    return champion, history.train(history.publish("2013-02"), candidate=STIFF)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_a_candidate_of_a_past_partition_is_judged_for_the_record_and_nobody_is_asked(
    history: History, verdict: Verdict
) -> None:
    champion, candidate = past(history)
    run, uri = train_run("2013-01"), history.uri("ledger")
    judged = make_evaluation(candidate, verdict=verdict, partition="2013-01")
    with pytest.raises(AirflowSkipException, match="for the record, as 2013-03 has been decided already"):
        promoted(run, judged, people="one")
    decision = recorded(
        run, retrain=make_retrain(history, True, "2013-01"), evaluation=judged, promote="skipped",
        promotion=PromotionDecision.from_dict(run.pushed["decision"]),
    )  # fmt: skip
    assert (decision.action, decision.before, decision.after) == (Action.RECORDED, None, None)
    assert (decision.candidate, decision.checks) == (candidate.version, judged.checks)
    assert f"the gates say {verdict}" in decision.reason
    assert registry.champion_version(history.client, MODEL) == champion.version
    # Later partitions neither get it, nor count it as a training.
    assert ledger.latest_partition(uri) == "2013-03"
    assert [ledger.champion_as_of(uri, key) for key in ("2013-01", "2013-03", "2013-04")] == [None, "1", "1"]
    assert [attempt.partition for attempt in ledger.attempts(uri)] == ["2013-02"]


def test_a_candidate_of_a_past_partition_is_judged_against_the_champion_of_its_time(history: History) -> None:
    past(history)
    client, uri = history.client, history.uri("ledger")
    assert champions.to_beat(client, uri, MODEL, "2013-02").champion is None
    assert (
        champions.to_beat(client, uri, MODEL, "2013-03").champion
        == champions.current(client, uri, MODEL).champion
    )


def test_a_past_partition_that_trains_nothing_keeps_the_champion_of_its_time(history: History) -> None:
    past(history)
    passed_over = make_retrain(history, False, "2013-01").model_copy(update={"checks": ()})
    decision = recorded(train_run("2013-01"), retrain=passed_over)
    assert (decision.action, decision.before, decision.after) == (Action.KEPT, None, None)
    # It was decided for the record after that, and by the policy there was nothing to train.
    ruled = recorded(train_run("2013-01", run_id="run-2"), retrain=make_retrain(history, False, "2013-01"))
    assert (ruled.action, ruled.before, ruled.checks) == (Action.KEPT, None, (RULE,))
    assert decision_on(history, "2013-01") == ruled


def test_a_training_of_a_past_partition_that_failed_is_none_that_later_ones_look_back_at(
    history: History,
) -> None:
    past(history)
    with pytest.raises(TrainingFailed):
        recorded(train_run("2013-01"), retrain=make_retrain(history, True, "2013-01"), train="failed")
    decision = decision_on(history, "2013-01")
    assert decision is not None
    assert (decision.action, decision.reason) == (Action.KEPT, "train failed in flights.train/run-1")


@pytest.mark.parametrize("moved", [False, True])
def test_a_promotion_that_was_killed_ends_for_the_record_unless_the_alias_has_moved(
    history: History, moved: bool
) -> None:
    trained = train(history)
    evaluation, uri = make_evaluation(trained, partition="2013-01"), history.uri("ledger")
    begun = make_decision(
        "2013-01", Action.PROMOTED, after=trained.version, candidate=trained.version, digest=trained.digest,
        key="flights.train/run-1/promote",
    )  # fmt: skip
    ledger.record(uri, RowKind.INTENT, begun, actor="killed")
    if moved:
        registry.set_champion(history.client, MODEL, trained.version)
    history.decide("2013-02")
    run = train_run("2013-01")
    if moved:
        assert promoted(run, evaluation) == begun
    else:
        with pytest.raises(AirflowSkipException, match="for the record"):
            promoted(run, evaluation)
    assert (registry.champion_version(history.client, MODEL) == trained.version) is moved
    assert list(ledger.pending(uri)) == []


def rolled_back(conf: dict[str, Any] | None, run_id: str = "run-1", **changes: Any) -> PromotionDecision:
    run = Run(f"{MODEL}.rollback", run_id=run_id, conf=conf, form={"to": None, "reason": None})
    try:
        returned = run.execute(RollbackOperator, "rollback", model=MODEL, outlets=[CHAMPION], **changes)
    except AirflowSkipException:
        assert len(run.outlet_events) == 0
    else:
        assert run.facts(CHAMPION) == {"decision": returned}
        assert run.pushed["decision"] == returned
        assert run.stated == [Statement.of(PromotionDecision.from_dict(returned))]
    return PromotionDecision.from_dict(run.pushed["decision"])


@pytest.mark.parametrize(
    ("conf", "key"),
    [
        (None, "reason"),
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "  x "}, "reason"),
        ({"to": 1, "reason": "complaints"}, "to"),
        ({"reason": "complaints", "version": "1"}, "version"),
    ],
)
def test_a_rollback_without_a_reason_or_with_unknown_keys_is_refused(
    conf: dict[str, Any] | None, key: str
) -> None:
    with pytest.raises(SpecError, match=key):
        rolled_back(conf)


@pytest.fixture
def former(history: History) -> ModelRef:
    """The champion of February, which another one has replaced in March."""
    champion = history.crown(train(history), "2013-02")
    history.crown(history.train(history.publish("2013-03"), candidate=STIFF), "2013-03")
    return champion


def test_a_rollback_gives_the_alias_back_and_a_second_one_changes_nothing(
    history: History, former: ModelRef
) -> None:
    decision = rolled_back({"reason": "complaints", "to": None})
    assert (decision.action, decision.before, decision.after) == (Action.ROLLED_BACK, "2", "1")
    assert (decision.partition, decision.reason) == ("2013-03", "complaints")
    assert champions.champion(history.client, MODEL, history.storage) == former
    moves = ledger.moves(history.uri("ledger"))
    again = rolled_back({"reason": "complaints"}, run_id="run-2")
    assert (again.action, again.after) == (Action.KEPT, "1")
    assert ledger.moves(history.uri("ledger")) == moves


def test_what_the_operator_is_given_goes_before_what_the_run_is_asked(former: ModelRef) -> None:
    asked = {"to": "7", "reason": "asked for"}
    decision = rolled_back(asked, to="2", reason="said in the DAG")
    assert (decision.action, decision.after) == (Action.KEPT, "2")
    assert former.version == "1"
