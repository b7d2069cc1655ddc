"""Thin tasks: resolve, call one engine function, record, log, raise last."""

from __future__ import annotations
