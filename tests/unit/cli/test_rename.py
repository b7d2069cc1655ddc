from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.cli.cli_parser import get_parser

from airflow_mlops.learning.models import models
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stores.registry import champions, ledger, registry, renaming
from airflow_mlops.stores.tables import journal, places, tables, versions
from contexts import deploy
from history import MODEL, History, rows_of, shifted
from registry_builders import make_version

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

Capture = pytest.CaptureFixture[str]
NEW = "arrivals"


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """A champion that was trained on two partitions."""
    monkeypatch.setattr("airflow.secrets.metastore.MetastoreBackend.get_connection", lambda *_, **__: None)
    monkeypatch.setattr("airflow_mlops.cli.connect.find_code", lambda: [tmp_path / "dags"])
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.publish("2013-01")
        history.crown(history.train(history.publish("2013-02")), "2013-02")
        pages = place(history) / "reports" / MODEL / "2013-01"
        pages.mkdir(parents=True)
        (pages / "drift.html").write_text("<p>")
        yield history


def place(history: History) -> Path:
    return Path(history.storage.removeprefix("file://"))


def uri(history: History, table: str) -> str:
    return tables.uri_of(history.storage, NEW, table)


def rename(*options: str, to: str = NEW) -> None:
    args = get_parser().parse_args(["mlops", "rename-model", MODEL, to, *options])
    args.func(args)


def rename_it() -> None:
    rename("--reason", "a better name", "--rename")


def test_without_rename_it_tells_what_changes_and_changes_nothing(history: History, capsys: Capture) -> None:
    before = {path: path.read_bytes() for path in place(history).rglob("*") if path.is_file()}
    rename()
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Tables that move: data, ledger (")
    assert told[1] == "Registered model in MLflow: versions 1 with their aliases"
    assert told[2].startswith("Experiment in MLflow: ")
    assert told[3].startswith("Report pages that move: file:")
    assert told[4].startswith("Yours to change: what loads models:/flights@champion")
    assert told[5].startswith("Nothing was renamed; --rename does it")
    assert before == {path: path.read_bytes() for path in place(history).rglob("*") if path.is_file()}
    assert registry.champion_version(history.client, MODEL) == "1"


def test_tables_versions_champion_ledger_and_pages_have_the_new_name_and_none_the_old(
    history: History,
) -> None:
    before = tables.latest(history.uri("data"))
    champion = champions.champion(history.client, MODEL, history.storage)
    assert before is not None
    assert champion is not None
    rename_it()
    assert not (place(history) / MODEL).exists()
    assert (place(history) / "reports" / NEW / "2013-01" / "drift.html").read_text() == "<p>"
    after = tables.latest(uri(history, "data"))
    assert after == before.model_copy(update={"name": NEW, "uri": uri(history, "data")})
    assert after is not None
    assert tables.read(after.uri, version=after.version).num_rows > 0
    now = champions.champion(history.client, NEW, history.storage)
    assert now == champion.model_copy(update={"model": NEW})
    assert registry.champion_version(history.client, MODEL) is None
    assert score.champion_for(history.client, uri(history, "ledger"), NEW, "2013-03") == now
    assert {row.evidence.model for row in ledger.rows(uri(history, "ledger"))} == {NEW}
    assert history.client.get_experiment_by_name(MODEL) is None


def test_a_version_is_loaded_and_trained_again_under_the_new_name(history: History) -> None:
    rename_it()
    ref = registry.version(history.client, NEW, "1")
    assert models.load_version(history.client, ref) is not None
    training = registry.training(history.client, ref)
    assert (training.dataset.name, training.dataset.uri) == (NEW, uri(history, "data"))
    assert reproduce.reproduce(history.client, NEW, "1", lambda _: None, ()).reproduced


def test_what_is_published_afterwards_goes_on_from_what_is_there(history: History) -> None:
    rename_it()
    same = tables.publish(
        uri(history, "data"), rows_of("2013-02"), name=NEW, grain="month", partition="2013-02", key=["flight"],
        event_time="departure", source="test", run="test",
    )  # fmt: skip
    assert not same.changed
    changed = tables.publish(
        uri(history, "data"), shifted("2013-02"), name=NEW, grain="month", partition="2013-02", key=["flight"],
        event_time="departure", source="test", run="test",
    )  # fmt: skip
    assert [version.name for version in versions.versions(uri(history, "data"))] == [NEW] * 3
    assert versions.published(uri(history, "data"), "2013-02") == changed.model_copy(
        update={"difference": None}
    )


def test_versions_of_other_models_know_the_new_place_of_their_data(history: History, capsys: Capture) -> None:
    dataset = tables.latest(history.uri("data"))
    assert dataset is not None
    version = make_version(history.client, "ships")
    registry.tag(history.client, "ships", version.version, "mlops.dataset", dataset.model_dump_json())
    rename_it()
    assert "told its new place: version 1 of 'ships'" in capsys.readouterr().out
    ref = registry.version(history.client, "ships", version.version)
    assert registry.training(history.client, ref).dataset.uri == uri(history, "data")


def test_a_name_that_is_taken_is_refused_also_if_only_mlflow_has_it(history: History) -> None:
    tables.replace_partition(uri(history, "data"), rows_of("2013-01"), "2013-01")
    with pytest.raises(SystemExit, match="There is something of 'arrivals' already"):
        rename_it()
    history.client.delete_experiment(history.client.create_experiment("ships"))
    with pytest.raises(SystemExit, match="There is something of 'ships' already, .* deleted"):
        rename("--reason", "x", "--rename", to="ships")
    with pytest.raises(SystemExit, match="'Ships' cannot name .* for example ships"):
        rename(to="Ships")
    with pytest.raises(SystemExit, match="--reason is empty"):
        rename("--rename")
    assert registry.champion_version(history.client, MODEL) == "1"


def test_with_a_spec_of_the_old_name_beside_the_dag_files_nothing_is_renamed(
    history: History, tmp_path: Path
) -> None:
    spec = tmp_path / "dags" / "models" / "any.yaml"
    spec.parent.mkdir(parents=True)
    spec.write_text(f"name: {MODEL}\n")
    with pytest.raises(SystemExit, match=r"Nothing was renamed: .*any.yaml has the old name"):
        rename_it()
    spec.write_text(f"name: {NEW}\n")
    rename_it()
    assert registry.champion_version(history.client, NEW) == "1"


def test_a_renaming_that_was_killed_is_finished_by_its_repetition(
    history: History, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(renaming, "rename", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(SystemExit, match="killed"):
            rename_it()
    assert registry.champion_version(history.client, MODEL) == "1"
    rename_it()
    assert "A renaming of it was cut off; this finishes it." in capsys.readouterr().out
    assert registry.champion_version(history.client, NEW) == "1"
    assert (place(history) / "reports" / NEW).is_dir()
    changes = journal.rows(places.changes_of(history.storage))
    assert [row["what"] for row in changes] == ["renaming begun", "renaming begun", "renamed"]
    assert {row["reason"] for row in changes} == {"a better name"}
