"""The one retry table: errors that time may heal are retried, all other errors of ours fail at once."""

from __future__ import annotations

import inspect
from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from airflow_mlops import exceptions

_OURS = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, Exception)]

RETRIES = 3
"""How often a task is retried if time may heal its error."""

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=list(exceptions.RETRYABLE),
            action=RetryAction.RETRY,
            retry_delay=timedelta(seconds=30),
            reason="time may heal this error",
        ),
        RetryRule(
            exception=[kind for kind in _OURS if kind not in exceptions.RETRYABLE],
            action=RetryAction.FAIL,
            reason="a retry cannot help",
        ),
    ]
)
