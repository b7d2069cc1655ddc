"""Wait until the data of a partition is there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.hooks.sources import pack
from airflow_mlops.learning import threads
from airflow_mlops.runs import partition_of
from airflow_mlops.stores.sources.source import arrived
from airflow_mlops.triggers.partition import PartitionTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.stores.sources.source import Source


class NewPartitionSensor(BaseSensorOperator):
    """Wait until the data of a partition is there and has stopped growing.

    Each look takes the source's stamp twice, ``settle`` apart: sizes and times of files, the number of rows of a
    query, the data files of a Delta table. Data that changes in between is not there yet. While the source cannot be
    reached, the data counts as not there.

    :param source: where the rows come from, e.g. ``FileSource("/data/{partition}.parquet")``.
    :param partition: key of the partition; None means the run's ``partition_key``.
    :param grain: length of a partition: hour, day, week or month, and perhaps a time zone after it: ``day Europe/Berlin``.
    :param settle: time for which the data must not change.
    :param deferrable: wait in the triggerer instead of in a worker.
    """

    template_fields: Sequence[str] = ("partition",)
    ui_color = "#eceff1"

    def __init__(
        self,
        *,
        source: Source,
        partition: str | None = None,
        grain: str = "day",
        settle: timedelta = timedelta(seconds=10),
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.partition = partition
        self.grain = grain
        self.settle = settle
        self.deferrable = deferrable

    def poke(self, context: Context) -> bool:
        """Look once for the data."""
        partition = partition_of(context, self.partition, self.grain)
        before = arrived(self.source, partition)
        if before is None:
            self.log.info("%s is not there yet", self.source.describe(partition))
            return False
        time.sleep(self.settle.total_seconds())
        settled = arrived(self.source, partition) == before
        what = "is there" if settled else "still changes"
        self.log.info("%s %s", self.source.describe(partition), what)
        return settled

    def execute(self, context: Context) -> Any:
        """Look, and wait while the data is not there."""
        if self.deferrable:
            self._leave(partition_of(context, self.partition, self.grain))
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            raise self._in_vain(context) from None

    def _leave(self, partition: Partition) -> NoReturn:
        self.defer(
            trigger=PartitionTrigger(
                source=pack(self.source),
                partition=partition.key,
                grain=self.grain,
                settle=self.settle.total_seconds(),
                interval=self.poke_interval,
                deadline=time.time() + self.timeout,
            ),
            method_name="resume",
        )

    def resume(self, context: Context, event: dict[str, Any]) -> None:
        """Go on, or raise if the wait timed out and the data is still not there.

        :raises AirflowSensorTimeout: if the data did not come in time.
        :raises SourceUnreadable: if the source can never be read.
        """
        if event.get("error"):
            raise SourceUnreadable(event["error"])
        # A busy deployment may take long to come here.
        if not event["arrived"] and not self.poke(context):
            raise self._in_vain(context)

    def _in_vain(self, context: Context) -> AirflowSensorTimeout:
        partition = partition_of(context, self.partition, self.grain)
        return AirflowSensorTimeout(
            f"{self.source.describe(partition)} was not there, or still changed, after {timedelta(seconds=self.timeout)} h "
            f"(timeout, in a spec source.wait); {threads.load()}. Ask whoever delivers it; then clear this task."
        )
