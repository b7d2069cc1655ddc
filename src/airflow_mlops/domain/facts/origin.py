"""Where a version comes from that was not trained here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from airflow_mlops.domain.checks import Fact


class ForeignOrigin(Fact):
    """The version of a registered model, trained elsewhere, that one of ours was taken in from.

    :param model: name of the registered model in MLflow.
    :param version: its version.
    :param until: it has learned from no row of this event time or later.
    :param source: who says so: ``tag`` of the version, a ``person``, or nobody but the time of its ``registration``, since
        no model can learn from what comes later.
    :param format: how it was stored: ``skops``, ``pickle`` or ``cloudpickle``.
    :param digest: sha256 of the file that it was stored in.
    """

    model: str
    version: str
    until: datetime
    source: Literal["tag", "person", "registration"]
    format: str
    digest: str
