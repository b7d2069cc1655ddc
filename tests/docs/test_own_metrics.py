"""The example of a metric of one's own: its function and its spec, as `airflow mlops spec check` reads them."""

from __future__ import annotations

import os
import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from airflow_mlops import ModelSpec
from airflow_mlops.cli import spec as cli
from airflow_mlops.learning.models import own_metrics
from airflow_mlops.learning.statistics import measures

PAGE = (Path(__file__).parents[2] / "docs" / "own-metrics.md").read_text(encoding="utf-8")
[YAML] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
[CODE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "parcels.yaml").write_text(YAML)
    (tmp_path / "parcel_metrics.py").write_text(CODE)
    yield tmp_path
    sys.modules.pop("parcel_metrics", None)
    own_metrics.function.cache_clear()


def check(project: Path) -> None:
    cli.check(Namespace(file=str(project / "models" / "parcels.yaml"), data=False, no_data=True))


def test_the_check_finds_the_function_beside_the_dag_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(project)
    assert "parcels is valid" in capsys.readouterr().out
    assert not [folder for folder in sys.path if folder.startswith(str(project))]
    spec = ModelSpec.load(project / "models" / "parcels.yaml")
    with own_metrics.known(spec.train.metrics, spec.task):
        value = measures.measure("penalty", np.array([3.0, 1.0]), np.array([2.0, 2.0]))
    assert value == pytest.approx((2 * 1 + 0.1 * 1) / 2)


def test_with_weights_the_function_takes_them_or_the_check_says_what_to_add(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, code = project / "models" / "parcels.yaml", project / "parcel_metrics.py"
    file.write_text(YAML.replace("train:\n", "train:\n  weights: value\n"))
    code.write_text("def penalty(hours, promised): ...")
    with pytest.raises(SystemExit) as raised:
        check(project)
    assert str(raised.value) == (
        "train.metrics.penalty.function: parcel_metrics:penalty gets no weights, and there are train.weights: "
        "add a parameter sample_weight to penalty, or leave weights out"
    )
    for taking in ("sample_weight=None", "sample_weight", "*, sample_weight", "**more"):
        sys.modules.pop("parcel_metrics", None)
        own_metrics.function.cache_clear()
        code.write_text(f"def penalty(hours, promised, {taking}): ...")
        os.utime(code, ns=(time.time_ns(), time.time_ns() + 10**9 * len(taking)))
        check(project)
        assert "parcels is valid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (None, "parcel_metrics:penalty cannot be imported: ModuleNotFoundError"),
        ("x = 1", "parcel_metrics:penalty cannot be imported: AttributeError"),
        ("def penalty(hours): ...", "must take labels and predictions: too many positional arguments"),
        ("import helper\ndef penalty(a, b): ...", "parcel_metrics:penalty cannot be imported"),
    ],
)
def test_the_check_says_what_is_wrong_with_the_function(project: Path, code: str | None, said: str) -> None:
    if code is None:
        (project / "parcel_metrics.py").unlink()
    else:
        (project / "parcel_metrics.py").write_text(code)
    with pytest.raises(SystemExit, match="train.metrics.penalty.function: ") as raised:
        check(project)
    assert said in str(raised.value)
