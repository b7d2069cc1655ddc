"""Reproduce: train a version again and compare."""

from __future__ import annotations
