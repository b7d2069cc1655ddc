from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from mlflow import MlflowClient

from airflow_mlops.domain.facts.results import Action, DatasetVersion
from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable, TableUnreadable
from airflow_mlops.stores import retention
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import removal, tables
from history import MODEL, STIFF, History, make_decision, moved, shifted
from synthetic import make_client

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more


def age(uri: str, days: int) -> None:
    """Make a table, and whatever it was told, older."""
    folder = Path(uri.removeprefix("file://"))
    by = timedelta(days=days)
    for log in (folder / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for name, field in (("commitInfo", "timestamp"), ("remove", "deletionTimestamp")):
            for action in actions:
                if name in action:
                    action[name][field] -= int(by.total_seconds() * 1000)
        log.write_text("\n".join(map(json.dumps, actions)))
    for file in folder.rglob("*"):
        moment = file.stat().st_mtime - by.total_seconds()
        os.utime(file, (moment, moment))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def rewritten(history: History, times: int) -> list[DatasetVersion]:
    """Publish a month again and again, each time with other rows."""
    return [history.publish("2013-02", shifted("2013-02", by)) for by in range(times)]


def needed(history: History, client: Any = None) -> dict[int, str]:
    ledgers = {MODEL: history.uri("ledger")}
    return retention.needed(client or history.client, history.uri("data"), ledgers)


def vacuum(history: History, keep: Any = (), **settings: Any) -> removal.Removal:
    return removal.vacuum(history.uri("data"), keep, **{"days": 30, "delete": True, **settings})


def rows(version: DatasetVersion) -> str:
    return tables.digest(tables.read(version.uri, version=version.version))


def test_what_champion_and_rollback_learned_from_stays_and_an_old_version_goes(history: History) -> None:
    history.publish("2013-01")
    versions = rewritten(history, 5)
    first, _, second, loser, _ = versions
    history.crown(history.train(first), "2013-02")
    history.crown(history.train(second, candidate=STIFF), "2013-03")
    history.train(loser)  # registered, and never champion
    before = {version.version: rows(version) for version in versions}
    age(history.uri("data"), 90)
    protected = needed(history)
    assert protected == {
        first.version: "version 1 of 'flights'",
        second.version: "version 2 of 'flights'",
    }
    planned = vacuum(history, protected, delete=False)
    assert {rows(version) for version in versions} == {*before.values()}  # nothing is gone yet
    removed = vacuum(history, protected)
    assert removed.files == planned.files
    assert len(removed.files) == 2
    assert removed.size == planned.size > 1000
    for version in (first, second, versions[-1]):
        assert rows(version) == before[version.version]
    for version in (versions[1], loser):
        with pytest.raises(TableUnreadable, match="a file that is gone"):
            rows(version)
    assert vacuum(history, protected).files == ()
    assert tables.published(history.uri("data"), "2013-02") == versions[-1]


def test_what_was_the_latest_within_the_days_stays_even_if_delta_has_forgotten_it(history: History) -> None:
    history.publish("2013-01")
    former, lasting = rewritten(history, 2)
    age(history.uri("data"), 40)
    last = history.publish("2013-02", shifted("2013-02", 9))
    age(history.uri("data"), 10)
    # A checkpoint drops what was removed more than a week before, and the files are older than 30 days by now.
    DeltaTable(history.uri("data")).create_checkpoint()
    assert len(vacuum(history).files) == 1
    assert rows(lasting) != rows(last)
    with pytest.raises(TableUnreadable):
        rows(former)


def test_files_of_a_killed_writer_go_and_those_of_a_running_one_stay(history: History) -> None:
    history.publish("2013-01")
    folder = Path(history.uri("data").removeprefix("file://")) / "_partition=2013-01"
    for name in ("killed", "running"):
        (folder / f"{name}.parquet").write_bytes(b"x" * 10)
    os.utime(folder / "killed.parquet", (1, 1))
    found = vacuum(history)
    assert (found.files, found.size) == (("_partition=2013-01/killed.parquet",), 10)
    assert (folder / "running.parquet").exists()


def test_less_than_a_day_is_refused(history: History) -> None:
    history.publish("2013-01")
    with pytest.raises(ValueError, match="0 days are too few"):
        vacuum(history, days=0)


def test_a_version_that_must_stay_and_cannot_be_read_stops_everything(history: History) -> None:
    history.publish("2013-01")
    rewritten(history, 3)
    age(history.uri("data"), 90)
    with pytest.raises(TableUnreadable):
        vacuum(history, [99])
    assert len(vacuum(history, delete=False).files) == 2


def test_the_champion_is_known_by_its_alias_by_the_ledger_and_by_tags(history: History) -> None:
    versions = [history.publish("2013-01"), *rewritten(history, 4)]
    trained = [history.train(version, seed=seed) for seed, version in enumerate(versions[1:])]
    history.decide("2013-02", before=None, after=trained[0].version)
    registry.set_champion(history.client, MODEL, trained[1].version)
    registry.tag(history.client, MODEL, trained[2].version, "mlops.restored", "key")
    assert set(needed(history)) == {version.version for version in versions[1:4]}


def test_a_challenger_is_protected_as_long_as_its_trial_lasts(history: History) -> None:
    history.publish("2013-01")
    version = history.publish("2013-02")
    trained = history.train(version)
    facts = {"candidate": trained.version, "digest": trained.digest}
    moved(history.uri("ledger"), make_decision("2013-01", Action.CHALLENGING, key="begin", **facts))
    assert set(needed(history)) == {version.version}
    moved(history.uri("ledger"), make_decision("2013-02", Action.DROPPED, key="end", **facts))
    assert needed(history) == {}


def test_a_model_of_another_name_and_moved_storage_protect_too(history: History) -> None:
    history.publish("2013-01")
    version = history.publish("2013-02")
    moved = version.model_copy(update={"uri": "s3://former/place/flights/data/"})
    other = version.model_copy(update={"uri": version.uri.replace("flights", "trains"), "version": 77})
    for name, dataset in (("delays", moved), ("trains", other)):
        trained = history.train(version, model=name)
        registry.tag(history.client, name, trained.version, "mlops.dataset", json.dumps(dataset.to_dict()))
        registry.set_champion(history.client, name, trained.version)
    assert needed(history) == {version.version: "version 1 of 'delays'"}


def test_a_registry_that_cannot_be_read_or_is_another_one_protects_by_refusing(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    with pytest.raises(RegistryUnavailable):
        needed(history, MlflowClient("http://127.0.0.1:1", "http://127.0.0.1:1"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        RegistryUnavailable, match="names champions of flights, of which MLflow at .* no version"
    ):
        needed(history, make_client(tmp_path / "empty"))


def test_a_ledger_that_cannot_be_read_protects_by_refusing(history: History) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    for log in (Path(history.uri("ledger").removeprefix("file://")) / "_delta_log").glob("*1.json"):
        log.write_text("{")
    with pytest.raises(TableUnreadable):
        needed(history)


def test_a_clock_can_be_given(history: History) -> None:
    history.publish("2013-01")
    rewritten(history, 3)
    later = datetime.now(UTC) + timedelta(days=31)
    assert vacuum(history, now=later, delete=False).kept == (
        tables.open_table(history.uri("data")).version(),
    )


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"uri": 7}', "[" * 3_000], ids=range(5))
def test_a_version_whose_data_cannot_be_read_protects_by_refusing(history: History, text: str) -> None:
    history.publish("2013-01")
    trained = history.train(history.publish("2013-02"))
    history.crown(trained, "2013-02")
    registry.tag(history.client, MODEL, trained.version, "mlops.dataset", text)
    said = "The tag mlops.dataset of version 1 of 'flights' was written by another version"
    with pytest.raises(ModelNotFound, match=said):
        needed(history)
    with pytest.raises(ModelNotFound, match=said):
        retention.learned_from(history.client, history.uri("data"))
