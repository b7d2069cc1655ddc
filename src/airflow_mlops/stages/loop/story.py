"""What became of partitions, in lines for messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.loop import LoopStep
from airflow_mlops.reporting import sentences


def lines(steps: Sequence[LoopStep]) -> Iterator[str]:
    """Tell what became of each partition, and what spoke against it."""
    for step in steps:
        if step.decision is not None:
            yield f"  {step.partition}: {sentences.decided(step.decision)}"
        else:
            yield f"  {step.partition}: {step.problem or step.waiting or 'no decision'}"
        checks = step.decision.checks if step.decision else ()
        judged = [check for check in checks if check.verdict is not Verdict.PASS]
        if step.health is not None:
            judged += [step.health.drift, step.health.performance, step.health.staleness]
        yield from (f"    {sentences.judged(check)}" for check in judged)
