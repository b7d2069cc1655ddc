"""MLflow: runs and the registry of models; and the ledger, which records which version is champion."""

from __future__ import annotations
