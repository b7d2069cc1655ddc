"""What each task does; one package a stage, named as in operators."""

from __future__ import annotations
