"""A figure of ours compared with one of a peer, from runs that took turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

RUNS = 3
"""Runs of each side. They take turns, so that what else goes on in the machine slows down both."""


@dataclass(frozen=True)
class Comparison:
    """Seconds or memory of the runs of both sides; less is better.

    :param case: what was measured; a part of another case is named ``<case>/<part>``.
    :param ours: one figure a run, and so is ``peer``.
    :param peer_name: what ours is compared with.
    :param unit: ``s`` or ``MB`` (10⁶ bytes).
    """

    work: str
    case: str
    ours: Sequence[float]
    peer: Sequence[float]
    peer_name: str
    unit: str

    def line(self) -> str:
        """Return the medians as a JSON object in one line; ``ratio`` is peer/ours, so above 1 ours is better."""
        ours, peer = median(self.ours), median(self.peer)
        return json.dumps(
            {
                "work": self.work,
                "case": self.case,
                "ours": round(ours, 3),
                "peer": round(peer, 3),
                "peer_name": self.peer_name,
                "ratio": round(peer / ours, 2) if ours else None,
                "unit": self.unit,
                "runs": min(len(self.ours), len(self.peer)),
            }
        )
