"""One stage each, Airflow-free: given clients, paths and tables, never connection ids."""

from __future__ import annotations
