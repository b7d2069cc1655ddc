"""The page about tests shows tests that pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"

pytestmark = [pytest.mark.slow, pytest.mark.thorough]  # fits


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    (example,) = re.findall(r"<!-- test: testing -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "test_parcels.py").write_text(example)
    # The tests that run this one are no concern of its process.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_parcels.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout
    assert "3 passed" in answer.stdout
