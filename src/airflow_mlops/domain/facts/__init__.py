"""Facts that tasks hand on: frozen records that JSON can hold."""

from __future__ import annotations
