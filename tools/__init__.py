"""What writes files of this repository: the reference of the spec, the index of expectations."""

from __future__ import annotations
