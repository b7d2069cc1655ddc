"""Models: estimators, preprocessing, their files and what they predict."""

from __future__ import annotations
