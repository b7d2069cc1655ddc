"""What is kept: Delta tables, the registry and its ledger, sources and outputs."""

from __future__ import annotations
