"""Init: look at data, guess what a model of it needs, and write the files that it begins with."""

from __future__ import annotations
