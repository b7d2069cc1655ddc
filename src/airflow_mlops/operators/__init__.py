"""Thin tasks: resolve, call one function of a stage, record, log, raise last."""

from __future__ import annotations
