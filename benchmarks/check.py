"""CPU of a check of a spec: ``airflow-mlops spec check --no-data``, against the imports that no check can do without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.comparison import RUNS, Comparison

FLOOR = "import pydantic, yaml"
_SPEC = """\
name: parcels
task: classification
target: late
key: [id]
event_time: at
partition: month
source: {files: "data/{partition}.csv"}
train:
  candidates:
    - sklearn.linear_model.LogisticRegression: {max_iter: 500}
    - lightgbm.LGBMClassifier: {n_estimators: 50}
"""
_CHECK = "import sys; from airflow_mlops.cli.main import main; main(sys.argv[1:])"
_HEAVY = "assert not {'airflow', 'sklearn', 'lightgbm', 'pandas', 'pyarrow', 'mlflow'} & sys.modules.keys()"
# What a model of fields, of which a spec has three hundred, needs of pydantic beside its bare import.
_FLOOR = "import pydantic, yaml; type('M', (pydantic.BaseModel,), {'__annotations__': {'x': int}})(x=1)"


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Check a spec with candidates of two libraries; the ratio is the floor's seconds of CPU in ours.

    :raises RuntimeError: if the check fails, or loads one of the libraries.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-check-") as folder:
        file = Path(folder) / "parcels.yaml"
        file.write_text(_SPEC, encoding="utf-8")
        words = ["spec", "check", str(file), "--no-data"]
        # Once before, so that both have their bytecode.
        for code, arguments in ((f"{_CHECK}; {_HEAVY}", words), (_FLOOR, [])):
            _seconds(code, arguments)
        ours, floor = [], []
        for run in range(RUNS):
            say(f"run {run + 1} of {RUNS}")
            ours.append(_seconds(_CHECK, words))
            floor.append(_seconds(_FLOOR, []))
    yield Comparison("check", "--no-data, CPU", ours, floor, FLOOR, "s")


def _seconds(code: str, arguments: Sequence[str]) -> float:
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    after = os.times()
    if done.returncode:
        raise RuntimeError(f"python -c {code!r} failed: {done.stderr}")
    return after.children_user + after.children_system - before.children_user - before.children_system
