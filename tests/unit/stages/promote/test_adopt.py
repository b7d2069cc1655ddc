from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, PromotionRefused
from airflow_mlops.stages.promote import adopt, promote
from airflow_mlops.stores.registry import champions, ledger, registry
from history import MODEL, STIFF, History

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

BLESSED = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="blessed in another test")


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Two versions of February, of which nobody has made one champion."""
    monkeypatch.setattr(promote, "_blessed", lambda *_: BLESSED)
    history = History(tmp_path)
    history.publish("2013-01")
    february = history.publish("2013-02")
    history.train(february)
    history.train(february, candidate=STIFF)
    return history


def adopted(history: History, version: str, key: str = "a", **changes: Any) -> PromotionDecision:
    arguments = {"model": MODEL, "reason": "chosen by hand", "actor": "anna", **changes}
    return adopt.adopt(
        history.client, ledger_uri=history.uri("ledger"), version=version, key=key, **arguments
    )


def test_a_version_that_was_set_by_hand_serves_once_it_is_adopted(history: History) -> None:
    uri = history.uri("ledger")
    registry.set_champion(history.client, MODEL, "1")
    with pytest.raises(DigestMismatch, match="airflow mlops adopt flights 1 --reason"):
        champions.current(history.client, uri, MODEL)
    decision = adopted(history, "1")
    assert (decision.action, decision.before, decision.after) == (Action.ADOPTED, None, "1")
    assert (decision.partition, decision.checks) == ("2013-01", (BLESSED,))
    assert champions.current(history.client, uri, MODEL).champion == registry.version(
        history.client, MODEL, "1"
    )
    assert history.client.get_model_version(MODEL, "1").tags["mlops.adopted"] == "a"
    assert adopted(history, "1") == decision
    assert adopted(history, "1", "b").action is Action.KEPT
    # It is no decision on a partition, which has to be decided on all the same.
    assert (ledger.latest_partition(uri), ledger.champion_as_of(uri, "2013-03")) == (None, "1")


def test_another_version_follows_the_champion_of_the_ledger_and_can_be_taken_back(history: History) -> None:
    adopted(history, "1")
    decision = adopted(history, "2", "b")
    assert (decision.before, decision.after) == ("1", "2")
    assert registry.champion_version(history.client, MODEL) == "2"
    back = promote.rollback(
        history.client, ledger_uri=history.uri("ledger"), model=MODEL, to=None, reason="no good", key="c", actor="anna",
        partition="2013-02",
    )  # fmt: skip
    assert (back.after, registry.champion_version(history.client, MODEL)) == ("1", "1")


def test_a_challenger_is_put_beside_the_champion_and_is_on_no_trial(history: History) -> None:
    uri = history.uri("ledger")
    adopted(history, "1")
    registry.set_challenger(history.client, MODEL, "2")
    with pytest.raises(DigestMismatch, match="adopt flights 2 --challenger"):
        champions.challenger(history.client, uri, MODEL)
    decision = adopted(history, "2", "b", challenger=True)
    assert (decision.action, decision.before, decision.after, decision.candidate) == (
        Action.BESIDE,
        "1",
        "1",
        "2",
    )
    challenger = champions.challenger(history.client, uri, MODEL)
    assert challenger == registry.version(history.client, MODEL, "2")
    assert (ledger.trial(uri), ledger.moves(uri)[-1].after) == (None, "1")
    assert adopted(history, "2", "c", challenger=True).action is Action.KEPT
    history.client.set_model_version_tag(MODEL, "2", "mlops.digest", "f" * 64)
    with pytest.raises(DigestMismatch, match="registered with digest ffffffffffff…, but was recorded with"):
        champions.challenger(history.client, uri, MODEL)


def test_a_version_of_the_same_number_that_was_trained_again_is_adopted_anew(history: History) -> None:
    old = adopted(history, "1").digest
    history.client.delete_registered_model(MODEL)
    again = history.train(history.publish("2013-03"), candidate=STIFF)
    registry.set_champion(history.client, MODEL, again.version)
    with pytest.raises(DigestMismatch, match="deleted and trained again"):
        champions.current(history.client, history.uri("ledger"), MODEL)
    decision = adopted(history, "1", "b")
    assert (decision.after, decision.digest, again.digest != old) == ("1", again.digest, True)
    standing = champions.current(history.client, history.uri("ledger"), MODEL)
    assert standing.champion is not None
    assert (standing.champion.digest, standing.problem) == (again.digest, "")


def test_what_is_not_there_is_not_adopted_and_a_stranger_is_not_rolled_back_to(history: History) -> None:
    with pytest.raises(ModelNotFound, match="has no version '7'; it has 1, 2"):
        adopted(history, "7")
    adopted(history, "1")
    with pytest.raises(PromotionRefused, match="never been champion by the ledger.*mlops adopt flights 2"):
        promote.rollback(
            history.client, ledger_uri=history.uri("ledger"), model=MODEL, to="2", reason="r", key="r", actor="anna",
            partition="2013-02",
        )  # fmt: skip
