"""Ingest: read, check and publish a partition of a source."""

from __future__ import annotations
