"""What continuous training talks about: specs, partitions, facts and decisions. Knows no Airflow."""

from __future__ import annotations
