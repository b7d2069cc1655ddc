"""Blessing: proof that a fresh process can load a model and predict alike."""

from __future__ import annotations
