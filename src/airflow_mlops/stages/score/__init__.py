"""Score: predict a partition with the champion, and a challenger beside it."""

from __future__ import annotations
