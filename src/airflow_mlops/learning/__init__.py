"""What a model is and how it is measured."""

from __future__ import annotations
