"""Tune: the choice of a policy by replays of the model's own history."""

from __future__ import annotations
