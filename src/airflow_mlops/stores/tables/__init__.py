"""Delta tables: their commits, versions and digests."""

from __future__ import annotations
