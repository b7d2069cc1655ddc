"""The loop without Airflow: what the tasks of a model do in one partition after the other, by the same use cases."""

from __future__ import annotations
