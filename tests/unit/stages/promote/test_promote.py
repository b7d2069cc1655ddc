from __future__ import annotations

import itertools
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.approval import Answer, ApprovalOutcome
from airflow_mlops.domain.facts.results import Action, Evaluation, PromotionDecision, TrainedModel
from airflow_mlops.domain.spec.gates import Serving
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    PromotionConflict,
    PromotionRefused,
    RegistryUnavailable,
)
from airflow_mlops.learning.bless import process
from airflow_mlops.learning.models import models
from airflow_mlops.stages.promote import moves, promote
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.registry.ledger import RowKind
from registry_builders import make_evaluation, make_ref, make_version
from synthetic import make_client

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # real processes, or fits: seconds each

BLESSED = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="blessed in another test")

DRIVER = """
import os, signal, sys, time
from pathlib import Path
from mlflow import MlflowClient
from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.results import Evaluation
from airflow_mlops.stages.promote import promote
from airflow_mlops.exceptions import PromotionConflict

uri, ledger_uri, key, evaluation, point, folder = sys.argv[1:]
promote._blessed = lambda *_: Check(name="blessing", verdict="PASS", expected="alike", reason="in another test")

class Client(MlflowClient):
    def set_registered_model_alias(self, *arguments):
        if point == "before the alias":
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + 120
        while point == "race" and not any(Path(folder).iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)  # until the other has ended, so that both are always under way at once
        super().set_registered_model_alias(*arguments)
        if point == "after the alias":
            os.kill(os.getpid(), signal.SIGKILL)

try:
    promote.promote(
        Client(uri, uri), ledger_uri=ledger_uri, evaluation=Evaluation.model_validate_json(evaluation), key=key,
        actor="driver",
    )
except PromotionConflict as conflict:
    (Path(folder) / key).touch()
    print(conflict)
    sys.exit(3)
"""


class Story:
    """A model with two versions in the registry, and its ledger."""

    def __init__(self, client: MlflowClient, model: str, folder: Path) -> None:
        self.client = client
        self.model = model
        self.folder = folder
        self.uri = f"file://{folder}/ledger"
        self.one = make_version(client, model)
        self.two = make_version(client, model, 0.01)

    @property
    def champion(self) -> str | None:
        return registry.champion_version(self.client, self.model)

    @property
    def kinds(self) -> list[RowKind]:
        return [row.kind for row in ledger.rows(self.uri)]

    def crown(self, trained: TrainedModel, before: TrainedModel | None = None) -> None:
        """Leave what a promotion leaves."""
        decision = PromotionDecision(
            model=self.model, partition="2013-01", action=Action.PROMOTED, before=before.version if before else None,
            after=trained.version, digest=trained.digest, reason="first", key=f"crown/{trained.version}",
        )  # fmt: skip
        ledger.record(self.uri, RowKind.INTENT, decision, actor="test")
        registry.set_champion(self.client, self.model, trained.version)
        ledger.record(self.uri, RowKind.DONE, decision, actor="test")

    def promote(
        self,
        evaluation: Evaluation,
        key: str = "run-2",
        client: MlflowClient | None = None,
        approval: ApprovalOutcome | None = None,
        serving: Serving | None = None,
    ) -> PromotionDecision:
        return promote.promote(
            client or self.client, ledger_uri=self.uri, evaluation=evaluation, key=key, actor="test",
            approval=approval, serving=serving,
        )  # fmt: skip

    def rollback(self, to: str | None = None, key: str = "undo") -> PromotionDecision:
        return promote.rollback(
            self.client, ledger_uri=self.uri, model=self.model, to=to, reason="too many complaints", key=key,
            actor="test", partition="2013-02",
        )  # fmt: skip

    def tamper(self, trained: TrainedModel, other: TrainedModel) -> None:
        """Put the bytes of another model in place of a model's."""
        model = next(iter(self.client.get_run(trained.run_id).outputs.model_outputs)).model_id
        place = self.client.get_logged_model(model).artifact_location.removeprefix("file://")
        copied = models.download(self.client, other.run_id, self.folder)
        (Path(place) / "model.skops").write_bytes(copied.read_bytes())

    def start(self, evaluation: Evaluation, point: str, key: str = "run-2") -> subprocess.Popen[str]:
        """Promote in another process, which kills itself at a point or waits for its rival."""
        (self.folder / "ended").mkdir(exist_ok=True)
        command = [self.client.tracking_uri, self.uri, key, evaluation.model_dump_json(), point]
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, *command, str(self.folder / "ended")],
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return make_client(tmp_path_factory.mktemp("mlflow"))


NUMBERS = itertools.count()


@pytest.fixture
def story(client: MlflowClient, tmp_path: Path) -> Story:
    return Story(client, f"flights_{next(NUMBERS)}", tmp_path)


@pytest.fixture
def unblessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process a test would take minutes; those that leave it out are about the alias and the ledger."""
    monkeypatch.setattr(promote, "_blessed", lambda *_: BLESSED)


def test_the_first_champion_is_promoted_once_with_its_evidence(story: Story) -> None:
    decision = story.promote(make_evaluation(story.one))
    assert (decision.action, decision.before, decision.after) == (Action.PROMOTED, None, "1")
    assert champions.current(story.client, story.uri, story.model).champion == make_ref(story.one)
    blessing = decision.checks[-1]
    assert (blessing.name, blessing.verdict, blessing.n, blessing.observed) == (
        "blessing",
        Verdict.PASS,
        200,
        0,
    )
    assert story.client.get_model_version(story.model, "1").tags["mlops.promoted"] == "run-2"
    assert story.kinds == [RowKind.INTENT, RowKind.DONE]
    assert ledger.decision(story.uri, "2013-01") == decision
    assert story.promote(make_evaluation(story.one)) == decision
    assert story.kinds == [RowKind.INTENT, RowKind.DONE]


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_a_candidate_that_did_not_pass_is_refused_and_that_is_recorded(
    story: Story, verdict: Verdict
) -> None:
    story.crown(story.one)
    decision = story.promote(make_evaluation(story.two, story.one, verdict, "2013-02"))
    assert (decision.action, decision.before, decision.after) == (Action.REFUSED, "1", "1")
    assert decision.reason == f"the gates say {verdict}"
    assert story.champion == "1"
    assert ledger.decision(story.uri, "2013-02") == decision


def test_a_candidate_that_is_champion_already_is_kept(story: Story) -> None:
    story.crown(story.one)
    decision = story.promote(make_evaluation(story.one, story.one))
    assert (decision.action, decision.reason) == (Action.KEPT, "version 1 is the champion already")


@pytest.mark.usefixtures("unblessed")
def test_a_candidate_that_was_judged_against_another_champion_is_not_promoted(story: Story) -> None:
    story.crown(story.one)
    with pytest.raises(PromotionConflict, match="Version 2 .* was to follow none, .* is version 1 now"):
        story.promote(make_evaluation(story.two))
    assert story.champion == "1"
    last = ledger.rows(story.uri)[-1]
    assert (last.kind, last.before, last.after) == (RowKind.ABORT, None, "2")
    assert "is version 1 now" in last.reason


@pytest.mark.usefixtures("unblessed")
def test_a_key_promotes_one_version_only(story: Story) -> None:
    story.promote(make_evaluation(story.one))
    with pytest.raises(
        PromotionConflict, match="run-2 has begun to move the champion to version 1, .* to 2 too"
    ):
        story.promote(make_evaluation(story.two, story.one))
    assert story.champion == "1"


def test_a_candidate_whose_bytes_have_changed_is_not_promoted(story: Story) -> None:
    story.tamper(story.two, story.one)
    with pytest.raises(DigestMismatch, match="model.skops has the digest"):
        story.promote(make_evaluation(story.two))
    assert (story.champion, story.kinds) == (None, [])


def test_a_candidate_that_was_evaluated_under_another_digest_is_not_promoted(story: Story) -> None:
    with pytest.raises(DigestMismatch, match="but 000000000000… of run"):
        story.promote(make_evaluation(story.two.model_copy(update={"digest": "0" * 64})))
    assert (story.champion, story.kinds) == (None, [])


def test_a_promotion_killed_before_the_alias_moved_is_done_by_its_retry(story: Story) -> None:
    story.crown(story.one)
    evaluation = make_evaluation(story.two, story.one)
    assert story.start(evaluation, "before the alias").wait(120) == -signal.SIGKILL
    assert (story.champion, story.kinds[2:]) == ("1", [RowKind.INTENT])
    assert story.promote(evaluation).action is Action.PROMOTED
    assert (story.champion, story.kinds[2:]) == ("2", [RowKind.INTENT, RowKind.DONE])


def test_a_promotion_killed_after_the_alias_moved_is_finished_by_its_retry(story: Story) -> None:
    story.crown(story.one)
    assert story.start(make_evaluation(story.two, story.one), "after the alias").wait(120) == -signal.SIGKILL
    assert (story.champion, story.kinds[2:]) == ("2", [RowKind.INTENT])
    # A retry of the whole run judges the candidate against itself, which no margin lets pass.
    decision = story.promote(make_evaluation(story.two, story.two, Verdict.FAIL))
    assert (decision.action, decision.before, decision.after) == (Action.PROMOTED, "1", "2")
    assert (story.champion, story.kinds[2:]) == ("2", [RowKind.INTENT, RowKind.DONE])
    assert story.client.get_model_version(story.model, "2").tags["mlops.promoted"] == "run-2"


def test_a_rollback_finishes_a_killed_promotion_before_it_takes_it_back(story: Story) -> None:
    story.crown(story.one)
    evaluation = make_evaluation(story.two, story.one)
    assert story.start(evaluation, "after the alias").wait(120) == -signal.SIGKILL
    assert story.rollback().action is Action.ROLLED_BACK
    assert (story.champion, story.kinds[2:]) == (
        "1",
        [RowKind.INTENT, RowKind.DONE, RowKind.INTENT, RowKind.DONE],
    )
    with pytest.raises(PromotionConflict, match="has made version 2 the champion, which is version 1 by now"):
        story.promote(evaluation)
    assert story.champion == "1"


def test_of_two_promotions_at_the_same_time_one_wins_and_the_other_says_so(story: Story) -> None:
    story.crown(story.one)
    three = make_version(story.client, story.model, 0.1)
    rivals = [
        story.start(make_evaluation(candidate, story.one), "race", f"run-{candidate.version}")
        for candidate in (story.two, three)
    ]
    messages = [rival.communicate(timeout=240)[0] for rival in rivals]
    assert sorted(rival.returncode for rival in rivals) == [0, 3]
    won, lost = ("2", "3") if rivals[0].returncode == 0 else ("3", "2")
    assert (
        f"Version {lost} cannot become champion while run-{won} moves the alias from version 1 to {won}"
        in "".join(messages)
    )
    assert story.champion == won
    assert [(row.key, row.before, row.after) for row in ledger.moves(story.uri)[1:]] == [
        (f"run-{won}", "1", won)
    ]


class LostReply(MlflowClient):
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        super().set_registered_model_alias(name, alias, version)
        raise MlflowException("the connection was reset")


class Down(MlflowClient):
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        raise MlflowException("the connection was refused")


class Overtaken(MlflowClient):
    """As MLflow answers if others set the first alias at the same time."""

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        super().set_registered_model_alias(name, alias, "1")
        raise MlflowException("UNIQUE constraint failed", error_code=400)


@pytest.mark.usefixtures("unblessed")
def test_a_lost_reply_of_the_registry_is_no_failure(story: Story) -> None:
    uri = story.client.tracking_uri
    assert story.promote(make_evaluation(story.two), client=LostReply(uri, uri)).action is Action.PROMOTED
    assert (story.champion, story.kinds) == ("2", [RowKind.INTENT, RowKind.DONE])


@pytest.mark.usefixtures("unblessed")
def test_a_registry_that_is_down_leaves_the_promotion_to_a_retry(story: Story) -> None:
    uri = story.client.tracking_uri
    with pytest.raises(RegistryUnavailable, match="refused"):
        story.promote(make_evaluation(story.two), client=Down(uri, uri))
    assert (story.champion, story.kinds) == (None, [RowKind.INTENT])
    story.promote(make_evaluation(story.two))
    assert (story.champion, story.kinds) == ("2", [RowKind.INTENT, RowKind.DONE])


@pytest.mark.usefixtures("unblessed")
@pytest.mark.parametrize("vetoed", [False, True])
def test_a_promotion_that_something_is_against_by_now_is_given_up_by_its_retry(
    story: Story, vetoed: bool
) -> None:
    verdict = Verdict.PASS if vetoed else Verdict.FAIL
    approval = ApprovalOutcome(answers=(say("ben", False, "too early"),)) if vetoed else None
    uri = story.client.tracking_uri
    story.crown(story.one)
    with pytest.raises(RegistryUnavailable):
        story.promote(make_evaluation(story.two, story.one), client=Down(uri, uri))
    again = make_evaluation(story.two, story.one, verdict)
    assert story.promote(again, approval=approval).action is Action.REFUSED
    assert (story.champion, story.kinds[2:]) == ("1", [RowKind.INTENT, RowKind.ABORT, RowKind.DECISION])
    with pytest.raises(RegistryUnavailable):
        story.promote(make_evaluation(story.two, story.one), client=Down(uri, uri))
    registry.set_champion(story.client, story.model, "2")
    for _ in range(2):
        with pytest.raises(
            PromotionConflict, match="has made version 2 the champion before .* mlops rollback"
        ):
            story.promote(again, approval=approval)
        moves.settle(story.client, story.uri, story.model, "another", "test")
    assert story.rollback().after == "1"


@pytest.mark.usefixtures("unblessed")
def test_a_retry_moves_the_alias_to_no_bytes_that_have_changed_meanwhile(story: Story) -> None:
    uri = story.client.tracking_uri
    story.crown(story.one)
    evaluation = make_evaluation(story.two, story.one)
    with pytest.raises(RegistryUnavailable):
        story.promote(evaluation, client=Down(uri, uri))
    story.tamper(story.two, story.one)
    with pytest.raises(DigestMismatch, match="model.skops has the digest"):
        story.promote(evaluation)
    assert (story.champion, story.kinds[2:]) == ("1", [RowKind.INTENT, RowKind.ABORT])


@pytest.mark.usefixtures("unblessed")
@pytest.mark.parametrize("late", ["before the alias", "with the alias"])
def test_a_move_whose_claim_was_ended_by_another_is_not_recorded_as_done(
    story: Story, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "_LEASE", timedelta(0))
    three = make_version(story.client, story.model, 0.1)
    story.crown(story.one)

    class Slow(MlflowClient):
        asked = 0

        def get_registered_model(self, name: str) -> object:
            found = super().get_registered_model(name)
            Slow.asked += 1
            if late == "before the alias" and Slow.asked == 2:  # the first is before the claim
                story.promote(make_evaluation(three, story.one), key="rival")
            return found

        def set_registered_model_alias(self, *arguments: str) -> None:
            if late == "with the alias":
                story.promote(make_evaluation(three, story.one), key="rival")
            super().set_registered_model_alias(*arguments)

    uri = story.client.tracking_uri
    said = (
        "somebody has ended its claim"
        if late == "before the alias"
        else "no claim any more to make version 2"
    )
    with pytest.raises(PromotionConflict, match=said):
        story.promote(make_evaluation(story.two, story.one), client=Slow(uri, uri))
    assert [row.key for row in ledger.moves(story.uri)] == ["crown/1", "rival"]
    assert story.champion == ("3" if late == "before the alias" else "2")


@pytest.mark.usefixtures("unblessed")
def test_a_first_alias_that_others_set_meanwhile_is_left_to_them(story: Story) -> None:
    uri = story.client.tracking_uri
    with pytest.raises(PromotionConflict, match="Version 2 .* follow none, .* is version 1 now"):
        story.promote(make_evaluation(story.two), client=Overtaken(uri, uri))
    assert (story.champion, story.kinds) == ("1", [RowKind.INTENT, RowKind.ABORT])


@pytest.mark.usefixtures("unblessed")
def test_a_promotion_that_was_killed_for_good_holds_up_the_next_for_minutes_only(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = story.client.tracking_uri
    with pytest.raises(RegistryUnavailable):
        story.promote(make_evaluation(story.one), key="dead", client=Down(uri, uri))
    with pytest.raises(PromotionConflict, match="while dead moves the alias from version None to 1"):
        story.promote(make_evaluation(story.two), key="early")
    monkeypatch.setattr(moves, "_LEASE", timedelta(0))
    assert story.promote(make_evaluation(story.two), key="late").action is Action.PROMOTED
    rows = [(row.key, row.kind) for row in ledger.rows(story.uri)]
    assert rows == [
        ("dead", RowKind.INTENT), ("early", RowKind.ABORT), ("dead", RowKind.ABORT), ("late", RowKind.INTENT), ("late", RowKind.DONE)
    ]  # fmt: skip


def judged(evaluation: Evaluation, *checks: Check) -> Evaluation:
    return evaluation.model_copy(update={"checks": checks})


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> Check:
        raise AssertionError("a fresh process was started")

    monkeypatch.setattr(promote, "_blessed", start)


@pytest.mark.usefixtures("no_process")
def test_a_candidate_that_its_evaluation_has_blessed_is_verified_by_its_bytes_alone(story: Story) -> None:
    evaluation = judged(make_evaluation(story.one), BLESSED)
    assert story.promote(evaluation).checks == (BLESSED,)
    assert story.champion == "1"
    story.tamper(story.two, story.one)
    with pytest.raises(DigestMismatch, match="model.skops has the digest"):
        story.promote(judged(make_evaluation(story.two, story.one), BLESSED), "run-3")
    assert story.champion == "1"


@pytest.mark.usefixtures("no_process")
def test_a_verdict_that_its_checks_do_not_say_promotes_nothing(story: Story) -> None:
    failed = BLESSED.model_copy(update={"name": "floor", "verdict": Verdict.FAIL})
    for number, (checks, follows) in enumerate((((), "INCONCLUSIVE"), ((BLESSED, failed), "FAIL"))):
        decision = story.promote(judged(make_evaluation(story.one), *checks), f"run-{number}")
        assert (decision.action, story.champion) == (Action.REFUSED, None)
        assert decision.reason == f"the evaluation says PASS, but {follows} follows from its checks"


def say(person: str, approved: bool = True, reason: str = "looks right") -> Answer:
    return Answer(
        version="2", verdict=Verdict.PASS, user=person, person=person, approved=approved, reason=reason,
        at=datetime(2013, 2, 1, tzinfo=UTC),
    )  # fmt: skip


def test_an_approved_candidate_is_blessed_again_for_people_may_have_taken_days(story: Story) -> None:
    old = BLESSED.model_copy(update={"reason": "of last week"})
    approval = ApprovalOutcome(answers=(say("anna"),))
    decision = story.promote(judged(make_evaluation(story.one), old), approval=approval)
    assert decision.reason == "the gates say PASS; approved by anna: looks right"
    assert (decision.approval, decision.candidate) == (approval, "1")
    [blessing] = decision.checks
    assert (blessing.name, blessing.n) == ("blessing", 200)
    assert ledger.rows(story.uri)[-1].evidence == decision


def test_a_model_is_blessed_by_the_limits_that_its_spec_has_and_restored_by_none(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[float, float, bool]] = []

    def started(*_: object, **limits: Any) -> AbstractContextManager[Callable[[], process.Blessing]]:
        given.append((limits["seconds"], limits["memory_mb"], limits["requirements"] is not None))
        return nullcontext(lambda: process.Blessing(1, 1, 1, 0, 1))

    monkeypatch.setattr(process, "start", started)
    story.crown(story.one)
    approval, serving = ApprovalOutcome(answers=(say("anna"),)), Serving(seconds=300, memory=9000)
    story.promote(make_evaluation(story.two, story.one), approval=approval, serving=serving)
    assert story.rollback().after == "1"
    assert given == [(300, 9000, True), (600, 2**20, False)]


@pytest.mark.usefixtures("unblessed")
def test_people_who_override_a_failed_gate_are_named_in_the_ledger(story: Story) -> None:
    story.crown(story.one)
    evaluation = make_evaluation(story.two, story.one, Verdict.FAIL, "2013-02")
    told = ApprovalOutcome(answers=(say("anna"), say("ben", reason="needed now")))
    assert story.promote(evaluation, "not allowed", approval=told).action is Action.REFUSED
    decision = story.promote(evaluation, approval=told.model_copy(update={"overridden": True}))
    assert (decision.action, story.champion) == (Action.PROMOTED, "2")
    assert decision.reason == (
        "the gates say FAIL, which people have overridden (anna: looks right; ben: needed now): the gates say FAIL"
    )
    assert decision.approval is not None
    assert decision.approval.overridden
    assert ledger.decision(story.uri, "2013-02") == decision


@pytest.mark.usefixtures("no_process")
def test_nobody_can_let_a_model_through_that_does_not_load(story: Story) -> None:
    failed = BLESSED.model_copy(update={"verdict": Verdict.FAIL, "reason": "it predicts something else"})
    evaluation = judged(make_evaluation(story.one, verdict=Verdict.FAIL), failed)
    decision = story.promote(evaluation, approval=ApprovalOutcome(answers=(say("anna"),), overridden=True))
    assert (decision.action, story.champion) == (Action.REFUSED, None)
    assert decision.reason.endswith("that failed its blessing: it predicts something else")


@pytest.mark.usefixtures("no_process")
@pytest.mark.parametrize("overridden", [False, True])
def test_one_persons_veto_is_enough(story: Story, overridden: bool) -> None:
    approval = ApprovalOutcome(answers=(say("anna"), say("ben", False, "too early")), overridden=overridden)
    decision = story.promote(make_evaluation(story.one), approval=approval)
    assert (decision.action, decision.reason) == (Action.REFUSED, "ben did not approve: too early")
    assert (story.champion, decision.approval) == (None, approval)


def delete(story: Story, trained: TrainedModel) -> None:
    story.client.delete_model_version(story.model, trained.version)


@pytest.mark.usefixtures("unblessed")
def test_a_champion_that_was_deleted_while_the_gate_ran_is_not_followed(story: Story) -> None:
    story.crown(story.one)
    evaluation = make_evaluation(story.two, story.one)
    delete(story, story.one)
    with pytest.raises(PromotionConflict, match="was to follow version 1, but the champion is none now"):
        story.promote(evaluation)
    assert (story.champion, ledger.rows(story.uri)[-1].kind) == (None, RowKind.ABORT)


@pytest.mark.usefixtures("unblessed")
def test_a_candidate_that_met_no_champion_because_it_was_deleted_is_no_first_champion(story: Story) -> None:
    three = make_version(story.client, story.model, 0.1)
    story.crown(story.one)
    story.crown(story.two, before=story.one)
    delete(story, story.two)
    with pytest.raises(PromotionConflict, match=r"crown/2 made version 2 so: .* rollback .* --to 1 --reason"):
        story.promote(make_evaluation(three))
    assert (story.champion, story.kinds[4:]) == (None, [])
    assert story.rollback("1").after == "1"
    assert story.promote(make_evaluation(three, story.one)).after == "3"


@pytest.mark.usefixtures("unblessed")
def test_a_candidate_is_first_again_when_every_former_champion_was_deleted(story: Story) -> None:
    story.crown(story.one)
    delete(story, story.one)
    assert story.promote(make_evaluation(story.two)).action is Action.PROMOTED
    assert story.champion == "2"


def pend(story: Story, trained: TrainedModel) -> None:
    with sqlite3.connect(story.client.tracking_uri.removeprefix("sqlite:///")) as database:
        database.execute(
            "update model_versions set status = 'PENDING_REGISTRATION' where name = ? and version = ?",
            (story.model, trained.version),
        )


@pytest.mark.usefixtures("no_process")
@pytest.mark.parametrize(
    ("change", "said"),
    [(delete, "has no version '2'; it has 1"), (pend, "Version 2 of .* is PENDING_REGISTRATION, not READY")],
)
def test_a_candidate_that_is_gone_or_not_ready_is_not_promoted(
    story: Story, change: Callable[[Story, TrainedModel], None], said: str
) -> None:
    change(story, story.two)
    with pytest.raises(ModelNotFound, match=said):
        story.promote(make_evaluation(story.two))
    assert (story.champion, story.kinds) == (None, [])


@pytest.mark.usefixtures("no_process")
def test_a_candidate_whose_digest_was_changed_in_the_registry_is_not_promoted(story: Story) -> None:
    story.client.set_model_version_tag(story.model, "2", "mlops.digest", "f" * 64)
    with pytest.raises(DigestMismatch, match="registered with digest ffffffffffff…"):
        story.promote(make_evaluation(story.two))
    assert (story.champion, story.kinds) == (None, [])


class Unreadable(MlflowClient):
    def get_registered_model(self, name: str) -> None:
        raise MlflowException("the server is on fire")


@pytest.mark.usefixtures("unblessed")
def test_a_registry_that_cannot_be_read_is_not_one_without_a_champion(story: Story) -> None:
    uri = story.client.tracking_uri
    with pytest.raises(RegistryUnavailable, match="on fire"):
        story.promote(make_evaluation(story.one), client=Unreadable(uri, uri))
    assert (story.champion, story.kinds) == (None, [])


@pytest.mark.usefixtures("unblessed")
def test_a_rollback_puts_an_alias_that_was_moved_by_hand_back(story: Story) -> None:
    story.crown(story.one)
    registry.set_champion(story.client, story.model, "2")
    with pytest.raises(
        PromotionRefused, match="Version 2 .* never been champion by the ledger; these have been: 1. Name"
    ):
        story.rollback("2")
    decision = story.rollback()
    assert (decision.action, decision.before, decision.after) == (Action.ROLLED_BACK, "2", "1")
    with pytest.raises(PromotionRefused, match="Version 2 .* never been champion"):
        story.rollback("2", "again")


@pytest.mark.usefixtures("unblessed")
def test_a_rollback_to_where_the_alias_was_moved_by_hand_makes_that_official(story: Story) -> None:
    story.crown(story.one)
    story.crown(story.two, before=story.one)
    registry.set_champion(story.client, story.model, "1")
    decision = story.rollback("1")
    assert (decision.action, decision.before, decision.after) == (Action.ROLLED_BACK, "1", "1")
    assert ledger.moves(story.uri)[-1].after == "1" == story.champion
    assert story.rollback("1", "again").action is Action.KEPT


@pytest.mark.usefixtures("unblessed")
def test_a_rollback_without_a_champion_takes_the_last_one_that_is_left(story: Story) -> None:
    story.crown(story.one)
    story.crown(story.two, before=story.one)
    delete(story, story.two)
    assert story.rollback().after == "1" == story.champion
    delete(story, story.one)
    with pytest.raises(ModelNotFound, match="is none, and the ledger names none to go back to"):
        story.rollback(key="again")


@pytest.mark.usefixtures("unblessed")
def test_what_was_rolled_back_does_not_come_back_by_itself(story: Story) -> None:
    story.crown(story.one)
    story.crown(story.two, before=story.one)
    story.rollback()
    delete(story, story.one)
    with pytest.raises(ModelNotFound, match="names none to go back to .* not rolled back itself"):
        story.rollback(key="again")
    assert moves.last_champion(story.client, story.uri, story.model) is None
    assert story.rollback("2", "on purpose").after == "2" == story.champion


def test_a_rollback_restores_the_former_champion_and_a_second_one_changes_nothing(story: Story) -> None:
    story.crown(story.one)
    story.crown(story.two, before=story.one)
    decision = story.rollback()
    assert (decision.action, decision.before, decision.after) == (Action.ROLLED_BACK, "2", "1")
    assert (decision.digest, decision.reason) == (story.one.digest, "too many complaints")
    assert decision.checks[-1].name == "blessing"
    assert champions.current(story.client, story.uri, story.model).champion == make_ref(story.one)
    assert ledger.champion_as_of(story.uri, "2013-03") == "1"
    rows = ledger.rows(story.uri)
    for key, to in (("undo", None), ("undo again", None), ("undo to", "1")):
        again = story.rollback(to, key)
        assert (again.after, story.champion) == ("1", "1")
    assert again.action is Action.KEPT
    assert again.reason.startswith("version 1 is the champion already")
    assert ledger.rows(story.uri) == rows


def test_there_is_nothing_to_roll_the_first_champion_back_to(story: Story) -> None:
    with pytest.raises(ModelNotFound, match="has no champion to roll back from"):
        story.rollback()
    story.crown(story.one)
    with pytest.raises(ModelNotFound, match="Version 1 is the first champion"):
        story.rollback()
    with pytest.raises(ModelNotFound, match="no version '9'; it has 1, 2"):
        story.rollback("9")


def test_a_version_that_never_was_champion_is_not_restored(story: Story) -> None:
    story.crown(story.one)
    with pytest.raises(PromotionRefused, match="Version 2 .* has never been champion"):
        story.rollback("2")
    assert story.champion == "1"


def test_a_former_champion_whose_bytes_have_changed_is_not_restored(story: Story) -> None:
    story.crown(story.one)
    story.crown(story.two, before=story.one)
    story.client.set_model_version_tag(story.model, "1", "mlops.digest", "0" * 64)
    with pytest.raises(DigestMismatch, match="was champion with"):
        story.rollback()
    assert story.champion == "2"
