"""Labels that come later than the data."""

from __future__ import annotations
