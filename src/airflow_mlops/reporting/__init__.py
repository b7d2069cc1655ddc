"""What people read: mails, cards, questions and pages."""

from __future__ import annotations
