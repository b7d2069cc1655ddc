from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, TrainedModel
from airflow_mlops.domain.policies import shadow
from airflow_mlops.domain.spec.gates import Shadow
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.stages.score import score
from airflow_mlops.stages.shadow import trial_windows
from airflow_mlops.stages.shadow.trial_windows import Pair
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables
from history import MODEL, STIFF, History, changed, rows_of

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


class Story:
    """A champion and a challenger that have predicted March and April."""

    def __init__(self, folder: Path) -> None:
        self.history = History(folder)
        self.uri = self.history.uri("challenger")
        self.history.publish("2013-01")
        february = self.history.publish("2013-02")
        self.champion = self.history.crown(self.history.train(february), "2013-02")
        self.challenger = self.ref(self.history.train(february, candidate=STIFF))
        self.march, self.april = self.history.publish("2013-03"), self.history.publish("2013-04")
        for dataset in (self.march, self.april):
            self.score(dataset, self.challenger)

    def ref(self, trained: TrainedModel) -> ModelRef:
        return registry.version(self.history.client, MODEL, trained.version)

    def score(self, dataset: DatasetVersion, challenger: ModelRef) -> None:
        score.score(
            self.history.client, model=MODEL, dataset=dataset, champion=self.champion, task="classification",
            uri=self.history.uri("predictions"), beside=score.Beside(challenger, self.uri),
        )  # fmt: skip

    def pair(
        self,
        dataset: DatasetVersion | None = None,
        *,
        challenger: ModelRef | None = None,
        champion: str = "1",
        delay: timedelta = timedelta(0),
        uri: str | None = None,
    ) -> Pair:
        truth = Truth(
            dataset or self.april,
            Question(target="late", task="classification", metric="roc_auc", delay=delay),
            uri,
        )
        return Pair(
            self.uri,
            self.history.uri("predictions"),
            challenger or self.challenger,
            champion,
            truth,
        )

    def march_of(self, pair: Pair, policy: Shadow = Shadow()) -> Check:  # noqa: B008 - frozen
        return trial_windows.quality(pair, "2013-03", policy)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"))


def test_matured_labels_tell_how_a_challenger_did_beside_the_champion(story: Story) -> None:
    check = story.march_of(story.pair(story.march))
    assert (check.verdict, check.n) == (PASS, story.march.rows)
    assert check.observed is not None
    assert check.baseline is not None
    assert check.interval is not None
    assert check.interval[0] < check.observed - check.baseline < check.interval[1]
    assert f"and {check.baseline:.4g} of the champion: improvement" in check.reason


def test_labels_that_have_not_matured_are_not_looked_at(story: Story) -> None:
    week = timedelta(days=7)
    early = story.march_of(story.pair(story.march, delay=week))
    assert (early.verdict, early.n) == (INCONCLUSIVE, None)
    assert "2013-04-08" in early.reason
    assert story.march_of(story.pair(delay=week)).verdict is PASS


def test_a_challenger_that_is_worse_is_shown_to_be(tmp_path: Path) -> None:
    story = Story(tmp_path)
    february = story.history.publish("2013-02")
    worse = story.ref(story.history.train(february, features=Features(numeric=("distance",))))
    story.score(story.march, worse)
    check = story.march_of(story.pair(story.march, challenger=worse))
    assert check.verdict is FAIL
    assert check.interval is not None
    assert check.interval[1] < 0


def test_few_labels_judge_nothing(story: Story) -> None:
    check = story.march_of(story.pair(), Shadow(min_rows=1000))
    assert (check.verdict, check.n) == (INCONCLUSIVE, story.march.rows)


def test_labels_of_a_table_count_once_they_are_known_and_only_for_rows_that_were_predicted(
    story: Story, tmp_path: Path
) -> None:
    uri = f"file://{tmp_path}/labels"
    empty = story.march_of(story.pair(uri=uri))
    assert (empty.verdict, empty.n) == (INCONCLUSIVE, 0)
    rows = rows_of("2013-03")
    known = rows.select(["flight", "departure", "late"]).append_column(
        labels.LABELLED_AT,
        pa.repeat(pa.scalar(story.pair().here.start, pa.timestamp("us", "UTC")), rows.num_rows),
    )
    strangers = changed(known, flight=pc.add(known["flight"], 10_000))
    tables.replace_partition(uri, pa.concat_tables([known, strangers]), "2013-03")
    assert story.march_of(story.pair(story.march, uri=uri)).n == 0
    check = story.march_of(story.pair(uri=uri))
    assert (check.verdict, check.n) == (PASS, story.march.rows)


def judged(pair: Pair, needed: int, **changes: Any) -> Check:
    windows = trial_windows.windows(pair, Shadow(), needed, **changes)
    return shadow.clean_windows(windows, needed)


def test_clean_windows_are_counted_as_of_a_partition(story: Story) -> None:
    early, late = judged(story.pair(story.march), 2), judged(story.pair(), 2)
    assert (early.verdict, early.observed) == (INCONCLUSIVE, 1)
    assert (late.verdict, late.observed) == (PASS, 2)


def test_no_more_windows_are_judged_than_it_takes(story: Story) -> None:
    assert [each.partition for each in trial_windows.windows(story.pair(), Shadow(), 1)] == ["2013-04"]
    strict = trial_windows.windows(story.pair(), Shadow(divergence=1e-6), 2)
    assert [(each.partition, each.verdict) for each in strict] == [("2013-04", FAIL)]


def test_the_partition_itself_is_looked_at_before_it_has_labels(story: Story) -> None:
    found = trial_windows.windows(story.pair(delay=timedelta(days=1)), Shadow(), 2)
    assert [(each.partition, each.verdict) for each in found] == [
        ("2013-04", INCONCLUSIVE),
        ("2013-03", PASS),
    ]
    assert [check.verdict for check in found[0].checks] == [PASS, PASS, INCONCLUSIVE]


@pytest.mark.parametrize("what", ["version", "digest", "champion", "data"])
def test_predictions_of_another_pair_or_of_other_data_are_no_window(story: Story, what: str) -> None:
    pair = story.pair()
    if what == "champion":
        pair = story.pair(champion="7")
    elif what == "data":
        pair = story.pair(story.history.publish("2013-04", rows_of("2013-04").slice(1)))
    else:
        pair = story.pair(challenger=story.challenger.model_copy(update={what: "9" * 64}))
    try:
        assert not pair.has("2013-04")
        assert pair.has("2013-03") is (what == "data")
    finally:
        story.history.publish("2013-04")


def test_only_so_many_partitions_are_looked_at_and_none_that_the_challenger_has_learned_from(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Pair, "has", lambda _, key: asked.append(key))

    def looked_at(pair: Pair) -> list[str]:
        asked.clear()
        assert trial_windows.windows(pair, Shadow(), 1) == []
        return list(asked)

    assert looked_at(story.pair()) == ["2013-04", "2013-03"]
    taught = story.challenger.model_copy(update={"trained_through": "2013-03"})
    assert looked_at(story.pair(challenger=taught)) == ["2013-04"]
    monkeypatch.setattr(trial_windows, "_REACH", 0)
    assert looked_at(story.pair()) == ["2013-04"]


BEFORE, AFTER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


def test_a_challenger_has_failed_where_the_champion_alone_has_predicted_the_same_data_since(
    story: Story,
) -> None:
    other = story.challenger.model_copy(update={"version": "9"})
    failed = story.pair(challenger=other)
    assert trial_windows.windows(failed, Shadow(), 1) == []
    check = judged(failed, 1, since=BEFORE)
    assert check.verdict is FAIL
    assert "version 9 has predicted no row of 2013-04, and version 1 has" in check.reason
    assert judged(failed, 1, since=AFTER).verdict is INCONCLUSIVE
    assert judged(story.pair(challenger=other, champion="7"), 1, since=BEFORE).verdict is INCONCLUSIVE
    others = story.april.model_copy(update={"digest": "9" * 64})
    assert judged(story.pair(others, challenger=other), 1, since=BEFORE).verdict is INCONCLUSIVE
    assert judged(story.pair(), 1, since=BEFORE).verdict is PASS
