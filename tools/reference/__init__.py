"""Pages of docs that are written from the code: ``python -m tools.reference docs``."""

from __future__ import annotations
