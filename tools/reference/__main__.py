"""Write the pages into a folder of docs."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.reference.pages import PAGES

if __name__ == "__main__":
    folder = Path(sys.argv[1], "reference")
    folder.mkdir(exist_ok=True)
    for name, write in PAGES.items():
        (folder / name).write_text(write(), encoding="utf-8")
