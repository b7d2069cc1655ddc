"""NannyML beside us, in a virtual environment of its own: it needs LightGBM below 4.6, and we are tested with 4.7.

The functions up to :func:`run` belong to our process. The rest is run as a script by the environment's own Python, which
has none of our modules: it reads rows from Parquet files, and prints its findings as a line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "NannyML 0.13.1"

# It imports statsmodels without declaring it.
_PACKAGES = ("nannyml==0.13.1", "statsmodels")
# The same on both sides, so that what differs is the library alone.
_SAME = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy")
_QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "true"}


def python(say: Callable[[str], None]) -> Path | None:
    """Return the Python of the peer's environment, which is made in the user's cache; None if that fails."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pins = [f"{name}=={metadata.version(name)}" for name in _SAME]
    folder = cache / "airflow-mlops-benchmarks" / "nannyml"
    made, contents = folder / "installed", "\n".join([*_PACKAGES, *pins])
    interpreter = folder / "bin" / "python"
    if made.exists() and made.read_text(encoding="utf-8") == contents:
        return interpreter
    say(f"installing {NAME}")
    uv = str(Path(sys.executable).with_name("uv"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(interpreter), "--only-binary", ":all:", *_PACKAGES, *pins],
        ):  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, text=True)
        made.write_text(contents, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError) as error:
        why = str(getattr(error, "stderr", None) or error).strip()
        print(f"{NAME} could not be installed, so nothing is compared with it: {why}", file=sys.stderr)
        return None
    return interpreter


def run(interpreter: Path, what: str, folder: Path) -> dict[str, Any] | None:
    """Let the peer work on the Parquet files of a folder; None, with a line on stderr, if it fails.

    :param what: ``drift`` or ``cbpe``.
    """
    command = [str(interpreter), "-I", __file__, what, str(folder)]
    done = subprocess.run(command, env={**os.environ, **_QUIET}, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{NAME} failed at {what}: {last}", file=sys.stderr)
        return None
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


# ------------------------------------------------------------------------------- in the peer's own process


def _drift(folder: Path) -> dict[str, Any]:
    """Fit to the reference, untimed like our kept summary; then read and judge the current rows."""
    import nannyml
    import pandas as pd

    base = _peak()
    before = pd.read_parquet(folder / "before.parquet")
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=list(before.columns), continuous_methods=["wasserstein"], chunk_number=1
    ).fit(before)
    began = time.perf_counter()
    drift = calculator.calculate(pd.read_parquet(folder / "now.parquet"))
    values = drift.filter(period="analysis").to_df().xs("value", axis=1, level=-1).iloc[0]
    seconds = time.perf_counter() - began
    distances = {str(key[0]): float(value) for key, value in values.items()}
    return {"seconds": seconds, "megabytes": _peak() - base, "distances": distances}


def _cbpe(folder: Path) -> dict[str, Any]:
    """Estimate ROC AUC and accuracy of the rows of each trial from its holdout."""
    import nannyml
    import pandas as pd

    holdouts, served = (pd.read_parquet(folder / f"{name}.parquet") for name in ("holdouts", "served"))
    metrics, estimates = ["roc_auc", "accuracy"], []
    for trial, holdout in holdouts.groupby("trial"):
        estimator = nannyml.CBPE(
            y_true="truth", y_pred="decided", y_pred_proba="score", problem_type="classification_binary",
            metrics=metrics, chunk_number=1,
        ).fit(holdout)  # fmt: skip
        estimated = estimator.estimate(served[served["trial"] == trial].drop(columns="truth"))
        row = estimated.filter(period="analysis").to_df().iloc[0]
        estimates.append({name: float(row[name, "value"]) for name in metrics})
    return {"trials": estimates}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    print(json.dumps({"drift": _drift, "cbpe": _cbpe}[sys.argv[1]](Path(sys.argv[2]))))
