"""From an Airflow connection to a configured client."""

from __future__ import annotations
