"""Which texts are no number, truth value or time: exactly those that Arrow cannot convert, and numbers beyond a fraction."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from airflow_mlops.stores.sources.unreadable import misfits, plain, trimmed

KINDS = {
    "number": (pa.float64(), "0123456789+-.eEnaNifINty (),", ["nan", "-NaN", "+inf", "Infinity", "1.e5", ".5", "5.", "+1", "1e+"]),
    "truth value": (pa.bool_(), "truefalsTRUEFALS01 ", ["true", "tRuE", "FALSE", "1", "0", "yes"]),
    "time": (
        pa.timestamp("us", "UTC"), "0123456789-:TZ+. ",
        ["2024-01-02", "2024-02-30", "2024-01-02T03", "2024-01-02 03:04:05.1234567+02:00", "20240102", "-2024-01-02"],
    ),
}  # fmt: skip


def is_one(text: str, kind: pa.DataType) -> bool:
    return misfits(pa.array([text]), kind) == []


@pytest.mark.parametrize("name", ["number", "truth value"])
def test_what_arrow_converts_is_no_misfit_and_all_else_is(name: str) -> None:
    kind, letters, examples = KINDS[name]
    chance = random.Random(7)
    texts = ["".join(chance.choices(letters, k=chance.randrange(8))) for _ in range(3_000)]
    for example in examples * 50:
        place = chance.randrange(len(example))
        texts += [example, example[:place] + chance.choice(letters) + example[place + 1 :]]
    wrong = {texts[place] for place in misfits(pa.array(texts), kind)}
    assert wrong
    for text in {*texts}:
        plain = pa.array([text.strip()])
        try:
            value = plain.cast(kind)[0].as_py()
        except pa.ArrowInvalid:
            assert text in wrong
        else:
            is_beyond = value in (float("inf"), float("-inf")) and any(map(str.isdigit, text))
            assert (text in wrong) == is_beyond


def test_texts_among_others_are_what_they_are_alone() -> None:
    for kind, letters, examples in KINDS.values():
        texts = [*examples, *(f"{example}{letter}" for example in examples for letter in letters)]
        wrong = misfits(pa.array(texts), kind)
        assert wrong == [place for place, text in enumerate(texts) if not is_one(text, kind)]
        assert misfits(pa.array([*texts, None]), kind) == wrong


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts_are_trimmed_and_joined_whatever_holds_them(kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.array([], kind), pa.array([" 1 ", None], kind)])
    assert trimmed(plain(column).combine_chunks()).to_pylist() == ["1", None]
