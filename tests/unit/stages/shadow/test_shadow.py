from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import Action, DatasetVersion, PromotionDecision, TrainedModel
from airflow_mlops.domain.facts.scoring import ChallengeReport
from airflow_mlops.domain.spec.gates import Shadow
from airflow_mlops.domain.spec.model import Candidate, Features
from airflow_mlops.exceptions import BlessingFailed, DigestMismatch, PromotionConflict, RegistryUnavailable
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.stages.guard import probation
from airflow_mlops.stages.promote import moves, promote
from airflow_mlops.stages.score import batches, beside, score
from airflow_mlops.stages.shadow import shadow
from airflow_mlops.stages.shadow.shadow import ShadowTrial
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import RowKind
from airflow_mlops.stores.registry.registry import CHALLENGER
from history import MODEL, STIFF, History, changed, rows_of
from registry_builders import make_evaluation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # real processes, or fits: seconds each

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
TWO = Shadow(windows=2)
BLESSED = Check(name="blessing", verdict=PASS, expected="alike", reason="blessed in another test")
KEYS = (f"run-{number}" for number in itertools.count())
STARTED = [RowKind.INTENT, RowKind.DONE]


class Story:
    """A champion of February; a version that does as well, one that does worse, and one more that does as well."""

    def __init__(self, folder: Path) -> None:
        self.history = History(folder)
        self.client: MlflowClient = self.history.client
        self.history.publish("2013-01")
        february = self.history.publish("2013-02")
        self.good = self.history.train(february)
        self.other = self.history.train(february, candidate=STIFF)
        self.worse = self.history.train(february, features=Features(numeric=("distance",)))
        softer = Candidate(estimator=STIFF.estimator, params={"C": 0.01}, name="Softer")
        self.third = self.history.train(february, candidate=softer)
        self.march, self.april = self.history.publish("2013-03"), self.history.publish("2013-04")
        self.uri = self.table = self.predictions = ""

    @property
    def aliases(self) -> tuple[str | None, str | None]:
        """The versions of champion and challenger."""
        return (
            registry.champion_version(self.client, MODEL),
            registry.alias_version(self.client, MODEL, CHALLENGER),
        )

    @property
    def events(self) -> list[tuple[RowKind, Action]]:
        return [(row.kind, row.action) for row in ledger.rows(self.uri)]

    def challenge(
        self,
        candidate: TrainedModel,
        *,
        key: str = "train",
        partition: str = "2013-02",
        client: MlflowClient | None = None,
        before: TrainedModel | None = None,
        verdict: Verdict = PASS,
    ) -> PromotionDecision:
        """Decide on a candidate that was judged beside the champion."""
        evaluation = make_evaluation(candidate, before or self.good, verdict, partition)
        return promote.promote(
            client or self.client,
            ledger_uri=self.uri,
            evaluation=evaluation,
            key=key,
            actor="test",
            shadow=TWO,
        )

    def score(self, dataset: DatasetVersion) -> None:
        """Predict a partition with champion and challenger."""
        client, key = self.client, dataset.partition
        try:
            found = beside.challenger_for(
                client, model=MODEL, partition=key, ledger_source=self.uri, uri=self.table
            )
        except DigestMismatch:
            # As the operator does: the champion is scored alone.
            found = None
        score.score(
            client, model=MODEL, dataset=dataset, champion=score.champion_for(client, self.uri, MODEL, key),
            task="classification", uri=self.predictions,
            beside=score.Beside(found, self.table) if found else None,
        )  # fmt: skip

    def check(
        self,
        dataset: DatasetVersion,
        *,
        key: str | None = None,
        policy: Shadow | None = TWO,
        client: MlflowClient | None = None,
        delay: timedelta = timedelta(0),
    ) -> ChallengeReport:
        truth = Truth(dataset, Question(target="late", task="classification", metric="roc_auc", delay=delay))
        subject = ShadowTrial(
            client or self.client, MODEL, self.uri, self.table, self.predictions, truth, policy
        )
        return shadow.check(subject, key=key or next(KEYS), actor="test")

    def judged(self, *datasets: DatasetVersion, **changes: Any) -> ChallengeReport:
        """Score and judge partitions one after the other."""
        for dataset in datasets:
            self.score(dataset)
            report = self.check(dataset, **changes)
        return report

    def ready(self, candidate: TrainedModel) -> None:
        """Bring a challenger so far that the next judgement, of April, makes it champion."""
        self.challenge(candidate)
        self.judged(self.march)
        self.score(self.april)

    def point(self, alias: str, version: TrainedModel) -> None:
        """Move an alias by hand."""
        self.client.set_registered_model_alias(MODEL, alias, version.version)

    def broken(self, kind: type[MlflowClient]) -> MlflowClient:
        return kind(self.client.tracking_uri, self.client.tracking_uri)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"))


@pytest.fixture
def story(made: Story, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Story:
    """The versions, one of them champion since February, with a ledger and predictions of their own."""
    for alias in (registry.CHAMPION, CHALLENGER):
        if registry.alias_version(made.client, MODEL, alias) is not None:
            made.client.delete_registered_model_alias(MODEL, alias)
    monkeypatch.setattr(made, "uri", f"file://{tmp_path}/ledger")
    monkeypatch.setattr(made, "table", f"file://{tmp_path}/challenger")
    monkeypatch.setattr(made, "predictions", f"file://{tmp_path}/predictions")
    # Those that do not leave it out are in test_promote.py.
    monkeypatch.setattr(promote, "_blessed", lambda *_: BLESSED)
    uri = made.history.uri
    monkeypatch.setattr(made.history, "uri", lambda table: made.uri if table == "ledger" else uri(table))
    made.history.crown(made.good, "2013-01")
    return made


def test_a_candidate_that_passes_becomes_challenger_and_the_champion_stays(story: Story) -> None:
    decision = story.challenge(story.other)
    assert (decision.action, decision.before, decision.after) == (Action.CHALLENGING, "1", "1")
    assert (decision.candidate, decision.digest) == ("2", story.other.digest)
    assert decision.reason.startswith(
        "version 2 predicts beside the champion until 2 clean windows in a row: "
    )
    assert decision.trained_on is not None
    assert story.aliases == ("1", "2")
    tags = story.client.get_model_version(MODEL, "2").tags
    assert tags["mlops.challenging"] == "train"
    assert story.events[2:] == [(kind, Action.CHALLENGING) for kind in STARTED]
    assert story.challenge(story.other) == decision
    assert len(story.events) == 4
    assert ledger.decision(story.uri, "2013-02") == decision
    assert [row.action for row in ledger.moves(story.uri)] == [Action.PROMOTED]
    assert [ledger.champion_as_of(story.uri, key) for key in ("2013-02", "2013-03")] == ["1", "1"]


def test_the_first_champion_has_nobody_to_stand_beside(story: Story, tmp_path: Path) -> None:
    story.client.delete_registered_model_alias(MODEL, registry.CHAMPION)
    decision = promote.promote(
        story.client, ledger_uri=f"file://{tmp_path}/first", evaluation=make_evaluation(story.good), key="first",
        actor="test", shadow=TWO,
    )  # fmt: skip
    assert (decision.action, story.aliases) == (Action.PROMOTED, ("1", None))


def test_a_candidate_that_did_not_pass_is_no_challenger(story: Story) -> None:
    assert story.challenge(story.other, verdict=INCONCLUSIVE).action is Action.REFUSED
    assert story.aliases == ("1", None)


def test_enough_clean_windows_in_a_row_make_the_challenger_champion_once(story: Story) -> None:
    story.challenge(story.other)
    first = story.judged(story.march)
    assert (first.challenger, first.moved) == ("2", None)
    assert {check.name: check.verdict for check in first.checks} == {
        "shadow.agreement": PASS, "shadow.divergence": PASS, "shadow.quality": PASS, "shadow.windows": INCONCLUSIVE,
    }  # fmt: skip
    assert "1 clean window in a row of 2" in first.reason
    report = story.judged(story.april, key="judge")
    moved = report.moved
    assert moved is not None
    assert (moved.action, moved.before, moved.after, moved.partition) == (
        Action.PROMOTED,
        "1",
        "2",
        "2013-04",
    )
    assert moved.reason == "2 clean windows in a row of 2, beside version 1 since 2013-02"
    assert moved.digest == story.other.digest
    assert [check.slice for check in moved.checks if check.name == "shadow.quality"] == [
        None,
        "partition=2013-03",
    ]
    assert moved.checks[-1] == BLESSED
    assert (story.aliases, ledger.trial(story.uri)) == (("2", None), None)
    # The retry says the same, another run at that partition is a replay, and probation begins now.
    assert story.check(story.april, key="judge").moved == moved
    again = story.check(story.april)
    assert (again.moved, story.aliases) == (None, ("2", None))
    assert "is being replayed" in again.reason
    assert again.checks == report.checks
    promotion = probation.on_probation(ledger.rows(story.uri))
    assert promotion is not None
    assert (promotion.partition, promotion.before) == ("2013-04", "1")
    assert ledger.champion_as_of(story.uri, "2013-04") == "1"


def test_a_challenger_that_is_shown_to_be_worse_is_dropped(story: Story) -> None:
    story.challenge(story.worse)
    report = story.judged(story.march, key="judge")
    assert report.moved is not None
    assert (report.moved.action, report.moved.before, report.moved.after) == (Action.DROPPED, "1", "1")
    assert (report.moved.candidate, report.moved.digest) == ("3", story.worse.digest)
    assert report.reason.startswith("version 3 is dropped: 2013-03: roc_auc")
    assert (story.aliases, ledger.trial(story.uri)) == (("1", None), None)
    # It is no decision on the partition: whether to train is still to be decided.
    assert ledger.decision(story.uri, "2013-03") is None
    assert story.check(story.march, key="judge").moved == report.moved
    assert story.check(story.march).reason == "no challenger predicts beside the champion"


def test_labels_to_come_end_no_trial(story: Story) -> None:
    story.challenge(story.worse)
    week = timedelta(days=7)
    report = story.judged(story.march, delay=week)
    assert (report.moved, story.aliases) == (None, ("1", "3"))
    assert report.checks[-1].verdict is INCONCLUSIVE
    assert story.judged(story.april, delay=week).moved is not None


def test_a_challenger_that_strays_too_far_is_dropped_before_there_are_labels(story: Story) -> None:
    story.challenge(story.worse)
    policy = Shadow(windows=2, divergence=0.01)
    report = story.judged(story.march, policy=policy, delay=timedelta(days=7))
    assert report.moved is not None
    assert report.moved.action is Action.DROPPED


def test_a_challenger_that_cannot_predict_is_dropped(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.challenge(story.other)
    predict = batches.Scorer.predict

    def fail(self: batches.Scorer, rows: pa.Table) -> batches.Scores:
        if self.ref.version == story.other.version:
            raise ValueError("a column that it knows nothing of")
        return predict(self, rows)

    monkeypatch.setattr(batches.Scorer, "predict", fail)
    report = story.judged(story.march)
    assert report.moved is not None
    assert "version 2 has predicted no row of 2013-03, and version 1 has" in report.moved.reason
    assert story.aliases == ("1", None)


@pytest.mark.parametrize("former", ["nobody", "another"])
def test_a_challenger_is_not_to_blame_for_what_was_predicted_before_its_trial(
    story: Story, former: str
) -> None:
    if former == "another":
        story.challenge(story.worse)
    story.score(story.march)
    story.challenge(story.other, key="forced")
    report = story.check(story.march)
    assert (report.challenger, report.moved, story.aliases) == ("2", None, ("1", "2"))
    assert counted(report) == 0
    assert counted(story.judged(story.april)) == 1


def test_a_challenger_is_not_to_blame_for_data_that_was_ingested_again_since(story: Story) -> None:
    story.ready(story.other)
    try:
        april = story.history.publish("2013-04", rows_of("2013-04").slice(1))
        report = story.check(april)
        assert (report.moved, counted(report), story.aliases) == (None, 1, ("1", "2"))
        assert story.judged(april).moved is not None
    finally:
        story.history.publish("2013-04")


def test_a_challenger_is_not_to_blame_for_data_that_nobody_has_predicted(story: Story) -> None:
    story.challenge(story.other)
    assert (story.check(story.march).moved, story.aliases) == (None, ("1", "2"))


def counted(report: ChallengeReport) -> float | None:
    """Return how many clean windows in a row were found."""
    return next(check.observed for check in report.checks if check.name == "shadow.windows")


def test_a_newer_candidate_takes_the_challengers_place_and_its_count_starts_again(story: Story) -> None:
    story.challenge(story.worse)
    decision = story.challenge(story.other, key="later")
    assert "in place of version 3" in decision.reason
    assert story.aliases == ("1", "2")
    story.judged(story.march)
    third = story.challenge(story.third, key="last", partition="2013-03")
    assert third.action is Action.CHALLENGING
    report = story.judged(story.april)
    assert (report.challenger, counted(report), report.moved) == ("4", 1, None)


def test_whom_a_challenger_replaces_is_known_also_if_its_move_was_cut_off(story: Story) -> None:
    with pytest.raises(Killed):
        story.challenge(story.worse, client=story.broken(After))
    assert "in place of version 3" in story.challenge(story.other, key="later").reason


def test_a_challenger_that_may_have_learned_from_the_partition_is_on_trial_all_the_same(story: Story) -> None:
    late = story.history.train(story.april, candidate=STIFF)
    story.challenge(late)
    report = story.judged(story.march)
    assert (report.challenger, report.moved) == (late.version, None)
    assert (
        f"version {late.version} is on trial, and predicts no partition that it may have learned from"
        in report.reason
    )


def test_a_challenger_that_somebody_has_set_is_recorded_and_never_promoted(story: Story) -> None:
    story.history.put_beside(story.other)
    report = story.judged(story.march, story.april)
    assert report.moved is None
    assert report.checks[-1].verdict is PASS
    assert "a person has put it there" in report.reason
    assert (story.aliases, ledger.trial(story.uri)) == (("1", "2"), None)
    story.history.put_beside(story.worse)
    story.score(story.april)
    assert story.check(story.april).moved is None
    assert len(story.events) == 6
    # An alias that was set by hand is none of the ledger's.
    story.point(CHALLENGER, story.third)
    report = story.check(story.april)
    assert "Version 4 of 'flights' has the alias challenger, but nothing in the ledger" in report.reason


def test_without_a_policy_a_challenger_is_recorded_only(story: Story) -> None:
    story.challenge(story.other)
    report = story.judged(story.march, story.april, policy=None)
    assert (report.moved, story.aliases) == (None, ("1", "2"))
    assert [check.name for check in report.checks] == [
        "shadow.agreement",
        "shadow.divergence",
        "shadow.quality",
    ]


def test_without_a_challenger_there_is_nothing_to_tell(story: Story) -> None:
    report = story.judged(story.march)
    assert (report.challenger, report.checks, report.moved) == (None, (), None)


def test_a_trial_is_over_when_the_champion_it_was_judged_against_is(story: Story) -> None:
    story.challenge(story.other)
    story.judged(story.march)
    story.history.crown(story.worse, "2013-03")
    # Also where no task is left to end it.
    assert ledger.trial(story.uri) is None
    report = story.judged(story.april)
    assert report.moved is not None
    assert report.moved.action is Action.DROPPED
    assert "judged against version 1, and the champion is version 3 by now" in report.reason
    assert story.aliases == ("3", None)


@pytest.mark.parametrize("astray", ["3", "2"])
def test_while_somebody_has_moved_the_champion_nothing_is_moved(story: Story, astray: str) -> None:
    story.challenge(story.other)
    story.judged(story.march)
    story.client.set_registered_model_alias(MODEL, registry.CHAMPION, astray)
    report = story.judged(story.april, policy=Shadow(windows=1))
    assert (report.moved, report.challenger) == (None, "2")
    assert (
        f"the champion is version {astray}, which the ledger has not made so: nothing is moved"
        in report.reason
    )
    # As the guard does before this task. The ledger's champion has served all the time, and so the window counts.
    promote.rollback(
        story.client, ledger_uri=story.uri, model=MODEL, to="1", reason="astray", key="guard", actor="test",
        partition="2013-04", action=Action.RESTORED,
    )  # fmt: skip
    report = story.check(story.april)
    assert report.moved is not None
    assert (report.moved.action, counted(report), story.aliases) == (Action.PROMOTED, 2, ("2", None))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_whoever_takes_the_alias_away_ends_the_trial(story: Story, elsewhere: bool) -> None:
    story.challenge(story.other)
    story.client.delete_registered_model_alias(MODEL, CHALLENGER)
    if elsewhere:
        story.point(CHALLENGER, story.worse)
    report = story.judged(story.march)
    assert report.moved is not None
    assert report.moved.action is Action.DROPPED
    assert "taken away outside of the ledger" in report.reason
    assert story.aliases == ("1", "3" if elsewhere else None)


def test_a_challenger_that_was_deleted_ends_its_trial(story: Story) -> None:
    doomed = story.history.train(story.march, features=Features(numeric=("wind",)))
    story.challenge(doomed)
    story.client.delete_model_version(MODEL, doomed.version)
    report = story.judged(story.april)
    assert report.moved is not None
    assert (report.moved.action, ledger.trial(story.uri)) == (Action.DROPPED, None)


@pytest.mark.parametrize("on_trial", [True, False])
def test_a_challenger_that_nobody_can_verify_any_more_is_dropped_if_it_is_on_trial(
    story: Story, on_trial: bool
) -> None:
    if on_trial:
        story.challenge(story.other)
    else:
        story.history.put_beside(story.other)
    story.client.delete_model_version_tag(MODEL, "2", "mlops.digest")
    try:
        report = story.check(story.march)
    finally:
        story.client.set_model_version_tag(MODEL, "2", "mlops.digest", story.other.digest)
    assert "the challenger cannot be judged: Version 2" in report.reason
    assert ((report.moved is not None), story.aliases) == (on_trial, ("1", None if on_trial else "2"))


def test_a_partition_that_was_ingested_again_is_a_window_only_once_it_is_predicted_again(
    story: Story,
) -> None:
    story.challenge(story.other)
    story.judged(story.march)
    rows = rows_of("2013-03")
    try:
        story.history.publish("2013-03", changed(rows, wind=rows["distance"]))
        april = story.history.publish("2013-04", rows_of("2013-04").slice(1))
        report = story.judged(april)
    finally:
        story.history.publish("2013-03")
        story.history.publish("2013-04")
    assert report.moved is None
    assert "1 clean window in a row of 2" in report.reason


@pytest.mark.parametrize("error", [BlessingFailed("another scikit-learn"), DigestMismatch("other bytes")])
def test_a_challenger_that_cannot_become_champion_is_dropped(
    story: Story, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    story.ready(story.other)

    def fail(*_: object) -> Check:
        raise error

    monkeypatch.setattr(promote, "_blessed", fail)
    report = story.check(story.april)
    assert report.moved is not None
    assert (report.moved.action, story.aliases) == (Action.DROPPED, ("1", None))
    assert f"2 clean windows in a row of 2, but it cannot become champion: {error}" in report.reason
    assert ledger.trial(story.uri) is None


def test_a_promotion_beside_which_another_move_is_under_way_is_tried_again_later(story: Story) -> None:
    story.ready(story.other)
    with pytest.raises(Killed):
        story.challenge(story.worse, key="forced", partition="2013-03", client=story.broken(Before))
    report = story.check(story.april)
    assert (report.moved, story.aliases) == (None, ("1", "2"))
    assert (report.checks[-1].name, report.checks[-1].verdict) == ("shadow.move", FAIL)
    assert "while forced makes version 3 the challenger" in report.reason


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_trial_that_ends_while_its_challenger_is_blessed_ends_without_a_promotion(
    story: Story, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    story.ready(story.other)

    def end(*_: object) -> Check:
        monkeypatch.setattr(promote, "_blessed", lambda *_: BLESSED)
        if how == "deleted":
            story.client.delete_registered_model_alias(MODEL, CHALLENGER)
        else:
            story.challenge(story.worse, key="forced", partition="2013-03")
        return BLESSED

    monkeypatch.setattr(promote, "_blessed", end)
    report = story.check(story.april)
    assert (report.moved, story.aliases) == (None, ("1", "3" if how == "replaced" else None))
    assert "The trial of version 2 of 'flights' was ended" in report.reason
    assert story.events[-1] == (RowKind.ABORT, Action.PROMOTED)


# ------------------------------------------------------------------------------------------------- what is cut off


class Killed(BaseException):
    """What a signal does to a process: nothing after it happens."""


class Down(MlflowClient):
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        raise MlflowException("the connection was refused")

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        raise MlflowException("the connection was refused")


class Before(MlflowClient):
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        raise Killed

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        raise Killed


class After(MlflowClient):
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        super().set_registered_model_alias(name, alias, version)
        raise Killed

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        super().delete_registered_model_alias(name, alias)
        raise Killed


class LostReply(MlflowClient):
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        super().set_registered_model_alias(name, alias, version)
        raise MlflowException("the connection was reset")

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        super().delete_registered_model_alias(name, alias)
        raise MlflowException("the connection was reset")


class Unreadable(MlflowClient):
    def get_registered_model(self, name: str) -> None:
        raise MlflowException("the server is on fire")


CUT = [(Down, RegistryUnavailable), (Before, Killed), (After, Killed)]


@pytest.mark.parametrize(("kind", "error"), CUT)
def test_a_challenge_that_was_cut_off_is_finished_by_its_retry(
    story: Story, kind: type[MlflowClient], error: type[BaseException]
) -> None:
    with pytest.raises(error):
        story.challenge(story.other, client=story.broken(kind))
    assert story.aliases == ("1", "2" if kind is After else None)
    assert (story.events[-1], ledger.trial(story.uri)) == ((RowKind.INTENT, Action.CHALLENGING), None)
    assert story.challenge(story.other).action is Action.CHALLENGING
    assert (story.aliases, story.events[2:]) == (("1", "2"), [(kind, Action.CHALLENGING) for kind in STARTED])


@pytest.mark.parametrize(("kind", "error"), CUT)
def test_a_promotion_after_a_trial_that_was_cut_off_is_finished_by_its_retry(
    story: Story, kind: type[MlflowClient], error: type[BaseException]
) -> None:
    story.challenge(story.other)
    story.judged(story.march)
    story.score(story.april)
    with pytest.raises(error):
        story.check(story.april, key="judge", client=story.broken(kind))
    assert story.aliases == ("2" if kind is After else "1", "2")
    report = story.check(story.april, key="judge")
    assert report.moved is not None
    assert (report.moved.action, story.aliases) == (Action.PROMOTED, ("2", None))
    assert story.events[4:] == [(kind, Action.PROMOTED) for kind in STARTED]
    assert [check.name for check in report.checks][-1] == "shadow.windows"


@pytest.mark.parametrize(("kind", "error"), CUT)
def test_a_drop_that_was_cut_off_is_finished_by_its_retry(
    story: Story, kind: type[MlflowClient], error: type[BaseException]
) -> None:
    story.challenge(story.worse)
    story.score(story.march)
    with pytest.raises(error):
        story.check(story.march, key="judge", client=story.broken(kind))
    report = story.check(story.march, key="judge")
    assert report.moved is not None
    assert (report.moved.action, story.aliases) == (Action.DROPPED, ("1", None))
    assert story.events[4:] == [(kind, Action.DROPPED) for kind in STARTED]


def test_a_trial_that_is_ended_behind_a_killed_promotion_is_not_promoted_by_its_retry(story: Story) -> None:
    story.ready(story.other)
    with pytest.raises(Killed):
        story.check(story.april, key="judge", client=story.broken(Before))
    story.client.delete_registered_model_alias(MODEL, CHALLENGER)
    report = story.check(story.april, key="judge")
    assert (report.moved, story.aliases) == (None, ("1", None))
    assert "The trial of version 2 of 'flights' was ended" in report.reason
    again = story.check(story.april, key="judge").moved
    assert again is not None
    assert again.action is Action.DROPPED


def test_a_promotion_that_another_run_finishes_leaves_no_challenger(story: Story) -> None:
    story.ready(story.other)
    with pytest.raises(Killed):
        story.check(story.april, client=story.broken(After))
    story.check(story.april)
    assert (story.aliases, story.events[-1]) == (("2", None), (RowKind.DONE, Action.PROMOTED))


def test_the_retry_of_a_promotion_that_was_taken_back_since_only_says_so(story: Story) -> None:
    story.ready(story.other)
    story.check(story.april, key="judge")
    promote.rollback(
        story.client, ledger_uri=story.uri, model=MODEL, to="1", reason="worse", key="undo", actor="test",
        partition="2013-04",
    )  # fmt: skip
    report = story.check(story.april, key="judge")
    assert (report.moved, story.aliases) == (None, ("1", None))
    assert "which is version 1 by now" in report.reason
    assert FAIL not in {check.verdict for check in report.checks}


def test_a_lost_reply_is_no_failure(story: Story) -> None:
    client = story.broken(LostReply)
    assert story.challenge(story.worse, client=client).action is Action.CHALLENGING
    story.score(story.march)
    assert story.check(story.march, client=client).moved is not None
    assert story.aliases == ("1", None)


def test_what_was_cut_off_and_not_tried_again_is_ended_by_the_next_run(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        story.challenge(story.other, client=story.broken(After))
    story.score(story.march)
    assert story.check(story.march).challenger == "2"
    assert story.events[3] == (RowKind.DONE, Action.CHALLENGING)
    with pytest.raises(Killed):
        story.challenge(story.worse, key="later", partition="2013-03", client=story.broken(Before))
    with pytest.raises(
        PromotionConflict, match="cannot be moved to or from the challenger while later makes"
    ):
        story.challenge(story.worse, key="last", partition="2013-03")
    monkeypatch.setattr(moves, "_LEASE", timedelta(0))
    story.score(story.april)
    assert story.check(story.april).challenger == "2"
    assert (RowKind.ABORT, Action.CHALLENGING) in story.events


def test_a_retry_makes_nobody_challenger_after_another_became_champion(story: Story) -> None:
    with pytest.raises(RegistryUnavailable):
        story.challenge(story.other, client=story.broken(Down))
    story.point(registry.CHAMPION, story.worse)
    with pytest.raises(
        PromotionConflict, match="was judged against version 1, but the champion is version 3 now"
    ):
        story.challenge(story.other)
    assert (story.aliases, story.events[-1]) == (("3", None), (RowKind.ABORT, Action.CHALLENGING))


def test_a_challenge_that_something_is_against_by_now_is_given_up_by_its_retry(story: Story) -> None:
    with pytest.raises(RegistryUnavailable):
        story.challenge(story.other, client=story.broken(Down))
    assert story.challenge(story.other, verdict=FAIL).action is Action.REFUSED
    assert story.aliases == ("1", None)
    story.challenge(story.other, key="again")
    with pytest.raises(PromotionConflict, match="has made version 2 the challenger before that was known"):
        story.challenge(story.other, key="again", verdict=FAIL)


def test_a_registry_that_cannot_be_read_is_no_missing_challenger(story: Story) -> None:
    story.challenge(story.other)
    with pytest.raises(RegistryUnavailable, match="on fire"):
        story.check(story.march, client=story.broken(Unreadable))
    assert len(story.events) == 4
