"""What the loop costs beside what people write today: ``python -m benchmarks [WORK]``, one JSON line a comparison."""

from __future__ import annotations
