"""Wait for the verdict on drift, or on another check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.learning import threads
from airflow_mlops.reporting.verdicts import appearance
from airflow_mlops.runs import dataset_of, table_uri
from airflow_mlops.stages.monitor import checks
from airflow_mlops.stores.tables import tables
from airflow_mlops.triggers.check import CheckTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class DriftSensor(BaseSensorOperator):
    """Wait until a partition's drift is judged; go on if the verdict is one of ``verdicts``, else skip.

    Returns the verdict. By default the tasks after it run only if the data has drifted. With another verdict the sensor
    is skipped rather than kept waiting, for the verdict on a partition does not change.

    :param model: name of the model.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param verdicts: go on with any of these: PASS, FAIL, INCONCLUSIVE; empty means any.
    :param check: name of the check in the table of checks: ``drift``, ``drift.<column>``, ``performance``,
        ``health`` …
    :param deferrable: wait in the triggerer instead of in a worker.
    """

    template_fields: Sequence[str] = ("model", "partition", "check")
    ui_color = "#eceff1"

    def __init__(
        self,
        *,
        model: str,
        partition: str | None = None,
        verdicts: Sequence[str] = ("FAIL",),
        check: str = "drift",
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.partition = partition
        self.verdicts = verdicts
        self.check = check
        self.deferrable = deferrable

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once for the verdict.

        :raises AirflowSkipException: if the verdict is none of ``verdicts``.
        """
        verdict = checks.verdict(self._uri, self._key(context), self.check)
        if verdict is None:
            self.log.info("%s of %s %s is not judged yet", self.check, self.model, self._key(context))
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._accepted(verdict, self._key(context)))

    def execute(self, context: Context) -> Any:
        """Look, and wait while there is no verdict."""
        if self.deferrable:
            seen = self.poke(context)
            if seen.is_done:
                return seen.xcom_value
            self.defer(
                trigger=CheckTrigger(
                    self._uri, self._key(context), self.check, time.time() + self.timeout, self.poke_interval
                ),
                method_name="resume",
            )
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            return self.resume(context, {"verdict": None})

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """Return the verdict, or raise if the wait timed out.

        :raises AirflowSensorTimeout: if there was no verdict in time.
        :raises AirflowSkipException: if the verdict is none of ``verdicts``.
        """
        key = self._key(context)
        # A busy deployment may take long to come here.
        verdict = (
            checks.verdict(self._uri, key, self.check)
            if event["verdict"] is None
            else Verdict(event["verdict"])
        )
        if verdict is None:
            raise AirflowSensorTimeout(
                f"{self.check} of {self.model} {key} was not judged within {timedelta(seconds=self.timeout)} h (timeout); "
                f"{threads.load()}. Has {self.model}.monitor run for that partition, and is there a check of that name? Then "
                "clear this task."
            )
        return self._accepted(verdict, key)

    @property
    def _uri(self) -> str:
        return table_uri(self.model, "checks")

    def _key(self, context: Context) -> str:
        key = self.partition or context.get("partition_key")
        if not key:
            return dataset_of(context, self.model).partition
        # The table has no key of another form. Before the first data the form is unknown.
        published = tables.latest(table_uri(self.model, "data"))
        return Partition.parse(key, published.grain).key if published else key

    def _accepted(self, verdict: Verdict, key: str) -> str:
        sentence = f"{self.check} of {self.model} {key} is {appearance(verdict)}"
        accepted = [Verdict(name) for name in self.verdicts]
        if accepted and verdict not in accepted:
            raise AirflowSkipException(f"{sentence}, not {' or '.join(accepted)}")
        self.log.info("%s", sentence)
        return verdict.value
