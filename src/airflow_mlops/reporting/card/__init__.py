"""The model card of a version."""

from __future__ import annotations
