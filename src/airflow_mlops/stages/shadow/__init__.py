"""Shadow: the trial of a challenger."""

from __future__ import annotations
