from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from airflow_mlops.domain.spec.loading import LARGEST, find, parse, read
from airflow_mlops.exceptions import SpecError


def value_of(scalar: str) -> object:
    return parse(f"key: {scalar}").value["key"]


def refusal(text: str) -> str:
    """Return what is wrong with a text, from the error or from the document."""
    try:
        return "\n".join(f"line {problem.line}: {problem.text}" for problem in parse(text).problems)
    except SpecError as error:
        return "\n".join(error.problems)


@pytest.mark.parametrize(
    "text",
    [
        "yes", "no", "on", "off", "NO", "y", "2013-01", "2013-01-07", "007", "0x1F", "1_000", "12:30:45", "+1",
        "NaN", "inf", "none", "2 of 3", "P7D", "1.2.3", "-.", ".", "e5", ".e5", "1e",
    ],
)  # fmt: skip
def test_what_yaml_would_turn_into_something_else_stays_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-3", -3), ("0", 0), ("0.60", 0.6), ("1e-3", 0.001), (".5", 0.5), ("1.", 1.0), ("-2.5E+2", -250.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("'1'", "1"), ('"true"', "true"),
    ],
)  # fmt: skip
def test_plain_numbers_booleans_and_null_are_what_they_look_like(text: str, value: object) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_a_block_of_text_stays_text() -> None:
    assert parse("key: |\n  12\n").value == {"key": "12\n"}


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", ".NaN", "1e999", "9" * 30, "9" * 5000])
def test_a_number_that_is_none_is_refused_with_its_line(number: str) -> None:
    document = parse(f"a: 1\nb: {number}\n")
    assert [(problem.line, problem.place) for problem in document.problems] == [(2, ("b",))]
    assert document.value == {"a": 1, "b": None}


def test_a_duplicate_key_is_refused_with_both_lines() -> None:
    assert (
        refusal("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n") == "line 5: is given twice, on lines 3 and 5; keep one"
    )


def test_the_first_of_duplicate_keys_is_read_on() -> None:
    assert parse("a: 1\na: 2\n").value == {"a": 1}


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!custom", "!!str", "!!timestamp"])
def test_a_tag_is_refused(tag: str) -> None:
    assert "tags are not allowed; remove " in refusal(f"a: {tag} [1]")
    assert refusal(f"a: {tag} [1]").startswith("line 1: ")


def test_an_alias_bomb_is_refused_without_being_expanded() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 60)
    )
    said = refusal(bomb)
    assert "line 1: anchors are not allowed; remove &a0" in said
    assert "line 2: aliases are not allowed; write out what *a0 stands for" in said


def test_an_alias_of_itself_is_refused() -> None:
    assert "aliases are not allowed" in refusal("a: &a [*a]")


@pytest.mark.parametrize("key", ["1", "true", "null", "2.5", "[a]", "{a: b}", "*a", ".nan"])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    assert "line 2: a key must be text, not" in refusal(f"x: 1\n? {key}\n: 2\n")


def test_quoted_and_ordinary_words_are_keys() -> None:
    assert parse("'1': a\nno: b\n<<: c\n").value == {"1": "a", "no": "b", "<<": "c"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n", "\n\n"])
def test_an_empty_file_is_called_empty(text: str) -> None:
    assert refusal(text) == "is empty; the shortest spec is in docs/model-spec.md"


@pytest.mark.parametrize(
    ("text", "what"), [("- a\n- b", "a list"), ("flight", "the text 'flight'"), ("3", "the number 3")]
)
def test_a_file_that_is_no_mapping_is_refused(text: str, what: str) -> None:
    assert refusal(text) == f"must be a mapping of keys to values, not {what}"


def test_a_second_document_is_refused() -> None:
    assert refusal("a: 1\n---\nb: 2\n") == "line 2: a second document begins here; a file holds one spec"


def test_deep_nesting_is_refused_before_it_costs_anything() -> None:
    assert "is nested deeper than 20 levels" in refusal("a: " + "[" * 500_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: 1\nb: x: y\n", "line 2, column 5: is no YAML: mapping values are not allowed in this context (text that holds a colon"),
     ("a:\n\tb: 1\n", "(indent with spaces, not tabs"),
     ("a: {partition}.parquet\n", "quote text that begins with {"),
     ("a: [1, 2\nb: 3\n", "is no YAML: "), ("a: \"x\n", "is no YAML: "), ("a: \x00", "is no YAML: ")],
)  # fmt: skip
def test_broken_yaml_is_named_with_its_line_and_a_hint(text: str, says: str) -> None:
    assert says in refusal(text)


def test_every_value_knows_its_line() -> None:
    document = parse("a: 1\nb:\n  - c: 2\n    d: [3,\n      4]\n")
    assert document.line(("a",)) == 1
    assert document.line(("b", 0, "d")) == 4
    assert document.line(("b", 0, "d", 1)) == 5
    assert document.line(("b", 0, "missing")) == 3
    assert document.line(("missing",)) is None


def test_a_place_below_a_name_is_found_with_and_without_the_name() -> None:
    document = parse("candidates:\n  - sklearn.svm.SVC:\n      C: 1\n      search:\n        gamma: []\n")
    for place in [("search", "gamma"), ("sklearn.svm.SVC", "search", "gamma")]:
        assert document.line(("candidates", 0, *place)) == 5
    assert document.line(("candidates", 0, "params", "C")) == 3


def test_no_text_breaks_the_reader_in_any_other_way_than_a_spec_error() -> None:
    chance = random.Random(0)
    alphabet = "ab:,-[]{}&*!|>'\"%@`#?.~ \n\t01é\ud7ff\x85"
    for _ in range(3000):
        text = "".join(chance.choices(alphabet, k=chance.randrange(1, 40)))
        with suppress(SpecError):
            assert isinstance(parse(text).value, dict)


def test_more_values_than_a_spec_has_are_refused_before_they_are_checked() -> None:
    assert "holds more than 10,000 values" in refusal("a: [" + "b," * 10_000 + "]")


def test_the_reader_without_the_c_library_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: [1, '2', 2013-01, no]\nb: {c: ~, 'd': \"x\", e: .5}\nf: &x !y 1\nf: *x\ng: |\n  3\n"
    fast = parse(text)
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert parse(text) == fast
    assert [problem.line for problem in fast.problems] == [3, 3, 4, 4]


def test_a_file_larger_than_a_spec_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_text("a: " + "x" * LARGEST)
    with pytest.raises(SpecError, match="is larger than 1 MiB"):
        read(file)


def test_a_file_that_is_no_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes("a: 1\nb: Zürich\n".encode("latin-1"))
    with pytest.raises(SpecError, match="line 2: is not UTF-8 text"):
        read(file)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "bom.yaml"
    file.write_bytes("\ufeffa: 1\r\n".encode())
    assert read(file).value == {"a": 1}


def test_a_relative_path_is_looked_for_beside_the_caller_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "dags", tmp_path / "here"
    for folder in (beside, here):
        folder.mkdir()
        (folder / "both.yaml").touch()
    (here / "only_here.yaml").touch()
    monkeypatch.chdir(here)
    caller = str(beside / "flights.py")
    assert find("both.yaml", caller) == beside / "both.yaml"
    assert find("only_here.yaml", caller) == here / "only_here.yaml"
    assert find("both.yaml", None) == here / "both.yaml"
    assert find(here / "only_here.yaml", caller) == here / "only_here.yaml"


def test_a_missing_file_is_named_in_both_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    caller = str(tmp_path / "dags" / "flights.py")
    with pytest.raises(SpecError) as raised:
        find("no.yaml", caller)
    assert f"looked for {tmp_path / 'dags' / 'no.yaml'} and {tmp_path / 'no.yaml'}" in str(raised.value)
