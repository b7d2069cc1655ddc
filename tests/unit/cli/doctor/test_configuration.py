from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_mlops.cli.doctor import configuration
from airflow_mlops.cli.doctor.diagnosis import Condition

Configure = Callable[[str, str], None]


def test_the_defaults_can_be_used(configure: Configure) -> None:
    assert [diagnosis.status for diagnosis in configuration.look()] == [Condition.PASS]


def test_each_option_that_cannot_be_used_is_named(configure: Configure) -> None:
    configure("storage", "/data/mlops")
    configure("decision_timeout", "soon")
    one, two = configuration.look()
    assert (one.status, two.status) == (Condition.FAIL, Condition.FAIL)
    assert "[mlops] storage = '/data/mlops' cannot be used: write a URI" in one.observation
    assert "[mlops] decision_timeout = 'soon'" in two.observation


def test_an_option_that_nobody_reads_is_named(configure: Configure) -> None:
    configure("storrage", "s3://bucket/mlops")
    (diagnosis,) = configuration.look()
    assert diagnosis.status is Condition.WARN
    assert (diagnosis.observation, diagnosis.fix) == ("[mlops] storrage is no option", "write storage")


@pytest.mark.parametrize(
    ("executor", "method", "preload", "status", "words"),
    [
        ("LocalExecutor", "fork", "True", Condition.PASS, "find their libraries imported"),
        ("LocalExecutor", "spawn", "True", Condition.WARN, "processes are started by spawn"),
        ("CeleryExecutor", "spawn", "True", Condition.PASS, "find their libraries imported"),
        ("KubernetesExecutor", "fork", "True", Condition.WARN, "the executor is KubernetesExecutor"),
        ("KubernetesExecutor", "fork", "False", Condition.SKIPPED, "could not use it"),
        ("LocalExecutor", "fork", "False", Condition.PASS, "each task imports its libraries itself"),
    ],
)
def test_preloading_is_judged_by_what_it_does_here(
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    executor: str,
    method: str,
    preload: str,
    status: Condition,
    words: str,
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    monkeypatch.setenv("AIRFLOW__SCHEDULER__MP_START_METHOD", method)
    configure("preload", preload)
    (diagnosis,) = configuration.preload()
    assert diagnosis.status is status
    assert words in diagnosis.observation
