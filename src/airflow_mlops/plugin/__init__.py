"""The Airflow plugin: registered by the ``airflow.plugins`` entry point only."""

from __future__ import annotations
