"""Imports what warm workers import: for processes that are to be forked from one that has."""

from __future__ import annotations

import logging

from airflow_mlops.plugin.preload import preload

logging.disable(logging.INFO)
preload()
logging.disable(logging.NOTSET)
