"""The one retry table: what time may heal is tried again, everything else of ours fails at once."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryDecision, RetryRule

from airflow_mlops import exceptions

if TYPE_CHECKING:
    from airflow.sdk import Context

_OURS = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, Exception)]
_OUTAGES = tuple(kind for kind in exceptions.RETRYABLE if issubclass(kind, ConnectionError))

DELAYS = tuple(timedelta(seconds=seconds) for seconds in (30, 90, 270, 600, 900))
"""How long after each try a task is tried again that a service has not answered: half an hour in all."""
RETRIES = len(DELAYS)
"""How often a task is tried again that a service has not answered."""

# Of any other error people are to hear in minutes.
_RETRIES_OF_OTHERS = 3


class GrowingRetryPolicy(ExceptionRetryPolicy):
    """Wait longer and longer for a service that is away: half an hour fails nothing, and a minute costs little.

    Errors of services are those of ours that are a ``ConnectionError``. Any other error that may heal, and an error that is
    in no rule, is tried again as often as three times, after half a minute or the task's ``retry_delay``.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide as the rules do, with the delay of this try."""
        decision = super().evaluate(exception, try_number, max_tries, context)
        if isinstance(exception, _OUTAGES):
            return replace(decision, retry_delay=DELAYS[min(try_number, RETRIES) - 1])
        # A task that was cleared counts its tries on, and has all its retries before it again.
        spent = max_tries - try_number < RETRIES - _RETRIES_OF_OTHERS
        if decision.action is not RetryAction.FAIL and try_number > _RETRIES_OF_OTHERS and spent:
            return RetryDecision.fail(f"tried again {_RETRIES_OF_OTHERS} times")
        return decision


RETRY_POLICY = GrowingRetryPolicy(
    rules=[
        RetryRule(
            exception=list(exceptions.RETRYABLE),
            action=RetryAction.RETRY,
            retry_delay=DELAYS[0],
            reason="time may heal this error",
        ),
        RetryRule(
            exception=[kind for kind in _OURS if kind not in exceptions.RETRYABLE],
            action=RetryAction.FAIL,
            reason="a retry cannot help",
        ),
    ]
)
