from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops import champion
from airflow_mlops.exceptions import DigestMismatch
from airflow_mlops.stores.registry import registry
from history import MODEL, STIFF, History

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def test_the_champion_of_a_service_is_the_one_of_the_ledger_wherever_the_alias_is(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    assert champion(history.client, MODEL, history.storage) is None
    history.publish("2013-01")
    dataset = history.publish("2013-02")
    crowned = history.crown(history.train(dataset), "2013-02")
    assert champion(history.client, MODEL, history.storage) == crowned
    assert "champion" not in caplog.text
    other = history.train(dataset, candidate=STIFF)
    registry.set_champion(history.client, MODEL, other.version)
    assert champion(history.client, MODEL, history.storage) == crowned
    assert "version 2 is champion, though test/2013-02 made version 1 the champion" in caplog.text


def test_a_version_of_the_same_number_with_another_content_is_not_the_champion_of_a_service(
    history: History,
) -> None:
    history.publish("2013-01")
    crowned = history.crown(history.train(history.publish("2013-02")), "2013-02")
    history.client.set_model_version_tag(MODEL, crowned.version, "mlops.digest", "f" * 64)
    with pytest.raises(DigestMismatch, match="registered with digest ffffffffffff…, but was recorded with"):
        champion(history.client, MODEL, history.storage)


def test_an_alias_that_nobody_has_set_by_the_ledger_is_refused_to_a_service(history: History) -> None:
    history.publish("2013-01")
    trained = history.train(history.publish("2013-02"))
    registry.set_champion(history.client, MODEL, trained.version)
    with pytest.raises(DigestMismatch, match="nothing in the ledger has made it so"):
        champion(history.client, MODEL, history.storage)
