"""Patience: a client whose calls outlast an outage of MLflow, for work that is too dear to be done again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from time import sleep
from typing import TYPE_CHECKING, Any, cast

from airflow_mlops.stores.registry import tracking

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client

log = logging.getLogger(__name__)

WAITS: tuple[float, ...] = (15, 30, 60, *(120,) * 15)
"""Seconds between the calls of one outage: half an hour in all, and never more than two minutes after its end."""

# What a proxy says in the place of a server that it does not reach.
_GATEWAY = re.compile(r"too many 50[234] error")


def patient(client: Client) -> Client:
    """Return a client that repeats a call while MLflow is away, for as long as :data:`WAITS` in one outage.

    A call whose answer was lost is repeated too, as MLflow itself does with its requests: whoever calls must bear that.
    Any other error is raised at once.
    """
    return cast("Client", _Patient(client))


class _Patient:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._waits: Iterator[float] = iter(WAITS)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        return self._repeating(name, attribute) if callable(attribute) else attribute

    def _repeating(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def repeat(*arguments: Any, **options: Any) -> Any:
            while True:
                try:
                    answer = call(*arguments, **options)
                except Exception as error:
                    # An outage that has outlasted the waits is not waited for again by the next call.
                    wait = next(self._waits, None) if is_away(error) else None
                    if wait is None:
                        raise
                    log.warning(
                        "MLflow does not answer to %s. What was computed is kept; trying again in %.0f s.",
                        name,
                        wait,
                    )
                    sleep(wait)
                else:
                    self._waits = iter(WAITS)
                    return answer

        return repeat


def is_away(error: Exception) -> bool:
    """Tell whether an error of a call means that MLflow, or the database behind it, cannot be reached for now."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RetryError

    if tracking.silent(error):
        return True
    cause = error.__cause__ or error.__context__
    if isinstance(cause, RetryError):
        return _GATEWAY.search(str(cause)) is not None
    return isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE"
