"""Airflow's REST API, of an Airflow on this machine or anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

PATIENCE = 180.0
"""Seconds in which the API has to answer; it may be restarting, and a machine that is busy with tasks makes it slow."""
TOKEN = "AIRFLOW_MLOPS_TOKEN"
"""Environment variable with the token of an Airflow that is named by its URL."""
_RESTARTING = (502, 503, 504)
_ROLLED_BACK = "Database error"
"""What Airflow says, with status 500, if its database was locked or away: nothing was written."""
_PAGE = 100


class ApiError(RuntimeError):
    """Airflow refused a request, or does not answer. A retry cannot help until the cause is removed.

    :param status: HTTP status of the answer; None if there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AirflowApi:
    """The REST API of an Airflow.

    :param url: base URL, as people open it.
    :param token: a token of Airflow's; None to log in by :meth:`log_in`.
    """

    error: type[ApiError] = ApiError

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=self.url, timeout=30, headers=headers)

    def log_in(self, user: str, password: str) -> None:
        """Get a token for a user.

        :raises ApiError: if Airflow does not know the user or the password.
        """
        answer = self._ask("POST", "/auth/token", json={"username": user, "password": password})
        if answer.is_error:
            raise self.error(
                f"{user} could not log in at {self.url}: {answer.text[:500]}", answer.status_code
            )
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Call Airflow's REST API, e.g. ``call("GET", "dags")``.

        :raises ApiError: if the answer is an error, or none came within :data:`PATIENCE`.
        """
        answer = self._ask(method, f"/api/v2/{path}", **arguments)
        if answer.is_error:
            raise self.error(self._refusal(method, path, answer), answer.status_code)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise self.error(
                f"{self.url} answers {method} /api/v2/{path} with something else than JSON: is it an Airflow 3, and the URL "
                "that people open it at?"
            ) from None

    def pages(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield all entries of a list, page by page.

        :param key: of the answer, with the entries.
        """
        offset = 0
        while True:
            page = self.call("GET", path, params={**params, "limit": _PAGE, "offset": offset})[key]
            yield from page
            offset += _PAGE
            if len(page) < _PAGE:
                return

    def wait(self, condition: Callable[[], Any], what: str, seconds: float, interval: float = 0.5) -> Any:
        """Wait until ``condition`` returns something true, and return that.

        :raises ApiError: after ``seconds``, or as soon as a process of this Airflow's has died.
        """
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            self.check_alive()
            if time.monotonic() > deadline:
                raise self.error(f"Waited {seconds:.0f} s in vain for {what}{self._where()}.")
            time.sleep(interval)
        return answer

    def check_alive(self) -> None:
        """Check that the processes are running, if they are this one's."""

    def _where(self) -> str:
        return f" at {self.url}"

    def _silence(self) -> str:
        return "Is it up, and reachable from here?"

    def _refusal(self, method: str, path: str, answer: httpx.Response) -> str:
        what = f"{method} {path} answered {answer.status_code}: {answer.text[:500]}"
        advice = {
            401: f"Airflow at {self.url} does not accept the token: it is missing, wrong or has expired. A new one is made by "
            f"POST {self.url}/auth/token; hand it over in {TOKEN} or by --token-file.",
            403: f"The user of the token may not do that at {self.url}: it needs to see, edit and start the DAGs of the model.",
            404: f"Airflow at {self.url} does not have it: is the name right, and is the DAG file there?",
        }.get(answer.status_code)
        return f"{advice} ({what})" if advice else what

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        # What changes something is sent once, and waited for, unless it was rolled back; what only reads is asked for again.
        reads = method == "GET"
        timeout = self._client.timeout if reads else PATIENCE
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._client.request(method, path, timeout=timeout, **arguments)
            except httpx.TransportError as error:
                self.check_alive()
                repeatable = reads or isinstance(error, httpx.ConnectError)
                if not repeatable or time.monotonic() > deadline:
                    raise self.error(
                        f"Airflow's API server did not answer {method} {path} within {PATIENCE:.0f} s "
                        f"({type(error).__name__}){self._where()}. {self._silence()}"
                    ) from error
            else:
                comes_back = answer.status_code in _RESTARTING and reads
                rolled_back = (
                    answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR and _ROLLED_BACK in answer.text
                )
                if not (comes_back or rolled_back) or time.monotonic() > deadline:
                    return answer
                self.check_alive()
            time.sleep(0.5)
