"""Alerts: what is told, how it looks, and the outbox that it waits in."""

from __future__ import annotations
