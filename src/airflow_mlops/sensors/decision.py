"""Wait until the decision on the previous partition is recorded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_mlops import config
from airflow_mlops.exceptions import NoDecision
from airflow_mlops.learning import threads
from airflow_mlops.runs import dataset_of, table_uri
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables
from airflow_mlops.triggers.decision import DecisionTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class DecisionSensor(BaseSensorOperator):
    """Wait until the decision on the partition published before this one is recorded.

    A backfill runs the DAGs of several partitions at once; waiting here makes a replay decide as if the partitions had
    run one after the other. In live operation the decision is there already.

    :param model: name of the model.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param deferrable: wait in the triggerer instead of in a worker.
    """

    template_fields: Sequence[str] = ("model", "partition")
    ui_color = "#eceff1"

    def __init__(
        self, *, model: str, partition: str | None = None, deferrable: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.partition = partition
        self.deferrable = deferrable

    def poke(self, context: Context) -> bool:
        """Look once for the decision."""
        before = self._before(context)
        done = before is None or ledger.decision(table_uri(self.model, "ledger"), before) is not None
        if done:
            self.log.info(
                "%s", f"partition {before} is decided" if before else "there is no partition before"
            )
        return done

    def execute(self, context: Context) -> Any:
        """Look, and wait while there is no decision."""
        seconds = config.decision_timeout().total_seconds()
        if not self.deferrable:
            self.timeout = seconds
            try:
                return super().execute(context)
            except AirflowSensorTimeout:
                return self.resume(context, {"decided": False})
        if not self.poke(context):
            before = self._before(context)
            self.log.info("waiting for %s.train to decide on partition %s", self.model, before)
            self.defer(
                trigger=DecisionTrigger(table_uri(self.model, "ledger"), str(before), time.time() + seconds),
                method_name="resume",
            )
        return None

    def resume(self, context: Context, event: dict[str, Any]) -> None:
        """Go on, or raise if the wait timed out and there is still no decision.

        :raises NoDecision: if the deadline passed.
        """
        # A busy deployment may take long to come here.
        if not event["decided"] and not self.poke(context):
            raise NoDecision(
                f"{self.model}.train has not decided on partition {self._before(context)} within "
                f"{config.decision_timeout().total_seconds():.0f} s ([mlops] decision_timeout); {threads.load()}. Is that DAG paused, or "
                f"has one of {self.model}.score, .monitor or .train failed for that partition? Clear it there. This task is tried "
                "again and waits as long; raise the option if a training takes longer."
            )

    def _before(self, context: Context) -> str | None:
        here = dataset_of(context, self.model, self.partition)
        earlier = {
            version.partition for version in tables.versions(here.uri) if version.partition < here.partition
        }
        return max(earlier, default=None)
