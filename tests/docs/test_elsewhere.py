"""What the page about models from elsewhere shows is what happens: a script that knows nothing of us, then adopt, or the gates."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mlops import ModelSpec
from airflow_mlops.cli import main
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.testing import LoopLab, assert_promotes
from contexts import deploy
from history import rows_of

PAGE = (Path(__file__).parents[2] / "docs" / "models-from-elsewhere.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def block(mark: str) -> str:
    match = re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert match
    return match[1]


def notebook(folder: Path, tracking_uri: str) -> None:
    """Run the script of the page as anybody would, beside the files of flights."""
    (folder / "flights").mkdir()
    for key in ("2013-01", "2013-02", "2013-03"):
        rows = rows_of(key).to_pandas().dropna(subset=["wind", "carrier"])
        rows.to_parquet(folder / "flights" / f"{key}.parquet")
    (folder / "notebook.py").write_text(block("runs: notebook"))
    environment: Any = {"PATH": "/usr/bin:/bin", "MLFLOW_TRACKING_URI": tracking_uri, "HOME": str(folder)}
    ended = subprocess.run(
        [sys.executable, "notebook.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_the_script_of_the_page_is_gated_and_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mlops: LoopLab
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    (tmp_path / "dags" / "models").mkdir(parents=True)
    spec = tmp_path / "dags" / "models" / "flights.yaml"
    spec.write_text(block("test: spec"))
    # In one store it is gated, in another one adopted.
    lab = mlops._plan(ModelSpec.load(spec), ["2013-01"], None)
    notebook(tmp_path, lab.client.tracking_uri)
    gated = mlops.run_loop(spec, ["2013-01", "2013-02"])
    assert_promotes(gated, "2013-02")

    monkeypatch.setattr("airflow.secrets.metastore.MetastoreBackend.get_connection", lambda *_, **__: None)
    monkeypatch.setattr("airflow_mlops.cli.connect.find_code", lambda: [tmp_path / "dags"])
    other = tmp_path / "other"
    other.mkdir()
    for history in deploy(other, monkeypatch, mlflow=True):
        source = lab.client.get_model_version_download_uri("flights_notebook", "1")
        history.client.create_registered_model("flights_notebook")
        tags = {"trained_until": "2013-01"}
        history.client.create_model_version("flights_notebook", source, tags=tags)
        for key in ("2013-01", "2013-02"):
            history.publish(key, pq.read_table(tmp_path / "flights" / f"{key}.parquet"))
        command, *printed = block("runs: adopt").splitlines()
        main.main([word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)[3:]])
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == printed[0]
        assert lines[1].startswith("drift is measured against ")
        assert lines[2] == printed[2]
        assert re.match(
            r"version 1 loaded and predicted 200 rows alike in .*: it has served since March$", lines[3]
        )
        assert registry.champion_version(history.client, "flights") == "1"
        [move] = ledger.moves(history.uri("ledger"))
        assert move.action is Action.ADOPTED
