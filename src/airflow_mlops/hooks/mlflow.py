"""MLflow: tracking and model registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from airflow_mlops import config
from airflow_mlops.domain.addresses import DATABASES, problem_of, shown, shown_cause
from airflow_mlops.exceptions import RegistryUnavailable, SettingRefused, StoreUnavailable
from airflow_mlops.stores import disks
from airflow_mlops.stores.registry.client import connect, probe

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_mlops.stores.registry.client import Client

EXTRAS = {
    "token": "MLFLOW_TRACKING_TOKEN",
    "timeout": "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "max_retries": "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "server_cert_path": "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "client_cert_path": "MLFLOW_TRACKING_CLIENT_CERT_PATH",
}
"""Keys that a connection's extra may have, each with the setting of MLflow that it becomes."""

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow's own defaults keep a task waiting for minutes a call while the server is away. With these it is 95 s: four times
    # 20, and 15 between them, in which a server may be started again.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    # A redirect would carry the credentials to another host.
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",
    # Bars that are redrawn are no use in a task's log.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class MlflowHook(BaseHook):
    """Return clients of the MLflow server that a connection names.

    The connection has host, port, scheme (field ``schema``: ``https`` unless it says ``http``), login and password,
    and in its extra any of :data:`EXTRAS`. A host may also be a whole URL.

    MLflow takes credentials and time limits from the environment of the process only. They are set here, by
    :meth:`get_conn`, and nowhere else; the last hook used in a process decides. Time limits that the environment
    of the process sets already are kept.

    :param mlflow_conn_id: the connection; None means ``[mlops] mlflow_conn_id``. If that is ``mlflow_default`` and
        does not exist, ``[mlops] tracking_uri`` is used; a connection of another name must exist.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlflow_default"
    conn_type = "mlflow"
    hook_name = "MLflow"

    def __init__(self, mlflow_conn_id: str | None = None) -> None:
        super().__init__()
        self.mlflow_conn_id = mlflow_conn_id or config.mlflow_conn_id()

    def get_conn(self) -> Client:
        """Return a client for tracking and registry, and configure MLflow in this process for it.

        :raises AirflowNotFoundException: if a connection other than ``mlflow_default`` does not exist.
        :raises SettingRefused: if the connection has no host, an extra that is unknown, or an address without a driver.
        :raises RegistryUnavailable: if MLflow's database cannot be opened.
        :raises StoreUnavailable: if its disk is full, or it cannot be written to.
        """
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError

        uri, settings = self._resolve()
        configure(settings)
        try:
            with _alone(uri):
                return connect(uri)
        except (ImportError, ArgumentError, UnsupportedModelRegistryStoreURIException) as error:
            message = shown(f"MLflow cannot be reached at {uri}: {_why(error)}")
            raise SettingRefused(message) from shown_cause(error)
        except (MlflowException, SQLAlchemyError, CommandError) as error:
            refusal = disks.refusal_of(error, shown(f"MLflow's database at {uri}"))
            if refusal is not None:
                raise refusal from shown_cause(error)
            message = shown(f"MLflow's database cannot be opened: {error}")
            raise RegistryUnavailable(message) from shown_cause(error)

    def address(self) -> str:
        """Return the address of MLflow; it may hold a password.

        :raises AirflowNotFoundException: if a connection other than ``mlflow_default`` does not exist.
        :raises SettingRefused: if the connection has no host, or an extra that is unknown.
        """
        return self._resolve()[0]

    def artifact_location(self, experiment: str) -> str | None:
        """Return where a new experiment keeps artifacts: under ``[mlops] storage`` if MLflow is a database without server.

        :return: None if there is a server, which then decides.
        """
        scheme = self.address().partition(":")[0].partition("+")[0]
        return f"{config.storage()}/artifacts/{experiment}" if scheme in DATABASES else None

    def test_connection(self) -> tuple[bool, str]:
        """Ask MLflow for one experiment."""
        from mlflow.exceptions import MlflowException

        try:
            probe(self.get_conn())
        except (
            MlflowException,
            AirflowNotFoundException,
            RegistryUnavailable,
            StoreUnavailable,
            ValueError,
        ) as error:
            return False, shown(str(error))
        return True, "MLflow answers."

    def _resolve(self) -> tuple[str, dict[str, str] | None]:
        # Settings are None without a connection: credentials in the environment then belong to this address.
        try:
            connection = self.get_connection(self.mlflow_conn_id)
        except AirflowNotFoundException:
            if self.mlflow_conn_id != self.default_conn_name:
                raise
            return config.tracking_uri(), None
        address = _address(connection)
        if problem := problem_of(address):
            raise SettingRefused(
                f"Connection {connection.conn_id!r} cannot be used: host: {shown(address)}: {problem}."
            )
        return address, _settings(connection)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Lock a SQLite database while it is opened: two processes that make its tables at once would undo each other."""
    from mlflow.utils.file_utils import ExclusiveFileLock

    with ExitStack() as stack:
        if uri.startswith("sqlite:///"):
            path = Path(uri.removeprefix("sqlite:///"))
            # Where no lock can be written, no tables can be made either.
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(ExclusiveFileLock(f"{path}.lock"))
        yield


def _why(error: Exception) -> str:
    if isinstance(error, ImportError):
        driver = f"{error.name!r} is" if error.name else f"something is ({error})"
        return (
            f"{driver} not installed, which this kind of database is spoken to through; install it wherever Airflow runs, or "
            "name another driver, as in mysql+pymysql:// or postgresql+psycopg2://"
        )
    return f"{error}; write http:// or https:// of a server, or a database such as postgresql+psycopg2://"


def _address(connection: Connection) -> str:
    host = (connection.host or "").rstrip("/")
    if not host:
        raise SettingRefused(
            f"Connection {connection.conn_id!r} has no host; write that of the MLflow server."
        )
    if "://" in str(connection.host):
        # Without its slashes, http:// alone would be the name of a host.
        return host if "://" in host else str(connection.host)
    typed = connection.conn_type if connection.conn_type in ("http", "https") else "https"
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.schema or typed}://{host}{port}"


def _settings(connection: Connection) -> dict[str, str]:
    extra: dict[str, Any] = {k: v for k, v in connection.extra_dejson.items() if v not in (None, "")}
    if unknown := sorted(set(extra) - set(EXTRAS)):
        raise SettingRefused(
            f"Connection {connection.conn_id!r} has extra {', '.join(unknown)}; allowed are {', '.join(EXTRAS)}."
        )
    settings = {EXTRAS[key]: str(value) for key, value in extra.items()}
    settings["MLFLOW_TRACKING_USERNAME"] = connection.login or ""
    settings["MLFLOW_TRACKING_PASSWORD"] = connection.password or ""
    settings.setdefault("MLFLOW_TRACKING_TOKEN", "")
    for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        mask_secret(settings[name])
    return settings


def configure(settings: dict[str, str] | None) -> None:
    """Set how long this process waits for MLflow, and turn MLflow's telemetry off.

    :param settings: further variables of MLflow's environment; None for none.
    """
    from mlflow import environment_variables
    from mlflow.telemetry import set_telemetry_client

    for name, value in _DEFAULTS.items():
        variable = getattr(environment_variables, name)
        if not variable.is_set():
            variable.set(value)
    for name, value in (settings or {}).items():
        variable = getattr(environment_variables, name)
        # An empty value removes what another connection has left, which this server must not see.
        variable.set(value) if value else variable.unset()
    # If telemetry was on, importing MLflow has made a client for it; this drops it.
    set_telemetry_client()  # type: ignore[no-untyped-call]
