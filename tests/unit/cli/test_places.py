from __future__ import annotations

from pathlib import Path

from airflow_mlops.cli import places


def test_a_file_that_no_parser_can_read_hides_no_spec(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("[" * 5_000 + "]" * 5_000)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff")
    (tmp_path / "spec.yaml").write_text("name: flights\n")
    assert list(places.specs_of("flights", [tmp_path])) == [tmp_path / "spec.yaml"]
