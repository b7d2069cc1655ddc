"""Where predictions go besides their Delta table: SQL tables and files."""

from __future__ import annotations
