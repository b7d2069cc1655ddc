"""Bless: prove that a model loads and predicts in a process that knows nothing but its digest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryFile
from time import process_time
from typing import IO, Any, NamedTuple

from airflow_mlops.exceptions import BlessingFailed, DigestMismatch, MachineBusy, UntrustedModel
from airflow_mlops.learning import threads

_TOLERANCE = 1e-9
_SINGLES = 30
# As many times the processor time may pass on a wall: a machine that is that busy does nothing in time.
_PATIENCE = 10
# Nothing of the worker's settings or secrets; HOME is where Python looks for packages installed by a user.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
_ERRORS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (DigestMismatch, UntrustedModel)}


class Blessing(NamedTuple):
    """What the fresh process measured.

    :param seconds: of processor time, from its start to its last prediction, imports included: a machine that is busy with
        other things does not make a model slow.
    :param memory_mb: the most resident memory that it had, in MiB.
    :param n: rows of the sample.
    :param max_difference: largest difference from the predictions of the training process, relative above 1.
    :param latency_ms: milliseconds of processor time to predict one row, the fastest of thirty, on one thread: what else the
        machine does takes its caches and doubles the median, and hardly touches the least.
    """

    seconds: float
    memory_mb: float
    n: int
    max_difference: float
    latency_ms: float


@contextmanager
def start(
    path: Path,
    digest: str,
    sample: Path,
    *,
    task: str,
    requirements: Path | None = None,
    seconds: float = 60,
    memory_mb: float = 4096,
    fresh: bool = True,
) -> Iterator[Callable[[], Blessing]]:
    """Begin to load a model by its digest in a fresh process and to compare its predictions with those made in training.

    The context yields a function that waits for the blessing; leaving the context ends the process. The process
    measures the latency of one row only once that function is called: the caller needs the processors until then.

    :param path: the model's skops file.
    :param sample: Parquet file of features with the column ``_prediction``.
    :param task: ``classification`` or ``regression``.
    :param requirements: the model's file of requirements, which this Python must meet; None skips that check.
    :param seconds: most processor time, the start of Python and imports included.
    :param memory_mb: most resident memory in MiB, measured at the end. It is no limit while the process runs: limits
        on address space break OpenMP and Arrow, which reserve far more than they use.
    :param fresh: False loads and predicts in this process, within no time and memory of its own: for models that nobody will serve.
    :raises BlessingFailed: by the function, if the model does not load, predicts differently, needs other packages, or
        exceeds a limit.
    :raises MachineBusy: by the function, if the process did not get that much processor time within ten times as long.
    :raises DigestMismatch: by the function, if the file is not what was trained.
    :raises UntrustedModel: by the function, if the model holds types outside the allow-list.
    """
    if not fresh:
        yield lambda: _here(path, digest, sample, task)
        return
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    # Threads that wait for each other beside a busy process take a hundred times as long as one alone.
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    patience = _PATIENCE * seconds
    arguments = [seconds, path, digest, sample, task, requirements or ""]
    # Not pipes, which fill up while nobody reads them.
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            # -P: a file of the working directory must not stand in for a library.
            [sys.executable, "-P", "-m", "airflow_mlops.learning.bless.process", *map(str, arguments)],
            env=environment, stdin=subprocess.PIPE, stdout=output, stderr=errors, bufsize=0, start_new_session=True,
        )  # fmt: skip

        def wait() -> Blessing:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # It has ended already.
                process.stdin.write(b"\n")
            try:
                code = process.wait(patience)
            except subprocess.TimeoutExpired:
                code = -signal.SIGALRM
            if code == -signal.SIGALRM:
                raise MachineBusy(_busy(seconds, patience))
            if code == -signal.SIGPROF:
                raise BlessingFailed(
                    f"The model did not load and predict within {seconds:g} s of processor time, which gates.serving.seconds allows."
                )
            return _judged(code, _text(output), _text(errors), seconds, memory_mb)

        try:
            yield wait
        finally:
            # Also when this process is told to stop. A process that has ended has no group left to kill.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            assert process.stdin is not None
            process.stdin.close()


def _here(path: Path, digest: str, sample: Path, task: str) -> Blessing:
    began = process_time()
    try:
        report = _predict(path, digest, sample, task)
    except (BlessingFailed, DigestMismatch, UntrustedModel):
        raise
    except Exception as error:  # as the fresh process reports it
        raise BlessingFailed(f"{type(error).__name__}: {error}") from error
    return _alike(Blessing(seconds=process_time() - began, **report), "When it is loaded again")


def _busy(seconds: float, patience: float) -> str:
    return (
        f"In {patience:g} s the fresh process did not come to load the model and predict, nor did it use up the {seconds:g} s of "
        f"processor time that gates.serving.seconds allows: {threads.load()}, or its disk is slow. That says "
        "nothing about the model; try again when the machine is less busy, or raise gates.serving.seconds."
    )


def _judged(code: int, output: str, errors: str, seconds: float, memory_mb: float) -> Blessing:
    report = _last_line(output)
    if code != 0 or "n" not in report:
        kind = _ERRORS.get(report.get("error", ""), BlessingFailed)
        raise kind(
            report.get("message") or f"The process ended with {_ending(code)}: {errors.strip()[-500:]}"
        )
    blessing = _alike(Blessing(**report), "In a fresh process")
    if blessing.memory_mb > memory_mb:
        raise BlessingFailed(f"The model took {blessing.memory_mb:.0f} MiB; {memory_mb:.0f} MiB are allowed.")
    if blessing.seconds > seconds:
        # The timer of the process begins after the start of Python.
        raise BlessingFailed(
            f"The model took {blessing.seconds:.1f} s of processor time; {seconds:g} s are allowed by gates.serving.seconds."
        )
    return blessing


def _alike(blessing: Blessing, where: str) -> Blessing:
    if not blessing.max_difference <= _TOLERANCE:  # not a number is no match either
        raise BlessingFailed(
            f"{where} the predictions differ from those in training by up to {blessing.max_difference:g} "
            f"on {blessing.n} rows; {_TOLERANCE:g} is allowed."
        )
    return blessing


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _last_line(output: str) -> dict[str, Any]:
    # Libraries may have written something before it.
    try:
        report = json.loads(output.strip().rpartition("\n")[2])
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"


def _predict(
    path: Path, digest: str, sample: Path, task: str, wait_for_request: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    import numpy as np
    import pyarrow.parquet as pq

    from airflow_mlops.learning.bless.sample import PREDICTION
    from airflow_mlops.learning.models import models

    fitted = models.load(path, digest)
    rows = pq.read_table(sample)
    if not rows.num_rows:
        raise BlessingFailed("The sample that the model was logged with has no rows.")
    # A list of probabilities where there are more than two classes.
    expected = np.array(rows[PREDICTION].to_pylist(), dtype=float)
    rows = rows.drop_columns([PREDICTION])
    predictions = models.predict(fitted, rows, task)
    difference = np.max(np.abs(predictions - expected) / np.maximum(1, np.abs(expected)))
    wait_for_request()
    singles = []
    for place in range(min(_SINGLES, rows.num_rows)):
        began = process_time()
        models.predict(fitted, rows.slice(place, 1), task)
        singles.append(process_time() - began)
    # The clock of a virtual machine may stand still for as long as a row takes; that row says nothing.
    measured = [seconds for seconds in singles if seconds > 0] or [sum(singles)]
    return {
        "memory_mb": _peak_memory(),
        "n": rows.num_rows,
        "max_difference": float(difference),
        "latency_ms": 1000 * min(measured),
    }


def _meet(requirements: Path) -> None:
    """Refuse a Python whose packages are not those that the model was trained with.

    :raises BlessingFailed: naming both.
    """
    from packaging.requirements import Requirement

    wrong = []
    for line in requirements.read_text().splitlines():
        if line.strip() and not line.startswith(("#", "-")):
            needed = Requirement(line)
            try:
                here = version(needed.name)
            except PackageNotFoundError:
                wrong.append(f"{needed}, which is not installed here")
            else:
                if not needed.specifier.contains(here, prereleases=True):
                    wrong.append(f"{needed}, which is {here} here")
    if wrong:
        raise BlessingFailed(
            f"The model needs {'; '.join(wrong)}. Train and serve it with the same packages."
        )


def _peak_memory() -> float:
    # On Linux ru_maxrss includes what the process that started this one had, since it survives the exec.
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def _main(seconds: str, path: str, digest: str, sample: str, task: str, requirements: str) -> int:
    signal.setitimer(signal.ITIMER_PROF, float(seconds))
    # If the parent process is killed, nobody else ends this one.
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE * float(seconds) + 5)

    def wait_for_request() -> None:
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        if not sys.stdin.readline():
            os._exit(1)  # The parent process is gone.
        signal.setitimer(signal.ITIMER_REAL, left)

    try:
        if requirements:
            _meet(Path(requirements))
        report, code = _predict(Path(path), digest, Path(sample), task, wait_for_request), 0
        report["seconds"] = process_time()
    except Exception as error:  # noqa: BLE001 - every error is reported to the parent process
        report, code = {"error": type(error).__name__, "message": f"{type(error).__name__}: {error}"}, 1
    sys.stdout.write(f"\n{json.dumps(report)}\n")
    return code


if __name__ == "__main__":
    ended = _main(*sys.argv[1:])
    sys.stdout.flush()
    # Arrow's threads sometimes abort a process that exits normally; its report has been written by now.
    os._exit(ended)
