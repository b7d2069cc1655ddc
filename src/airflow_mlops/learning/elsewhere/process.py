"""The process in which a model that was trained elsewhere is loaded once, and stored as ours are.

Loading a pickle runs the code in it. So nobody else loads it: this process knows nothing of the worker's settings and
connections, and what it leaves is a skops file, which is read without running code, like that of a model that was trained here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.exceptions import MachineBusy, ModelRefused, SchemaMismatch, UntrustedModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SECONDS = 900
# Nothing of the worker's settings or secrets; HOME is where Python looks for packages installed by a user.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
_ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ModelRefused, SchemaMismatch, UntrustedModel)
}


class Converted(NamedTuple):
    """A model that was stored anew.

    :param features: the columns that it takes, by what they are used as.
    :param classes: the classes that it tells apart, in the order of its probabilities; none for a regression.
    :param estimators: dotted paths of the estimators that it consists of.
    """

    features: dict[str, list[str]]
    classes: list[str]
    estimators: list[str]


def convert(
    file: Path,
    out: Path,
    *,
    form: str,
    task: str,
    columns: Sequence[str],
    kinds: Mapping[str, str],
    classes: Sequence[str],
    sample: Path,
) -> Converted:
    """Load a model in a fresh process, try it on some rows, and store it as ours are.

    :param file: the model as it was stored elsewhere.
    :param out: the skops file to write.
    :param form: ``skops``, ``pickle`` or ``cloudpickle``.
    :param task: ``classification`` or ``regression``.
    :param columns: its inputs by its signature; used if the model itself names none.
    :param kinds: what each column of the data is as a feature, such as ``numeric``.
    :param classes: the classes that the spec names, in order; none takes those of the model.
    :param sample: Parquet file with rows of those columns.
    :raises ModelRefused: if it cannot be loaded, or is not for the task.
    :raises SchemaMismatch: if it needs columns that there are not, or predicts otherwise from columns as they are used here.
    :raises UntrustedModel: if it holds types that no model of ours may hold.
    :raises MachineBusy: if it was not done within a quarter of an hour.
    """
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    request = {
        "file": str(file), "out": str(out), "form": form, "task": task, "columns": [*columns], "kinds": dict(kinds),
        "classes": [*classes], "sample": str(sample),
    }  # fmt: skip
    try:
        ended = subprocess.run(
            # -P: a file of the working directory must not stand in for a library.
            [sys.executable, "-P", "-m", "airflow_mlops.learning.elsewhere.conversion"],
            env=environment, input=json.dumps(request), capture_output=True, text=True, timeout=_SECONDS, check=False,
            cwd=out.parent, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise MachineBusy(f"The model did not load and predict within {_SECONDS} s.") from error
    report = _last_line(ended.stdout)
    if ended.returncode or "features" not in report:
        kind = _ERRORS.get(report.get("error", ""), ModelRefused)
        raise kind(
            report.get("message")
            or f"the process that loads it ended with code {ended.returncode}: {ended.stderr.strip()[-500:]}"
        )
    return Converted(**report)


def _last_line(output: str) -> dict[str, Any]:
    # Libraries, and the model's own code, may have written something before it.
    try:
        report = json.loads(output.strip().rpartition("\n")[2])
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}
