"""Wait until an alias of a model points to a version, such as after a promotion."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.learning import threads
from airflow_mlops.triggers.alias import ModelAliasTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class ModelAliasSensor(BaseSensorOperator):
    """Wait until an alias of a registered model points to one version, to any, or to another one than before.

    Returns the version. While MLflow does not answer, the alias counts as not moved.

    :param model: registered model's name.
    :param alias: the alias.
    :param version: wait for this version; None, or nothing, means any.
    :param former: wait for another version than this; None, or nothing, means any.
    :param deferrable: wait in the triggerer instead of in a worker.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = ("model", "alias", "version", "former", "mlflow_conn_id")
    ui_color = "#eceff1"

    def __init__(
        self,
        *,
        model: str,
        alias: str = "champion",
        version: str | int | None = None,
        former: str | int | None = None,
        deferrable: bool = False,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.alias = alias
        self.version = version
        self.former = former
        self.deferrable = deferrable
        self.mlflow_conn_id = mlflow_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once where the alias points."""
        trigger = self._trigger()
        try:
            version = trigger.look()
        except RegistryUnavailable as error:
            self.log.warning("Cannot look for %s, and try again: %s", self.model, error)
            return PokeReturnValue(is_done=False)
        self.log.info("%s of %s is version %s", self.alias, self.model, version)
        return PokeReturnValue(is_done=version is not None and trigger.matches(version), xcom_value=version)

    def execute(self, context: Context) -> Any:
        """Look, and wait while the alias does not point to the expected version."""
        if self.deferrable:
            seen = self.poke(context)
            if seen.is_done:
                return seen.xcom_value
            self.defer(trigger=self._trigger(deadline=time.time() + self.timeout), method_name="resume")
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            return self.resume(context, {"version": None})

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """Return the version, or raise if the wait timed out.

        :raises AirflowSensorTimeout: if the alias was not there in time.
        """
        # A busy deployment may take long to come here.
        version = event["version"] or self.poke(context).xcom_value
        if version is None or not self._trigger().matches(version):
            conditions = [f"version {self.version}"] if self.version else []
            conditions += [f"another version than {self.former}"] if self.former else []
            raise AirflowSensorTimeout(
                f"{self.alias} of {self.model} was not at {' and '.join(conditions) or 'any version'} within "
                f"{timedelta(seconds=self.timeout)} h (timeout); {threads.load()}. Train and promote; then clear this task."
            )
        return str(version)

    def _trigger(self, deadline: float | None = None) -> ModelAliasTrigger:
        return ModelAliasTrigger(
            model=self.model,
            alias=self.alias,
            mlflow_conn_id=self.mlflow_conn_id,
            interval=self.poke_interval,
            version=str(self.version) if self.version else None,
            former=str(self.former) if self.former else None,
            deadline=deadline,
        )
