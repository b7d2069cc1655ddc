"""Monitor: the verdict on the health of a champion."""

from __future__ import annotations
