from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.facts.scoring import ScoringReport
from airflow_mlops.exceptions import ModelNotFound
from airflow_mlops.stages.score import batches, beside, score, traffic
from airflow_mlops.stages.score.score import Beside
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables
from history import MODEL, STIFF, History

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@pytest.fixture
def february(history: History) -> DatasetVersion:
    history.publish("2013-01")
    return history.publish("2013-02")


@pytest.fixture
def champion(history: History, february: DatasetVersion) -> ModelRef:
    return history.crown(history.train(february), "2013-02")


@pytest.fixture
def challenger(history: History, february: DatasetVersion, champion: ModelRef) -> ModelRef:
    return history.put_beside(history.train(february, candidate=STIFF))


def scored(
    history: History,
    dataset: DatasetVersion,
    champion: ModelRef,
    challenger: ModelRef | None,
    split: float | None = None,
) -> ScoringReport:
    return score.score(
        history.client,
        model=MODEL,
        dataset=dataset,
        champion=champion,
        task="classification",
        uri=history.uri("predictions"),
        beside=Beside(challenger, history.uri("challenger")) if challenger else None,
        split=split,
    )


def read(history: History, table: str = "predictions", key: str = "2013-03") -> pa.Table:
    return tables.read(history.uri(table), partition=key)


def challenger_for(history: History, key: str) -> ModelRef | None:
    return beside.challenger_for(
        history.client, model=MODEL, partition=key, ledger_source=history.uri("ledger"), uri=history.uri("challenger")
    )  # fmt: skip


def version(history: History, table: str) -> int:
    return tables.open_table(history.uri(table)).version()


def test_a_challenger_predicts_the_same_rows_and_the_champion_serves_all_of_them(
    history: History, champion: ModelRef, challenger: ModelRef
) -> None:
    report = scored(history, history.publish("2013-03"), champion, challenger)
    assert report.reason == "scored with version 1, version 2 beside it"
    served, shadow = read(history), read(history, "challenger")
    assert set(served["model_version"].to_pylist()) == {champion.version}
    assert set(shadow["model_version"].to_pylist()) == {challenger.version}
    assert shadow["flight"].equals(served["flight"])
    assert shadow["champion_score"].equals(served["score"])
    ours, theirs = served["score"].to_numpy(), shadow["score"].to_numpy()
    found = report.shadow
    assert found is not None
    assert (found.rows, found.served, found.problem) == (report.rows, 0, "")
    assert found.agreement == np.mean((ours >= 0.5) == (theirs >= 0.5))
    assert found.correlation == pytest.approx(np.corrcoef(ours, theirs)[0, 1])
    assert found.difference == pytest.approx(np.abs(ours - theirs).mean())
    assert found.divergence == pytest.approx(np.sqrt(np.mean((ours - theirs) ** 2)) / ours.std())


def test_the_same_models_on_the_same_data_write_nothing_again_and_report_the_same(
    history: History, champion: ModelRef, challenger: ModelRef
) -> None:
    dataset = history.publish("2013-03")
    first = scored(history, dataset, champion, challenger, 0.5)
    before = [version(history, table) for table in ("predictions", "challenger")]
    again = scored(history, dataset, champion, challenger, 0.5)
    assert [version(history, table) for table in ("predictions", "challenger")] == before
    assert (again.written, again.shadow) == (False, first.shadow)


def test_a_share_of_the_keys_is_served_by_the_challenger_and_always_the_same_ones(
    history: History, champion: ModelRef, challenger: ModelRef
) -> None:
    dataset = history.publish("2013-03")
    report = scored(history, dataset, champion, challenger, 0.4)
    served = read(history)
    theirs = {row["flight"]: row["score"] for row in read(history, "challenger").to_pylist()}
    for row in served.to_pylist():
        low = traffic.place([row["flight"]]) < 0.4
        assert row["served_by"] == ("challenger" if low else "champion")
        assert row["model_version"] == (challenger if low else champion).version
        assert row["model_digest"] == (challenger if low else champion).digest
        assert (row["score"] == theirs[row["flight"]]) is low
    count = served["served_by"].to_pylist().count("challenger")
    assert report.shadow is not None
    assert report.shadow.served == count
    # Three standard deviations of 270 keys are 0.09.
    assert count / served.num_rows == pytest.approx(0.4, abs=0.09)


@pytest.mark.parametrize("split", [None, 0.9])
def test_another_split_is_another_prediction(
    history: History, champion: ModelRef, challenger: ModelRef, split: float | None
) -> None:
    dataset = history.publish("2013-03")
    scored(history, dataset, champion, challenger, 0.4)
    assert scored(history, dataset, champion, challenger, split).written
    counts = read(history)["model_version"].to_pylist().count(challenger.version)
    assert (counts > 0.8 * dataset.rows) if split else counts == 0


def test_a_challenger_that_comes_later_changes_nothing_of_what_was_served(
    history: History, champion: ModelRef, challenger: ModelRef
) -> None:
    march = history.publish("2013-03")
    scored(history, march, champion, None)
    before = tables.open_table(history.uri("predictions")).version()
    assert scored(history, march, champion, challenger).shadow is not None
    assert tables.open_table(history.uri("predictions")).version() == before
    assert read(history, "challenger").num_rows == march.rows


def test_a_split_without_a_challenger_leaves_all_keys_to_the_champion(
    history: History, champion: ModelRef
) -> None:
    scored(history, history.publish("2013-03"), champion, None, 0.4)
    assert set(read(history)["served_by"].to_pylist()) == {"champion"}


@pytest.mark.parametrize("broken", ["digest", "predict", "nan"])
def test_a_challenger_that_fails_leaves_everything_to_the_champion(
    history: History,
    champion: ModelRef,
    challenger: ModelRef,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    if broken == "digest":
        challenger = challenger.model_copy(update={"digest": "0" * 64})
    predict = batches.Scorer.predict

    def fail(self: Any, rows: pa.Table) -> Any:
        found = predict(self, rows)
        if broken == "digest" or self.ref.version == champion.version or not rows.num_rows:
            return found
        if broken == "predict":
            raise ValueError("SECRET-FLIGHT is no number")
        return found._replace(score=found.score * np.nan)

    monkeypatch.setattr(batches.Scorer, "predict", fail)
    dataset = history.publish("2013-03")
    report = scored(history, dataset, champion, challenger, 0.5)
    assert (report.rows, report.written) == (dataset.rows, True)
    assert set(read(history)["served_by"].to_pylist()) == {"champion"}
    assert not tables.exists(history.uri("challenger"))
    assert report.shadow is not None
    assert report.shadow.rows == 0
    assert report.shadow.problem
    assert report.shadow.problem in report.reason
    assert "SECRET" not in report.reason
    assert not scored(history, dataset, champion, challenger, 0.5).written


def test_there_is_no_challenger_without_an_alias_or_if_it_has_learned_from_the_partition(
    history: History, champion: ModelRef
) -> None:
    assert challenger_for(history, "2013-03") is None
    challenger = history.put_beside(history.train(history.publish("2013-03"), candidate=STIFF))
    assert challenger.trained_through == "2013-02"
    assert challenger_for(history, "2013-02") is None
    assert challenger_for(history, "2013-03") == challenger


def test_a_replayed_partition_gets_the_challenger_that_it_had(
    history: History, champion: ModelRef, challenger: ModelRef
) -> None:
    scored(history, history.publish("2013-03"), champion, challenger)
    history.decide("2013-04", before=champion.version, after=champion.version)
    history.client.delete_registered_model_alias(MODEL, registry.CHALLENGER)
    assert challenger_for(history, "2013-03") == challenger
    assert challenger_for(history, "2013-04") is None
    history.client.delete_model_version(MODEL, challenger.version)
    with pytest.raises(ModelNotFound):
        challenger_for(history, "2013-03")


def test_moments_of_batches_are_those_of_all_rows() -> None:
    random = np.random.default_rng(0)
    x = random.lognormal(3, 2, 5000) + 1e6
    y = x + random.normal(size=5000)
    found = beside._Pairs()
    for start in range(0, 5000, 700):
        found.add(x[start : start + 700], y[start : start + 700])
    measures = found.measures()
    assert measures["correlation"] == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-9)
    assert measures["divergence"] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)) / x.std(), rel=1e-9)
