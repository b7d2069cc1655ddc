from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.spec.gates import Serving
from airflow_mlops.domain.spec.model import Candidate, Features
from airflow_mlops.exceptions import RETRYABLE, BlessingFailed, DigestMismatch, MachineBusy, UntrustedModel
from airflow_mlops.learning.bless import check, process
from airflow_mlops.learning.models import models, pipeline

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


class Stranger:
    """A type that no allow-list names."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted model and its sample."""
    folder = tmp_path_factory.mktemp("model")
    rows = pa.table({"x": np.linspace(-1, 1, 60)})
    candidate = Candidate(estimator="sklearn.linear_model.LogisticRegression")
    unfitted = pipeline.build(candidate, Features(numeric=("x",)), "classification", 0)
    model = unfitted.fit(rows.to_pandas(), rows["x"].to_numpy() > 0)
    skops.io.dump(model, folder / "model.skops")
    predicted = models.predict(model, rows, "classification")
    pq.write_table(rows.append_column("_prediction", pa.array(predicted)), folder / "sample.parquet")
    return folder


def run(folder: Path, **changed: Any) -> process.Blessing:
    path = changed.pop("path", folder / "model.skops")
    arguments = {"digest": models.digest(path), "sample": folder / "sample.parquet", "task": "classification"}
    with process.start(path, **arguments | changed) as result:
        return result()


def here(folder: Path, *, memory_mb: float = 4096, **changed: Path) -> process.Blessing:
    """Judge what this process finds: a fresh one takes seconds to start."""
    path, sample = (
        changed.get(name, folder / file)
        for name, file in (("path", "model.skops"), ("sample", "sample.parquet"))
    )
    found = {"seconds": 1.0, **process._predict(path, models.digest(path), sample, "classification")}
    return process._judged(0, json.dumps(found), "", 60, memory_mb)


def test_a_model_is_blessed_without_counting_the_memory_of_the_process_that_asks(folder: Path) -> None:
    ballast = np.ones(150_000_000)  # 1.2 GB
    found = run(folder)
    assert ballast.nbytes > found.memory_mb * 2**20
    assert found.n == 60
    assert found.max_difference == 0
    assert 0 < found.seconds < 60
    assert found.memory_mb > 20


def test_a_model_of_another_digest_is_not_loaded(folder: Path) -> None:
    with pytest.raises(DigestMismatch, match="model.skops has the digest"):
        run(folder, digest="0" * 64)


def test_a_model_of_unknown_types_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    skops.io.dump(Stranger(), tmp_path / "model.skops")
    with pytest.raises(UntrustedModel, match="Stranger"):
        here(folder, path=tmp_path / "model.skops")


def test_other_predictions_than_in_training_fail(folder: Path, tmp_path: Path) -> None:
    sample = pq.read_table(folder / "sample.parquet").slice(0, 3)
    # A difference that is no number compares as neither small nor large.
    wrong = pa.array([*sample["_prediction"].to_pylist()[:2], float("nan")])
    pq.write_table(sample.set_column(1, "_prediction", wrong), tmp_path / "sample.parquet")
    with pytest.raises(BlessingFailed, match="differ .* on 3 rows"):
        here(folder, sample=tmp_path / "sample.parquet")


def test_a_sample_without_rows_proves_nothing(folder: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(folder / "sample.parquet").slice(0, 0), tmp_path / "sample.parquet")
    with pytest.raises(BlessingFailed, match="no rows"):
        here(folder, sample=tmp_path / "sample.parquet")


def test_a_model_that_needs_more_memory_than_allowed_fails(folder: Path) -> None:
    with pytest.raises(BlessingFailed, match="1 MiB are allowed"):
        here(folder, memory_mb=1)


def test_what_nobody_will_serve_is_loaded_again_in_the_process_that_asks(
    folder: Path, tmp_path: Path
) -> None:
    path, sample = folder / "model.skops", folder / "sample.parquet"
    with process.start(path, models.digest(path), sample, task="classification", fresh=False) as wait:
        blessing = wait()
    assert blessing.n == 60
    assert blessing.max_difference == 0
    with (
        process.start(path, "0" * 64, sample, task="classification", fresh=False) as wait,
        pytest.raises(DigestMismatch),
    ):
        wait()
    rows = pq.read_table(sample)
    others = pa.array([0.5] * rows.num_rows)
    place = rows.column_names.index("_prediction")
    pq.write_table(rows.set_column(place, "_prediction", others), tmp_path / "sample.parquet")
    with (
        process.start(
            path, models.digest(path), tmp_path / "sample.parquet", task="classification", fresh=False
        ) as wait,
        pytest.raises(BlessingFailed, match="loaded again the predictions differ"),
    ):
        wait()


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script run in place of Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_process_that_does_not_end_in_time_is_ended_with_its_children(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, f"sleep 600 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(
        MachineBusy, match=r"In 2 s .*the 0.2 s of processor time that gates.serving.seconds allows: the load"
    ):
        run(folder, seconds=0.2)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    # The signal has been sent; dying takes the system a moment.
    deadline = time.monotonic() + 10
    while child.exists() and child.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline


def test_a_model_that_uses_up_its_processor_time_fails_at_any_load(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = "import signal; signal.setitimer(signal.ITIMER_PROF, 0.1)\nwhile True: pass"
    (tmp_path / "loop.py").write_text(loop)
    stand_in(tmp_path, monkeypatch, f"exec {sys.executable} {tmp_path}/loop.py")
    with pytest.raises(BlessingFailed, match="within 60 s of processor time, which gates.serving.seconds"):
        run(folder)


def test_waiting_costs_no_processor_time(folder: Path) -> None:
    path = folder / "model.skops"
    with process.start(
        path, models.digest(path), folder / "sample.parquet", task="classification", seconds=50
    ) as result:
        time.sleep(3)
        blessing = result()
    assert 0 < blessing.seconds < 50


def test_the_process_sees_no_secret_of_its_parent(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", "hunter2")
    stand_in(tmp_path, monkeypatch, "env >&2; exit 7")
    with pytest.raises(BlessingFailed, match="code 7") as failed:
        run(folder)
    assert "PYTHONPATH=" in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_a_killed_process_is_named_by_its_signal(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "kill -9 $$")
    with pytest.raises(BlessingFailed, match="signal SIGKILL"):
        run(folder)


def test_the_process_imports_neither_airflow_nor_mlflow(folder: Path) -> None:
    script = (
        "import json, sys; from pathlib import Path; from airflow_mlops.learning.bless import process; "
        "process._predict(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), 'classification'); "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules} & {'airflow', 'mlflow'})))"
    )
    arguments = [folder / "model.skops", models.digest(folder / "model.skops"), folder / "sample.parquet"]
    answer = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=dict(os.environ),
        capture_output=True,
        check=True,
    )
    assert json.loads(answer.stdout) == []


def test_a_process_that_was_started_ends_with_its_context(folder: Path) -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text().split()
    path = folder / "model.skops"
    with process.start(path, models.digest(path), folder / "sample.parquet", task="classification"):
        assert len(children.read_text().split()) == len(before) + 1
    assert children.read_text().split() == before


def test_a_result_is_judged_by_the_time_that_it_took_and_not_by_when_it_is_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = json.dumps({"seconds": 3.0, "memory_mb": 9, "n": 1, "max_difference": 0, "latency_ms": 0.5})
    stand_in(tmp_path, monkeypatch, f"echo '{told}'")
    path = folder / "model.skops"
    for seconds, known in ((5, True), (2, False)):
        with process.start(
            path, "", folder / "sample.parquet", task="classification", seconds=seconds
        ) as result:
            if known:
                assert result().latency_ms == 0.5
            else:
                with pytest.raises(
                    BlessingFailed, match="took 3.0 s of processor time; 2 s are allowed by gates.serving"
                ):
                    result()


class Clock:
    """Processor time, which waiting does not take."""

    now = 10.0
    requests = 0

    def readline(self) -> str:
        self.requests += 1
        return "\n"


def test_rows_that_other_work_slows_do_not_count_for_the_time_of_one_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, calls = Clock(), count()
    real = models.predict

    def predict(model: Any, rows: pa.Table, task: str) -> np.ndarray:
        # The clock of a virtual machine stands still at times: no row takes no time.
        clock.now += {17: 0.006, 21: 0.0}.get(next(calls), 0.011)
        return real(model, rows, task)

    monkeypatch.setattr(process, "process_time", lambda: clock.now)
    monkeypatch.setattr(models, "predict", predict)
    path = folder / "model.skops"
    found = process._predict(path, models.digest(path), folder / "sample.parquet", "classification")
    assert found["latency_ms"] == pytest.approx(6)


def test_one_row_is_measured_once_it_is_asked_for_and_hanging_ends_the_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, asked, timers = Clock(), [], []
    real = models.predict

    def predict(model: Any, rows: pa.Table, task: str) -> np.ndarray:
        asked.append((rows.num_rows, clock.requests))
        clock.now += 1
        return real(model, rows, task)

    def setitimer(which: int, seconds: float) -> tuple[float, float]:
        timers.append((which == signal.ITIMER_PROF, seconds))
        return 59.0, 0.0

    monkeypatch.setattr(process.signal, "setitimer", setitimer)
    monkeypatch.setattr(process, "process_time", lambda: clock.now)
    monkeypatch.setattr(sys, "stdin", clock)
    monkeypatch.setattr(models, "predict", predict)
    path = folder / "model.skops"
    arguments = (models.digest(path), str(folder / "sample.parquet"), "classification", "")
    assert process._main("60", str(path), *arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert asked[:2] == [(60, 0), (1, 1)]
    assert (found["seconds"], found["latency_ms"]) == (10 + len(asked), 1000)
    # The process does not end itself while it waits, and does so afterwards if it hangs.
    assert timers == [(True, 60), (False, 605), (False, 0), (False, 59)]


def test_a_model_whose_packages_are_others_here_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    needs = tmp_path / "requirements.txt"
    needs.write_text(
        f"# what it was trained with\nnumpy=={np.__version__}\nscikit-learn==0.1\nmissing-one==2; python_version > '3'\n"
    )
    with pytest.raises(BlessingFailed) as failed:
        process._meet(needs)
    assert "scikit-learn==0.1, which is " in str(failed.value)
    assert 'missing-one==2; python_version > "3", which is not installed here' in str(failed.value)
    assert "numpy" not in str(failed.value)


def test_a_busy_machine_is_no_verdict_on_a_model_and_is_retried() -> None:
    def busy() -> process.Blessing:
        raise MachineBusy("the load of this machine is 14.0 on 2 processors")

    def failed() -> process.Blessing:
        raise BlessingFailed("it predicts something else")

    with pytest.raises(MachineBusy):
        check.serving_checks(Serving(), "1", 1, busy)
    assert [each.verdict for each in check.serving_checks(Serving(), "1", 1, failed)] == [Verdict.FAIL]
    assert MachineBusy in RETRYABLE
