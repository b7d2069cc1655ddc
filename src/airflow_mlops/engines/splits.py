"""Splits of a dataset version into rows to train on and rows to judge on."""

from __future__ import annotations
