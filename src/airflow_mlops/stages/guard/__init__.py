"""Guard: watch the champion alias and a new champion on probation."""

from __future__ import annotations
