"""Pictures of how a model does."""

from __future__ import annotations
