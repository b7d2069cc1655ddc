"""A local Airflow with what belongs to it: MLflow's pages, and a server and a page for its mails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import httpx

from airflow_mlops.local import home, mails
from airflow_mlops.local.airflow import LocalAirflow, free_port, is_free

_SERVER = "mlflow"


class Ports(NamedTuple):
    """The ports of one start; they stay the same from one start to the next, unless somebody else has them by then."""

    airflow: int
    mlflow: int
    smtp: int
    mails: int


def ports(folder: Path, airflow: int | None = None) -> Ports:
    """Return the ports of the Airflow of a folder, and keep them there.

    :param airflow: of Airflow's pages; None for the last one, or a free one.
    """
    file = folder / "ports.json"
    try:
        former = Ports(*json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        former = Ports(8080, 5000, 0, 0)
    taken = Ports(*(port if port and is_free(port) else free_port() for port in former))
    chosen = taken._replace(airflow=airflow or taken.airflow)
    file.write_text(json.dumps(chosen))
    return chosen


@contextmanager
def mail_page(folder: Path, at: Ports) -> Iterator[str | None]:
    """Take mails and show them until the block ends; yield the page's URL, or None without the package for it."""
    with ExitStack() as stack:
        installed = find_spec("aiosmtpd") is not None
        yield stack.enter_context(mails.catching(folder / "mails", at.smtp, at.mails)) if installed else None


def mail_settings(at: Ports) -> dict[str, str]:
    """Return the connection through which a local Airflow mails, so that nobody elsewhere gets one."""
    return {mails.SMTP: mails.connection(at.smtp)}


def mlflow(airflow: LocalAirflow, folder: Path, at: Ports) -> str:
    """Serve MLflow's pages on the database of a folder for as long as Airflow runs, and return their URL.

    :raises LocalAirflowError: if the server does not come up, with the end of its log.
    """
    url = f"http://127.0.0.1:{at.mlflow}"
    with airflow.durations.step("MLflow's pages start"):
        where = (
            "--backend-store-uri",
            home.tracking_uri(folder),
            "--host",
            "127.0.0.1",
            "--port",
            str(at.mlflow),
        )
        airflow.run_beside(_SERVER, "mlflow", "server", *where, "--workers", "1")
        airflow.wait(lambda: _answers(f"{url}/health"), "MLflow to answer", seconds=180)
    return url


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False
