"""Import what warm workers import, so that processes can be forked from one that has done so."""

from __future__ import annotations

import logging

from airflow_mlops.plugin.preload import preload

logging.disable(logging.INFO)
preload()
logging.disable(logging.NOTSET)
