from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.cli.cli_parser import get_parser

from airflow_mlops.stages import remove as stage
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import folders, tables
from contexts import deploy
from history import MODEL, History, rows_of
from registry_builders import make_version

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """A champion, and another dataset beside it."""
    monkeypatch.setattr("airflow.secrets.metastore.MetastoreBackend.get_connection", lambda *_, **__: None)
    monkeypatch.setattr("airflow_mlops.cli.connect.find_code", lambda: [tmp_path / "dags"])
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.client.create_experiment(MODEL, f"{history.storage}/artifacts/{MODEL}")
        history.publish("2013-01")
        history.crown(history.train(history.publish("2013-02")), "2013-02")
        tables.replace_partition(f"{history.storage}/trains/data", rows_of("2013-01"), "2013-01")
        pages = place(history) / "reports" / MODEL / "2013-01"
        pages.mkdir(parents=True)
        (pages / "drift.html").write_text("<p>")
        yield history


def place(history: History) -> Path:
    return Path(history.storage.removeprefix("file://"))


def files(history: History) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place(history).rglob("*") if path.is_file()}


def remove(*options: str) -> None:
    args = get_parser().parse_args(["mlops", "remove-model", MODEL, *options])
    args.func(args)


def test_without_delete_it_tells_what_goes_and_changes_nothing(history: History, capsys: Capture) -> None:
    before = files(history)
    remove()
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Table data: ")
    assert "Table ledger: 2 rows" in told
    assert "Registered model in MLflow: versions 1; version 1 is champion" in told
    assert any(line.startswith("Experiment in MLflow: 1, with ") for line in told)
    assert f"Artifacts of its runs: {history.storage}/artifacts/{MODEL}" in told
    assert any(line.startswith("Report pages: file:") for line in told)
    assert told[-1].startswith("Nothing was removed; --delete does it")
    assert files(history) == before
    assert registry.champion_version(history.client, MODEL) == "1"


def test_tables_reports_experiment_artifacts_and_registered_model_go_and_nothing_else(
    history: History, capsys: Capture
) -> None:
    other = {path: text for path, text in files(history).items() if "trains" in path.parts}
    make_version(history.client, "ships")
    remove("--reason", "not needed", "--delete")
    told = capsys.readouterr().out
    assert "airflow dags delete flights.ingest --yes" in told
    assert "mlflow gc" not in told
    left = files(history)
    assert {path for path in left if MODEL in path.parts} == set()
    assert {path: left[path] for path in other} == other
    assert {path.relative_to(place(history)).parts[0] for path in left} == {"changes", "trains"}
    assert registry.champion_version(history.client, MODEL) is None
    assert history.client.get_experiment_by_name(MODEL) is None
    assert [version.name for version in registry.versions(history.client)] == ["ships"]


def test_the_name_is_free_to_begin_anew(history: History) -> None:
    remove("--reason", "begin anew", "--delete")
    again = history.train(history.publish("2013-01") and history.publish("2013-02"))
    assert again.version == "1"
    assert history.client.get_experiment_by_name(MODEL).lifecycle_stage == "active"


def test_who_removed_what_and_why_is_kept(history: History) -> None:
    remove("--reason", "not needed", "--delete")
    begun, done = stage.removals(history.storage)
    assert (begun["what"], done["what"], done["model"], done["reason"]) == (
        "removal begun",
        "removed",
        MODEL,
        "not needed",
    )
    facts = done["facts"]
    assert (facts.versions, facts.champion, facts.tables["ledger"]) == (("1",), "1", 2)


def test_with_its_spec_beside_the_dag_files_nothing_is_removed(history: History, tmp_path: Path) -> None:
    spec = tmp_path / "dags" / "models" / f"{MODEL}.yaml"
    spec.parent.mkdir(parents=True)
    spec.write_text("name: flights\n")
    (tmp_path / "dags" / "models" / "torn.yaml").write_text("{")
    before = files(history)
    with pytest.raises(
        SystemExit, match=r"Nothing was removed: with .*flights.yaml its DAGs would begin anew"
    ):
        remove("--reason", "not needed", "--delete")
    assert files(history) == before


def test_a_removal_that_was_killed_is_finished_by_its_repetition(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(folders, "delete", lambda _: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(SystemExit, match="killed"):
            remove("--reason", "not needed", "--delete")
    assert (place(history) / MODEL).is_dir()
    remove("--reason", "not needed", "--delete")
    assert not (place(history) / MODEL).exists()
    assert not (place(history) / "reports" / MODEL).exists()


def test_an_experiment_that_somebody_deleted_does_not_keep_its_name(history: History) -> None:
    history.client.delete_experiment(history.client.get_experiment_by_name(MODEL).experiment_id)
    remove("--reason", "not needed", "--delete")
    assert history.client.get_experiment_by_name(MODEL) is None


def test_models_of_others_that_learned_from_its_data_are_named(history: History, capsys: Capture) -> None:
    dataset = tables.latest(history.uri("data"))
    assert dataset is not None
    version = make_version(history.client, "ships")
    registry.tag(history.client, "ships", version.version, "mlops.dataset", dataset.model_dump_json())
    remove()
    assert "learned from its data: version 1 of 'ships'" in capsys.readouterr().out


def test_a_version_of_another_model_among_its_artifacts_is_not_lost(history: History) -> None:
    source = history.client.get_model_version(MODEL, "1").source
    history.client.create_registered_model("ships")
    history.client.create_model_version("ships", source)
    with pytest.raises(SystemExit, match="version 1 of 'ships' is kept in the experiment of 'flights'"):
        remove("--reason", "not needed", "--delete")


def test_what_is_not_there_or_has_no_reason_is_told(history: History) -> None:
    args = get_parser().parse_args(["mlops", "remove-model", "nothing"])
    with pytest.raises(SystemExit, match="There is nothing of 'nothing', neither at file:"):
        args.func(args)
    with pytest.raises(SystemExit, match="--reason is empty"):
        remove("--delete")
    args = get_parser().parse_args(["mlops", "remove-model", ".."])
    with pytest.raises(SystemExit, match="cannot name"):
        args.func(args)
