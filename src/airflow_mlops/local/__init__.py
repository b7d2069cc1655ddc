"""A complete Airflow on this machine, for the demo, the end-to-end tests and the benchmarks."""

from __future__ import annotations
