from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.results import Action, Evaluation, PromotionDecision, TrainedModel
from airflow_mlops.engines import ledger, models, promote, registry
from airflow_mlops.engines.ledger import Kind
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    PromotionConflict,
    PromotionRefused,
    RegistryUnavailable,
)
from unit.engines.registry_builders import make_client, make_evaluation, make_ref, make_version

BLESSED = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="blessed in another test")

DRIVER = """
import os, signal, sys, time
from pathlib import Path
from mlflow import MlflowClient
from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.results import Evaluation
from airflow_mlops.engines import promote
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
    def kinds(self) -> list[Kind]:
        return [row.kind for row in ledger.rows(self.uri)]

    def crown(self, trained: TrainedModel, before: TrainedModel | None = None) -> None:
        """Leave what a promotion leaves."""
        decision = PromotionDecision(
            model=self.model, partition="2013-01", action=Action.PROMOTED, before=before.version if before else None,
            after=trained.version, digest=trained.digest, reason="first", key=f"crown/{trained.version}",
        )  # fmt: skip
        ledger.record(self.uri, Kind.INTENT, decision, actor="test")
        registry.set_champion(self.client, self.model, trained.version)
        ledger.record(self.uri, Kind.DONE, decision, actor="test")

    def promote(
        self, evaluation: Evaluation, key: str = "run-2", client: MlflowClient | None = None
    ) -> PromotionDecision:
        return promote.promote(
            client or self.client, ledger_uri=self.uri, evaluation=evaluation, key=key, actor="test"
        )

    def rollback(self, to: str | None = None, key: str = "undo") -> PromotionDecision:
        return promote.rollback(
            self.client, ledger_uri=self.uri, model=self.model, to=to, reason="too many complaints", key=key,
            actor="test", partition="2013-02",
        )  # fmt: skip

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
    assert registry.champion(story.client, story.model) == make_ref(story.one)
    blessing = decision.checks[-1]
    assert (blessing.name, blessing.verdict, blessing.n, blessing.observed) == (
        "blessing",
        Verdict.PASS,
        200,
        0,
    )
    assert story.client.get_model_version(story.model, "1").tags["mlops.promoted"] == "run-2"
    assert story.kinds == [Kind.INTENT, Kind.DONE]
    assert ledger.decision(story.uri, "2013-01") == decision
    assert story.promote(make_evaluation(story.one)) == decision
    assert story.kinds == [Kind.INTENT, Kind.DONE]


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
    with pytest.raises(
        PromotionConflict, match="Version 2 .* was to follow version None, .* is version 1 now"
    ):
        story.promote(make_evaluation(story.two))
    assert story.champion == "1"
    last = ledger.rows(story.uri)[-1]
    assert (last.kind, last.before, last.after) == (Kind.ABORT, None, "2")
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
    model = next(iter(story.client.get_run(story.two.run_id).outputs.model_outputs)).model_id
    place = story.client.get_logged_model(model).artifact_location.removeprefix("file://")
    (Path(place) / "model.skops").write_bytes(
        models.download(story.client, story.one.run_id, story.folder).read_bytes()
    )
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
    assert (story.champion, story.kinds[2:]) == ("1", [Kind.INTENT])
    assert story.promote(evaluation).action is Action.PROMOTED
    assert (story.champion, story.kinds[2:]) == ("2", [Kind.INTENT, Kind.DONE])


def test_a_promotion_killed_after_the_alias_moved_is_finished_by_its_retry(story: Story) -> None:
    story.crown(story.one)
    assert story.start(make_evaluation(story.two, story.one), "after the alias").wait(120) == -signal.SIGKILL
    assert (story.champion, story.kinds[2:]) == ("2", [Kind.INTENT])
    # A retry of the whole run judges the candidate against itself, which no margin lets pass.
    decision = story.promote(make_evaluation(story.two, story.two, Verdict.FAIL))
    assert (decision.action, decision.before, decision.after) == (Action.PROMOTED, "1", "2")
    assert (story.champion, story.kinds[2:]) == ("2", [Kind.INTENT, Kind.DONE])
    assert story.client.get_model_version(story.model, "2").tags["mlops.promoted"] == "run-2"


def test_a_rollback_finishes_a_killed_promotion_before_it_takes_it_back(story: Story) -> None:
    story.crown(story.one)
    evaluation = make_evaluation(story.two, story.one)
    assert story.start(evaluation, "after the alias").wait(120) == -signal.SIGKILL
    assert story.rollback().action is Action.ROLLED_BACK
    assert (story.champion, story.kinds[2:]) == ("1", [Kind.INTENT, Kind.DONE, Kind.INTENT, Kind.DONE])
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
    assert (story.champion, story.kinds) == ("2", [Kind.INTENT, Kind.DONE])


@pytest.mark.usefixtures("unblessed")
def test_a_registry_that_is_down_leaves_the_promotion_to_a_retry(story: Story) -> None:
    uri = story.client.tracking_uri
    with pytest.raises(RegistryUnavailable, match="refused"):
        story.promote(make_evaluation(story.two), client=Down(uri, uri))
    assert (story.champion, story.kinds) == (None, [Kind.INTENT])
    story.promote(make_evaluation(story.two))
    assert (story.champion, story.kinds) == ("2", [Kind.INTENT, Kind.DONE])


@pytest.mark.usefixtures("unblessed")
def test_a_first_alias_that_others_set_meanwhile_is_left_to_them(story: Story) -> None:
    uri = story.client.tracking_uri
    with pytest.raises(PromotionConflict, match="Version 2 .* follow version None, .* is version 1 now"):
        story.promote(make_evaluation(story.two), client=Overtaken(uri, uri))
    assert (story.champion, story.kinds) == ("1", [Kind.INTENT, Kind.ABORT])


@pytest.mark.usefixtures("unblessed")
def test_a_promotion_that_was_killed_for_good_holds_up_the_next_for_minutes_only(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = story.client.tracking_uri
    with pytest.raises(RegistryUnavailable):
        story.promote(make_evaluation(story.one), key="dead", client=Down(uri, uri))
    with pytest.raises(PromotionConflict, match="while dead moves the alias from version None to 1"):
        story.promote(make_evaluation(story.two), key="early")
    monkeypatch.setattr(promote, "_LEASE", timedelta(0))
    assert story.promote(make_evaluation(story.two), key="late").action is Action.PROMOTED
    rows = [(row.key, row.kind) for row in ledger.rows(story.uri)]
    assert rows == [
        ("dead", Kind.INTENT), ("early", Kind.ABORT), ("dead", Kind.ABORT), ("late", Kind.INTENT), ("late", Kind.DONE)
    ]  # fmt: skip


def test_a_rollback_restores_the_former_champion_and_a_second_one_changes_nothing(story: Story) -> None:
    story.crown(story.one)
    story.crown(story.two, before=story.one)
    decision = story.rollback()
    assert (decision.action, decision.before, decision.after) == (Action.ROLLED_BACK, "2", "1")
    assert (decision.digest, decision.reason) == (story.one.digest, "too many complaints")
    assert decision.checks[-1].name == "blessing"
    assert registry.champion(story.client, story.model) == make_ref(story.one)
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
    with pytest.raises(DigestMismatch, match="000000000000… was trained"):
        story.rollback()
    assert story.champion == "2"
