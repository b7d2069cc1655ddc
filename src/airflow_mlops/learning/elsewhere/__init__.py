"""Models that were trained elsewhere: read, loaded once in a process of their own, and stored as ours are."""

from __future__ import annotations
