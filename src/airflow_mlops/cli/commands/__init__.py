"""``airflow mlops``: what people do from a terminal."""

from __future__ import annotations
