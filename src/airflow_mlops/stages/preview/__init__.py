"""What a changed spec would do, before it does it: nothing is written, neither to tables nor to MLflow."""

from __future__ import annotations
