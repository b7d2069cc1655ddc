"""Performance: the quality of predictions on labels that have matured."""

from __future__ import annotations
