"""Ready-made DAGs from a model spec."""

from __future__ import annotations
