"""What every page and mail in HTML begins with."""

from __future__ import annotations

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
"""

BUTTON = "#0b57d0"
"""The colour of what leads on: links of light pages, and buttons with white letters in mails."""

PALETTE = f"""
:root {{
  color-scheme: light dark;
  --back: #fff; --text: #1d2430; --soft: #5b6675; --line: #dfe3e8; --head: #f5f7f9; --link: {BUTTON};
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --back: #14181f; --text: #e6e9ee; --soft: #a3adba; --line: #303844; --head: #1c222b; --link: #8ab4f8;
  }}
}}
"""
"""Variables of the colours of a page, in the light and in the dark. Those of verdicts are in :mod:`~airflow_mlops.reporting.verdicts`."""
