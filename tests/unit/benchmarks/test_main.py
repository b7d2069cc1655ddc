"""The benchmarks' command line."""

from __future__ import annotations

from importlib import import_module

import pytest
from benchmarks.__main__ import WORKS, main


def test_an_unknown_work_is_refused_with_the_works_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["lop"])
    assert refused.value.code == 2
    said = capsys.readouterr()
    assert not said.out
    assert "'lop'" in said.err
    assert all(work in said.err for work in WORKS)


@pytest.mark.parametrize("work", WORKS)
def test_each_work_is_a_module_that_compares(work: str) -> None:
    assert callable(import_module(f"benchmarks.{work}").compare)
