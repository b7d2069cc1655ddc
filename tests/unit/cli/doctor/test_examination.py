from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

import pytest

from airflow_mlops.cli.doctor.diagnosis import Condition, Diagnosis, passed, warned
from airflow_mlops.cli.doctor.examination import Examination, examine


def fails() -> Sequence[Diagnosis]:
    raise ZeroDivisionError("no share of nothing")


def ends() -> Sequence[Diagnosis]:
    raise SystemExit("a library ends the process")


def hangs() -> Sequence[Diagnosis]:
    time.sleep(600)
    raise AssertionError


def crashes() -> Sequence[Diagnosis]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def tells() -> Sequence[Diagnosis]:
    from airflow.sdk.log import mask_secret

    mask_secret("opensesame")
    sys.stdout.write("a library prints something")
    os.write(1, b"so does one in C, which prints as well")
    return [passed("one", "at postgresql://me:hunter2@host/x"), warned("two", "opensesame", "a", "b")]


def test_what_a_check_sees_comes_back_without_secrets(capfd: pytest.CaptureFixture[str]) -> None:
    one, two = examine(Examination("a", tells, 60))
    assert one == Diagnosis("one", Condition.PASS, "at postgresql://***@host/x")
    assert two == Diagnosis("two", Condition.WARN, "***", "a", "b")
    assert "prints" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("look", "words"), [(fails, "ZeroDivisionError: no share"), (ends, "a library ends")]
)
def test_an_error_is_a_finding(look: object, words: str) -> None:
    (diagnosis,) = examine(Examination("a", look, 60))  # type: ignore[arg-type]
    assert diagnosis.status is Condition.FAIL
    assert words in diagnosis.observation


def test_a_check_that_hangs_is_given_up() -> None:
    begun = time.monotonic()
    (diagnosis,) = examine(Examination("a", hangs, 0.2))
    assert (diagnosis.status, diagnosis.check) == (Condition.FAIL, "a")
    assert "no answer within" in diagnosis.observation
    assert time.monotonic() - begun < 60


def test_a_check_that_crashes_is_a_finding() -> None:
    (diagnosis,) = examine(Examination("a", crashes, 60))
    assert diagnosis.status is Condition.FAIL
    assert f"ended with code {-signal.SIGKILL}" in diagnosis.observation


def test_a_line_says_how_it_is_what_that_means_and_what_to_do() -> None:
    assert str(warned("disk", "It is full", "Nothing is kept.", "make room")) == (
        "! WARN    disk: It is full. Nothing is kept. Do: make room."
    )
