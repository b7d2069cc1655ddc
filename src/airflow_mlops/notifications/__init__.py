"""Notifiers: for callbacks of any DAG or task."""

from __future__ import annotations
