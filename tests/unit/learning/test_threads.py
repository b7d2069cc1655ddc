from __future__ import annotations

from airflow_mlops.domain.metrics import Metric, Task, find, known
from airflow_mlops.learning import threads


def test_a_thread_that_is_waited_for_knows_what_the_one_that_waits_does() -> None:
    metric = Metric("mine", Task.REGRESSION, True, 0, 1, function="m:f")
    with known([metric]):
        assert threads.waited(lambda: find("mine"), "Looking") == metric
    assert threads.waited(lambda: find("mine"), "Looking") is None
