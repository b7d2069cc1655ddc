"""Bless: prove that a model loads and predicts in a process that knows nothing but its digest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from airflow_mlops.exceptions import BlessingFailed, DigestMismatch, UntrustedModel

_TOLERANCE = 1e-9
# Nothing of the worker's settings or secrets; HOME is where Python looks for packages installed by a user.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
_ERRORS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (DigestMismatch, UntrustedModel)}


class Blessing(NamedTuple):
    """What a fresh process found.

    :param seconds: from its start to its end, imports included.
    :param memory_mb: the most resident memory that it had, in MiB.
    :param n: rows of the sample.
    :param max_difference: largest difference to the predictions of the training process, relative above 1.
    """

    seconds: float
    memory_mb: float
    n: int
    max_difference: float


def bless(
    path: Path, digest: str, sample: Path, *, task: str, seconds: float = 60, memory_mb: float = 4096
) -> Blessing:
    """Load a model by its digest in a fresh process and compare its predictions with those made in training.

    :param path: the model's skops file.
    :param sample: Parquet file of features with the column ``_prediction``.
    :param task: ``classification`` or ``regression``.
    :param seconds: longest time, the start of Python and imports included.
    :param memory_mb: most resident memory in MiB, measured at the end. It is no limit while the process runs: limits
        on address space break OpenMP and Arrow, which reserve far more than they use.
    :raises BlessingFailed: if it does not load, predicts anything else, or exceeds a limit.
    :raises DigestMismatch: if the file is not what was trained.
    :raises UntrustedModel: if the model holds types outside the allow-list.
    """
    began = monotonic()
    output, errors, code = _run([str(path), digest, str(sample), task, str(seconds)], seconds)
    found = _last_line(output)
    if code != 0 or "n" not in found:
        kind = _ERRORS.get(found.get("error", ""), BlessingFailed)
        raise kind(found.get("message") or f"The process ended with {_ending(code)}: {errors.strip()[-500:]}")
    blessing = Blessing(seconds=monotonic() - began, **found)
    if not blessing.max_difference <= _TOLERANCE:  # not a number is no match either
        raise BlessingFailed(
            f"In a fresh process the predictions differ from those in training by up to {blessing.max_difference:g} "
            f"on {blessing.n} rows; {_TOLERANCE:g} is allowed."
        )
    if blessing.memory_mb > memory_mb:
        raise BlessingFailed(f"The model took {blessing.memory_mb:.0f} MiB; {memory_mb:.0f} MiB are allowed.")
    return blessing


def _run(arguments: list[str], seconds: float) -> tuple[str, str, int]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        # -P: a file of the working directory must not stand in for a library.
        [sys.executable, "-P", "-m", "airflow_mlops.engines.bless", *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise BlessingFailed(f"The model did not load and predict within {seconds:g} s.") from None
    finally:
        # Also when this process is told to stop; a group of which nobody is left is gone already.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return output, errors, process.returncode


def _last_line(output: str) -> dict[str, Any]:
    # Libraries may have written something before it.
    try:
        found = json.loads(output.strip().rpartition("\n")[2])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"


def _predict(path: Path, digest: str, sample: Path, task: str) -> dict[str, Any]:
    import numpy as np
    import pyarrow.parquet as pq

    from airflow_mlops.engines import models
    from airflow_mlops.engines.train import PREDICTION

    fitted = models.load(path, digest)
    rows = pq.read_table(sample)
    if not rows.num_rows:
        raise BlessingFailed("The sample that the model was logged with has no rows.")
    wanted = rows[PREDICTION].to_numpy()
    found = models.predict(fitted, rows.drop_columns([PREDICTION]), task)
    difference = np.max(np.abs(found - wanted) / np.maximum(1, np.abs(wanted)))
    return {"memory_mb": _peak_memory(), "n": rows.num_rows, "max_difference": float(difference)}


def _peak_memory() -> float:
    # On Linux ru_maxrss includes what the process that started this one had, since it survives the exec.
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def _main(path: str, digest: str, sample: str, task: str, seconds: str) -> int:
    # If whoever started this is killed, nobody else ends it.
    signal.setitimer(signal.ITIMER_REAL, float(seconds) + 5)
    try:
        found, code = _predict(Path(path), digest, Path(sample), task), 0
    except Exception as error:  # noqa: BLE001 - whatever it is goes to the process that asked
        found, code = {"error": type(error).__name__, "message": f"{type(error).__name__}: {error}"}, 1
    sys.stdout.write(f"\n{json.dumps(found)}\n")
    return code


if __name__ == "__main__":
    ended = _main(*sys.argv[1:])
    sys.stdout.flush()
    # Arrow's threads sometimes abort a process that ends in order; what it had to say has been said.
    os._exit(ended)
