"""Turn events of watched data into events of partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from airflow_mlops.exceptions import UnknownPartition

if TYPE_CHECKING:
    from airflow.sdk import Context


class AnnounceOperator(BaseOperator):
    """Give the task's outlets an event for each partition that has new data.

    Airflow gives the events of an ``AssetWatcher`` no partition key. Put this operator into a DAG that such an asset
    starts. Its outlet is an asset whose events have the keys, so that a ``PartitionedAssetTimetable`` starts a run for
    each key.

    Returns the keys.
    """

    template_fields = ()
    ui_color = "#e3f2fd"

    def execute(self, context: Context) -> list[str]:
        """Collect the keys, and put them into the events of the outlets."""
        payloads = [
            payload
            for events in context["triggering_asset_events"].values()
            for event in events
            if isinstance(payload := (event.extra or {}).get("payload"), Mapping)
        ]
        keys = sorted({str(payload["partition"]) for payload in payloads if payload.get("partition")})
        if not keys:
            raise UnknownPartition(_no_partition(payloads))
        for asset in self.outlets:
            if isinstance(asset, Asset):
                context["outlet_events"][asset].add_partitions(keys)
        self.log.info("new data of %s", ", ".join(keys))
        return keys


def _no_partition(payloads: list[Mapping[str, Any]]) -> str:
    paths = ", ".join(str(payload.get("path") or payload.get("uri")) for payload in payloads[:3])
    return (
        f"No partition is known of {paths or 'what started this run'}. Let the watcher's path hold {{partition}}, or "
        "{year} … and give its grain; or trigger this run by new data."
    )
