"""Watch: predictions that another system makes, judged as those of a champion are."""

from __future__ import annotations
