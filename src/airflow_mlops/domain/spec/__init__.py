"""The spec of a model: a file for each key of the YAML."""

from __future__ import annotations
