"""Questions that people are asked: may it be promoted, shall it be retrained."""

from __future__ import annotations
