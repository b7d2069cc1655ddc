from __future__ import annotations

from airflow_mlops.reporting.notes import LONGEST, entry, note


def test_a_note_names_each_partition_once() -> None:
    entries = [entry("2013-01", "12 rows"), entry("2013-01", "health ✓ PASS"), entry("2013-02", "7 rows")]
    assert note(entries, None, None) == "2013-01: 12 rows; health ✓ PASS; 2013-02: 7 rows"


def test_a_run_without_a_partition_says_no_more_than_that_it_failed() -> None:
    assert note([], None, "rollback") == "failed in rollback"
    assert note([], None, None) == ""


def test_what_stands_in_data_is_no_markup_of_the_page_that_shows_the_note() -> None:
    said = note([entry("2013-01", "![x](https://evil.example.com) <b>\n# big")], None, None)
    assert said == "2013-01: !\\[x\\](https://evil.example.com) \\<b> # big"


def test_a_note_is_not_cut_within_an_escaped_sign() -> None:
    for length in range(8):
        said = note([entry("", "x" * length + "*" * LONGEST)], None, None)
        assert len(said) <= LONGEST
        assert said.endswith("\\*…")
