from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    PromotionDecision,
    TrainedModel,
)
from airflow_mlops.domain.policies.gates import Comparison
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.domain.spec.monitor import AutoRollback, Monitor
from airflow_mlops.exceptions import DigestMismatch, RegistryUnavailable
from airflow_mlops.stages.guard import guard
from airflow_mlops.stages.guard.probation import verdict_of
from airflow_mlops.stages.promote import moves, promote
from airflow_mlops.stages.score import score
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import RowKind
from airflow_mlops.stores.tables import tables
from history import MODEL, History, make_decision, rows_of

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
REPORT, REVERT = Monitor(alias_guard="report"), Monitor(alias_guard="revert")
LATE = Question(target="late", task="classification", metric="roc_auc")
BLIND = Features(numeric=("distance",))
BLESSED = Check(name="blessing", verdict=PASS, expected="alike", reason="blessed in another test")
KEYS = (f"run-{number}" for number in itertools.count())


def on_probation(**changes: Any) -> Monitor:
    return Monitor(alias_guard="off", rollback=AutoRollback(**changes))


class Story:
    """Two versions that were trained on January: one that knows what makes flights late, and one that does not."""

    def __init__(self, folder: Path) -> None:
        self.history = History(folder)
        self.client: MlflowClient = self.history.client
        self.uri = self.history.uri("ledger")
        self.history.publish("2013-01")
        self.february = self.history.publish("2013-02")
        self.good = self.history.train(self.february)
        self.bad = self.history.train(self.february, features=BLIND)
        self.march = self.history.publish("2013-03")

    @property
    def champion(self) -> str | None:
        return registry.champion_version(self.client, MODEL)

    @property
    def actions(self) -> list[Action]:
        return [move.action for move in ledger.moves(self.uri)]

    def crown(self, *versions: TrainedModel) -> None:
        """Make one after the other the champion at February."""
        for version in versions:
            self.history.crown(version, "2013-02")

    def point(self, version: TrainedModel) -> None:
        """Move the alias by hand."""
        registry.set_champion(self.client, MODEL, version.version)

    def check(
        self,
        policy: Monitor,
        *,
        dataset: DatasetVersion | None = None,
        question: Question = LATE,
        key: str | None = None,
        client: MlflowClient | None = None,
    ) -> GuardReport:
        return guard.check(
            client or self.client, ledger_uri=self.uri, model=MODEL, dataset=dataset or self.march, policy=policy,
            question=question, key=key or next(KEYS), actor="test",
        )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"))


@pytest.fixture
def story(made: Story, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Story:
    """The two versions, without a champion and with a ledger of their own."""
    if made.champion is not None:
        made.client.delete_registered_model_alias(MODEL, registry.CHAMPION)
    monkeypatch.setattr(made, "uri", f"file://{tmp_path}/ledger")
    history_uri = made.history.uri
    monkeypatch.setattr(
        made.history, "uri", lambda table: made.uri if table == "ledger" else history_uri(table)
    )
    # Those that do not leave it out are in test_promote.py.
    monkeypatch.setattr(promote, "_blessed", lambda *_: BLESSED)
    return made


def test_an_alias_where_the_ledger_has_put_it_is_fine(story: Story) -> None:
    story.crown(story.good)
    report = story.check(REVERT)
    assert (report.alias.verdict, report.restored) == (PASS, None)
    assert report.alias.reason == "version 1, as test/2013-02 has left it"


def test_a_ledger_that_has_moved_nothing_yet_says_nothing(story: Story) -> None:
    assert story.check(REVERT).alias.verdict is INCONCLUSIVE
    story.point(story.bad)
    assert story.check(REVERT).alias.verdict is INCONCLUSIVE
    assert story.champion == "2"


def test_an_alias_that_was_moved_by_hand_is_reported_and_left_there(story: Story) -> None:
    story.crown(story.good)
    story.point(story.bad)
    report = story.check(REPORT)
    assert (report.alias.verdict, report.alias.expected, report.alias.observed) == (FAIL, "version 1", 2)
    assert "version 2 is champion, though test/2013-02 made version 1 the champion at" in report.reason
    assert (story.champion, story.actions) == ("2", [Action.PROMOTED])
    assert story.check(Monitor(alias_guard="off")).alias.verdict is PASS


def test_an_alias_that_was_moved_by_hand_is_moved_back_once_where_the_policy_says_so(story: Story) -> None:
    story.crown(story.good)
    story.point(story.bad)
    report = story.check(REVERT, key="guard")
    assert report.restored is not None
    assert (report.restored.action, report.restored.before, report.restored.after) == (
        Action.RESTORED,
        "2",
        "1",
    )
    assert [check.name for check in report.restored.checks] == ["alias", "probation", "blessing"]
    assert report.reason.endswith("restored: version 1 is champion")
    assert (story.champion, story.actions) == ("1", [Action.PROMOTED, Action.RESTORED])
    assert story.check(REVERT, key="guard") == report
    again = story.check(REVERT)
    assert (again.alias.verdict, again.restored) == (PASS, None)
    assert len(story.actions) == 2


def test_what_an_alias_was_moved_back_from_is_neither_a_former_champion_nor_one_of_a_partition(
    story: Story,
) -> None:
    story.crown(story.good)
    story.point(story.bad)
    story.check(REVERT)
    ref = score.champion_for(story.client, story.uri, MODEL, "2013-03")
    assert ref is not None
    assert ref.version == "1"
    assert ledger.champion_as_of(story.uri, "2013-03") == "1"


@pytest.mark.parametrize("policy", [REPORT, REVERT])
def test_an_alias_that_was_deleted_is_an_incident(story: Story, policy: Monitor) -> None:
    story.crown(story.good)
    story.client.delete_registered_model_alias(MODEL, registry.CHAMPION)
    report = story.check(policy)
    assert (report.alias.verdict, report.alias.observed) == (FAIL, None)
    assert "there is no champion, though test/2013-02 made version 1 the champion" in report.reason
    assert story.champion == ("1" if policy is REVERT else None)


def test_a_champion_that_was_deleted_gives_way_to_the_last_one_that_is_left(story: Story) -> None:
    doomed = story.history.train(story.february, features=Features(numeric=("wind",)))
    story.crown(story.good, doomed)
    story.client.delete_model_version(MODEL, doomed.version)
    report = story.check(REVERT)
    assert report.restored is not None
    assert (report.restored.after, story.champion) == ("1", "1")
    assert story.check(REVERT).alias.verdict is PASS


def test_that_no_former_champion_is_left_is_told_and_not_raised(story: Story) -> None:
    promoted = make_decision("2013-02", Action.PROMOTED, after="99", digest="d")
    for kind in (RowKind.INTENT, RowKind.DONE):
        ledger.record(story.uri, kind, promoted, actor="test")
    report = story.check(REVERT)
    assert (report.alias.verdict, report.restored) == (FAIL, None)
    assert report.reason.endswith("MLflow has none of the ledger's champions any more: train again")


def test_a_champion_whose_digest_was_changed_in_the_registry_is_an_incident(story: Story) -> None:
    story.crown(story.good)
    story.client.set_model_version_tag(MODEL, "1", "mlops.digest", "f" * 64)
    try:
        report = story.check(REVERT)
    finally:
        story.client.set_model_version_tag(MODEL, "1", "mlops.digest", story.good.digest)
    assert (report.alias.verdict, report.restored) == (FAIL, None)
    assert "registered with digest ffffffffffff…, but became champion with" in report.alias.reason


def make_move(story: Story, version: TrainedModel) -> PromotionDecision:
    return make_decision(
        "2013-02", Action.PROMOTED, before="1", after=version.version, digest=version.digest, key="other"
    )


def test_a_move_that_is_under_way_is_no_incident(story: Story) -> None:
    story.crown(story.good)
    ledger.record(story.uri, RowKind.INTENT, make_move(story, story.bad), actor="test")
    report = story.check(REVERT)
    assert (report.alias.verdict, report.alias.reason) == (
        INCONCLUSIVE,
        "a move of the champion is under way",
    )


def test_a_move_that_was_killed_after_the_alias_is_ended_and_no_incident(story: Story) -> None:
    story.crown(story.good)
    ledger.record(story.uri, RowKind.INTENT, make_move(story, story.bad), actor="test")
    story.point(story.bad)
    assert story.check(REVERT).alias.verdict is PASS
    assert (story.champion, story.actions) == ("2", [Action.PROMOTED, Action.PROMOTED])


def test_a_move_that_was_killed_before_the_alias_and_given_up_hides_no_incident(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "_LEASE", timedelta(0))
    story.crown(story.good)
    ledger.record(story.uri, RowKind.INTENT, make_move(story, story.good), actor="test")
    story.point(story.bad)
    assert story.check(REPORT).alias.verdict is FAIL


class Down(MlflowClient):
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        raise MlflowException("the connection was refused")


class Unreadable(MlflowClient):
    def get_registered_model(self, name: str) -> None:
        raise MlflowException("the server is on fire")


def broken(story: Story, kind: type[MlflowClient]) -> MlflowClient:
    return kind(story.client.tracking_uri, story.client.tracking_uri)


def test_a_registry_that_cannot_be_read_is_no_missing_champion(story: Story) -> None:
    story.crown(story.good)
    with pytest.raises(RegistryUnavailable, match="on fire"):
        story.check(REVERT, client=broken(story, Unreadable))
    assert story.actions == [Action.PROMOTED]


def test_a_guard_that_was_cut_off_is_finished_by_its_retry_with_the_same_report(story: Story) -> None:
    story.crown(story.good, story.bad)
    policy = on_probation()
    with pytest.raises(RegistryUnavailable, match="refused"):
        story.check(policy, key="guard", client=broken(story, Down))
    assert story.champion == "2"
    report = story.check(policy, key="guard")
    assert (report.probation.verdict, story.champion) == (FAIL, "1")
    assert report.restored is not None
    assert report.restored.action is Action.ROLLED_BACK
    assert story.check(policy, key="guard") == report
    assert story.actions == [Action.PROMOTED, Action.PROMOTED, Action.ROLLED_BACK]


def test_a_guard_that_was_cut_off_reports_what_its_retry_cannot_move(story: Story) -> None:
    third = story.history.train(story.february, features=Features(numeric=("wind",)))
    story.crown(story.good)
    story.point(story.bad)
    with pytest.raises(RegistryUnavailable):
        story.check(REVERT, key="guard", client=broken(story, Down))
    story.point(third)
    report = story.check(REVERT, key="guard")
    assert (report.alias.verdict, report.restored, story.champion) == (FAIL, None, third.version)
    assert "nothing was moved back: Version 1 of 'flights' was to follow version 2" in report.reason


def test_a_cleared_guard_claims_no_move_that_has_been_undone_since(story: Story) -> None:
    story.crown(story.good)
    story.point(story.bad)
    assert story.check(REVERT, key="guard").restored is not None
    story.point(story.bad)
    report = story.check(REVERT, key="guard")
    assert report.restored is None
    assert "guard has made version 1 the champion, which is version 2 by now" in report.reason


def test_a_champion_that_was_promoted_while_the_one_before_was_judged_stays(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.crown(story.good, story.bad)

    def judge(*_: object, **__: object) -> Check:
        story.history.crown(story.good, "2013-03")
        return BLESSED.model_copy(update={"name": "probation", "verdict": FAIL})

    monkeypatch.setattr(guard.probation, "judge", judge)
    report = story.check(on_probation())
    assert (report.restored, story.champion) == (None, "1")
    assert (
        "Version 2 of 'flights' was to be taken back, but the champion is version 1 by now" in report.reason
    )


def test_a_new_champion_that_does_worse_on_later_rows_is_rolled_back_once(story: Story) -> None:
    story.crown(story.good, story.bad)
    report = story.check(on_probation())
    probation = report.probation
    assert (probation.verdict, probation.n) == (FAIL, rows_of("2013-03").num_rows)
    assert probation.observed is not None
    assert probation.baseline is not None
    assert probation.interval is not None
    assert probation.observed < probation.baseline
    assert probation.interval[1] < 0
    assert "look 1 of 3" in probation.reason
    assert report.restored is not None
    assert (report.restored.partition, report.restored.reason) == (
        "2013-03",
        f"probation: {probation.reason}",
    )
    assert story.champion == "1"
    again = story.check(on_probation())
    assert (again.probation.verdict, again.restored) == (PASS, None)
    assert again.probation.reason == "no champion has replaced another one since"


def test_the_partition_at_which_a_champion_was_rolled_back_is_still_that_champions(story: Story) -> None:
    story.crown(story.good, story.bad)
    story.check(on_probation())
    versions = [
        ref.version if (ref := score.champion_for(story.client, story.uri, MODEL, key)) else None
        for key in ("2013-03", "2013-04")
    ]
    assert versions == ["2", "1"]
    story.history.decide("2013-03", before="1", after="1")
    assert ledger.champion_as_of(story.uri, "2013-03") == "2"
    assert ledger.champion_as_of(story.uri, "2013-04") == "1"


def test_a_new_champion_that_does_better_stays(story: Story) -> None:
    story.crown(story.bad, story.good)
    report = story.check(on_probation())
    assert (report.probation.verdict, report.restored, story.champion) == (PASS, None, "1")


def test_a_loss_within_the_margin_is_no_reason_to_go_back(story: Story) -> None:
    story.crown(story.good, story.bad)
    report = story.check(on_probation(margin=0.9))
    assert (report.probation.verdict, story.champion) == (PASS, "2")


def few(story: Story) -> tuple[DatasetVersion, Question]:
    return story.march, LATE.model_copy(update={"delay": timedelta(days=29)})


def none(story: Story) -> tuple[DatasetVersion, Question]:
    return story.march, LATE.model_copy(update={"delay": timedelta(days=60)})


def short_of_days(story: Story) -> tuple[DatasetVersion, Question]:
    march = rows_of("2013-03")
    days = march.set_column(
        march.column_names.index("departure"), "departure", [[march["departure"][0].as_py()] * march.num_rows]
    )
    return elsewhere(story, days.cast(march.schema)), LATE


def elsewhere(story: Story, march: pa.Table) -> DatasetVersion:
    """Publish another March, in a table of its own."""
    return tables.publish(
        story.uri.replace("/ledger", "/data"), march, name=MODEL, grain="month", partition="2013-03", key=["flight"],
        event_time="departure", source="test", run="test",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (none, "no label has matured since 2013-02"),
        (few, "rows with matured labels since 2013-02; 100 are needed"),
        (short_of_days, "1 day cannot tell how much of it is chance"),
    ],
)
def test_too_few_rows_never_roll_back(
    story: Story, rows: Callable[[Story], tuple[DatasetVersion, Question]], said: str
) -> None:
    story.crown(story.good, story.bad)
    dataset, question = rows(story)
    report = story.check(on_probation(), dataset=dataset, question=question)
    assert (report.probation.verdict, report.restored, story.champion) == (INCONCLUSIVE, None, "2")
    assert said in report.probation.reason


def test_after_so_many_partitions_the_probation_is_over(story: Story) -> None:
    story.crown(story.good, story.bad)
    april = story.history.publish("2013-04")
    report = story.check(on_probation(within=1), dataset=april)
    assert (report.probation.verdict, report.restored) == (PASS, None)
    assert report.probation.reason == "the probation of version 2 is over"
    # With labels that take a month, those of March have all matured with the end of April only.
    late = LATE.model_copy(update={"delay": timedelta(days=30)})
    probation = story.check(on_probation(within=1), dataset=april, question=late).probation
    assert (probation.verdict, probation.n) == (FAIL, rows_of("2013-03").num_rows)
    assert "look 2 of 2" in probation.reason


def test_a_replay_takes_nothing_back(story: Story) -> None:
    story.crown(story.good, story.bad)
    story.history.decide("2013-03")
    report = story.check(on_probation())
    assert (report.probation.verdict, story.champion) == (INCONCLUSIVE, "2")


def test_the_first_champion_is_on_no_probation(story: Story) -> None:
    story.crown(story.bad)
    assert story.check(on_probation()).probation.reason == "no champion has replaced another one since"


def test_a_champion_that_somebody_put_there_is_not_judged(story: Story) -> None:
    story.crown(story.good, story.bad)
    story.point(story.good)
    report = story.check(on_probation())
    assert (report.probation.verdict, report.restored) == (INCONCLUSIVE, None)


def test_a_former_champion_that_is_gone_or_was_tampered_with_cannot_be_compared_with(story: Story) -> None:
    doomed = story.history.train(story.february, features=Features(numeric=("wind", "distance")))
    story.crown(doomed, story.bad)
    story.client.delete_model_version(MODEL, doomed.version)
    report = story.check(on_probation())
    assert (report.probation.verdict, report.restored, story.champion) == (INCONCLUSIVE, None, "2")
    assert "version 2 cannot be compared with version" in report.probation.reason


def test_a_champion_that_is_not_what_was_trained_is_an_error(story: Story) -> None:
    story.crown(story.good, story.bad)
    story.client.set_model_version_tag(MODEL, "2", "mlops.digest", "f" * 64)
    try:
        with pytest.raises(DigestMismatch):
            story.check(on_probation())
    finally:
        story.client.set_model_version_tag(MODEL, "2", "mlops.digest", story.bad.digest)


def test_data_that_has_lost_a_former_feature_is_no_reason_to_go_back(story: Story) -> None:
    story.crown(story.good, story.bad)
    version = elsewhere(story, rows_of("2013-03").drop_columns(["wind"]))
    report = story.check(on_probation(), dataset=version)
    assert (report.probation.verdict, report.restored) == (INCONCLUSIVE, None)
    assert "has no column wind" in report.probation.reason


@pytest.mark.parametrize(
    ("interval", "margin", "verdict"),
    [
        ((-0.3, -0.2), 0.1, FAIL),
        ((-0.3, -0.1), 0.1, INCONCLUSIVE),
        ((-0.3, 0.1), 0.1, INCONCLUSIVE),
        ((-0.05, 0.1), 0.1, PASS),
        (None, 0.1, INCONCLUSIVE),
    ],
)
def test_only_an_interval_below_the_margin_fails(
    interval: tuple[float, float] | None, margin: float, verdict: Verdict
) -> None:
    assert verdict_of(Comparison(0.5, 0.7, interval), "roc_auc", margin)[0] is verdict
    assert verdict_of(Comparison(0.5, None, interval), "roc_auc", margin)[0] is INCONCLUSIVE


def test_a_bound_of_nothing_is_zero() -> None:
    for interval, verdict, where in (((-0.3, -0.2), FAIL, "below 0"), ((0.2, 0.3), PASS, "above 0")):
        found, reason = verdict_of(Comparison(0.5, 0.7, interval), "roc_auc", 0.0, "the champion")
        assert (found, reason.rpartition("lies ")[2]) == (verdict, where)
        assert "0.7 of the champion" in reason


def test_rows_that_changed_nothing_of_the_prediction_say_nothing(story: Story) -> None:
    story.crown(story.good, story.good)
    report = story.check(on_probation())
    assert (report.probation.verdict, report.restored) == (INCONCLUSIVE, None)
