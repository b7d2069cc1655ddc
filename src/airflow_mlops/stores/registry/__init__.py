"""MLflow: runs, the registry of models, and the ledger of who is champion."""

from __future__ import annotations
