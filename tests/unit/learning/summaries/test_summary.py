from __future__ import annotations

from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.spec.model import DriftPolicy
from airflow_mlops.learning.summaries import build, summary
from airflow_mlops.learning.summaries.summary import Column, ColumnKind
from airflow_mlops.learning.summaries.table import from_table, keep, kept, to_table
from airflow_mlops.stages.drift import compare
from airflow_mlops.stores.tables import tables

KINDS = ("normal", "heavy", "discrete", "constant", "holes")


def make_rows(seed: int, count: int = 30_000) -> pa.Table:
    random = np.random.default_rng(seed)
    holes = np.where(random.random(count) < 0.9, np.nan, random.normal(size=count))
    return pa.table(
        {
            "normal": random.normal(seed / 20, 1, count),
            "heavy": random.pareto(1.5, count),
            "discrete": random.poisson(3, count),
            "constant": np.full(count, 0.1),
            "holes": pa.array(holes, from_pandas=True),
            "label": random.choice(["a", "b", "c"], count, p=[0.5, 0.3, 0.2]),
        }
    )


def summarise(table: pa.Table) -> dict[str, Column]:
    return build.summarise(table.to_batches(4096), numeric=KINDS, categorical=("label",))


def numbers(values: Any) -> Column:
    return build.summarise([pa.table({"x": values})], numeric=("x",), categorical=())["x"]


def labels(values: Any) -> Column:
    return build.summarise([pa.table({"x": values})], numeric=(), categorical=("x",))["x"]


def counted(column: Column) -> dict[Any, int]:
    return dict(zip(column.values.tolist(), column.counts.tolist(), strict=True))


def verdict(parts: list[dict[str, Column]]) -> compare.Drift:
    now = {name: summary.merge(part[name] for part in parts) for name in parts[0]}
    return judged(now)


def judged(now: dict[str, Column]) -> compare.Drift:
    return compare.compare(summarise(make_rows(0)), now, policy=DriftPolicy(), title="t", page=False)


@pytest.mark.parametrize("seed", range(3))
def test_summaries_added_up_in_any_order_and_grouping_give_the_same_verdict(seed: int) -> None:
    parts = [summarise(make_rows(place)) for place in range(1, 8)]
    expected = verdict(parts)
    random = np.random.default_rng(seed)
    shuffled = [parts[place] for place in random.permutation(len(parts))]
    assert verdict(shuffled) == expected
    cuts = [0, *sorted(random.choice(range(1, 7), 3, replace=False)), 7]
    grouped = [
        {name: summary.merge(part[name] for part in shuffled[first:last]) for name in parts[0]}
        for first, last in pairwise(cuts)
    ]
    assert verdict(grouped) == expected
    one_by_one = {
        name: reduce(lambda one, other: summary.merge([one, other]), (part[name] for part in shuffled))
        for name in parts[0]
    }
    assert judged(one_by_one) == expected


def test_summaries_of_parts_say_what_the_summary_of_the_whole_says() -> None:
    tables = [make_rows(place) for place in range(1, 5)]
    whole, parts = summarise(pa.concat_tables(tables)), [summarise(table) for table in tables]
    together = {name: summary.merge(part[name] for part in parts) for name in whole}
    for one, other in zip(judged(whole).columns, judged(together).columns, strict=True):
        assert (one.verdict, one.n) == (other.verdict, other.n)
        assert one.observed == pytest.approx(other.observed, abs=2e-5)
    for name in KINDS:
        assert together[name].deviation == pytest.approx(whole[name].deviation, rel=1e-9)


def test_a_summary_keeps_the_exact_facts_of_its_numbers() -> None:
    values = np.random.default_rng(0).lognormal(0, 2, 100_000)
    found = numbers([*values, None, float("nan"), float("inf"), float("-inf")])
    assert (found.rows, found.missing, found.infinite, found.present) == (100_004, 2, 2, 100_000)
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.deviation == pytest.approx(values.std(), rel=1e-12)
    assert np.average(found.values, weights=found.counts) == pytest.approx(values.mean(), rel=1e-12)
    assert len(found.values) <= summary.BINS


def test_numbers_that_repeat_are_kept_as_they_are() -> None:
    assert counted(numbers([0.1] * 3 + [0.3] * 2)) == {0.1: 3, 0.3: 2}
    often = numbers(np.concatenate([np.full(500_000, 0.1), np.random.default_rng(0).normal(size=500_000)]))
    assert counted(often)[0.1] == 500_000


def test_a_number_is_binned_by_at_most_a_five_thousandth_of_the_rows() -> None:
    values = np.random.default_rng(0).normal(size=1_000_000)
    found = numbers(values)
    assert found.counts.max() <= len(values) / 5000
    places = np.searchsorted(np.sort(values), found.values)
    assert np.abs(places - (np.cumsum(found.counts) - found.counts / 2)).max() < len(values) / 5000


def test_gaps_do_not_make_other_categories_of_whole_numbers() -> None:
    whole = labels(pa.array([1, 2, 2]))
    assert counted(whole) == counted(labels(pa.array([1.0, 2.0, 2.0, None]))) == {"2": 2, "1": 1}


def test_categories_beyond_the_limit_are_counted_together() -> None:
    rare = [f"c{place}" for place in range(summary.CATEGORIES + 500)]
    found = labels(["often"] * 10 + rare + [None])
    assert (len(found.values), found.others, found.missing) == (summary.CATEGORIES, 501, 1)
    assert (found.values[0], found.counts[0], found.present) == ("often", 10, len(rare) + 10)


def test_samples_of_categories_add_up_to_that_of_all_rows_and_survive_a_table() -> None:
    names = [f"c{place % 150_000}" for place in range(400_000)]
    whole = labels(names).sample
    parts = [labels(names[start : start + 100_000]) for start in range(0, 400_000, 100_000)]
    read = [from_table(to_table({"": {"x": part}}))[""]["x"] for part in parts]
    added = summary.compact(summary.merge([summary.merge(read[:1]), summary.merge(read[1:])])).sample
    for found in (whole, added):
        assert found is not None
        assert len(found.hashes) / found.share == pytest.approx(150_000, rel=0.03)
        assert set(found.counts.tolist()) == {2, 3}
    limit = min(whole.limit, added.limit)  # type: ignore[union-attr]
    one, other = (found.below(limit) for found in (whole, added))  # type: ignore[union-attr]
    assert (one.hashes == other.hashes).all()
    assert (one.counts == other.counts).all()


def test_a_column_that_lists_all_of_its_categories_is_its_own_sample() -> None:
    column = labels(["a", "b", "a"])
    assert column.sampled is None
    assert column.sample is not None
    assert (sorted(column.sample.counts.tolist()), column.sample.share) == ([1, 2], 1.0)
    table = to_table({"": {"x": column}})
    former = table.drop_columns(["hashes", "hashed", "limit"])
    assert counted(from_table(former)[""]["x"]) == {"a": 2, "b": 1}


def test_a_table_of_a_former_build_takes_and_keeps_samples(tmp_path: Path) -> None:
    uri, many = f"file://{tmp_path}/summaries", labels([f"c{place}" for place in range(11_000)])
    former = to_table({"": {"x": labels(["a"])}}).drop_columns(["hashes", "hashed", "limit"])
    tables.replace_partition(uri, former, "2013-01")
    keep(uri, "2013-02", {"": {"x": many}}, [])
    assert counted(kept(uri, "2013-01")[""]["x"]) == {"a": 1}
    found = kept(uri, "2013-02")[""]["x"].sample
    assert found is not None
    assert many.sample is not None
    assert (found.limit, found.counts.tolist()) == (many.sample.limit, many.sample.counts.tolist())


def test_a_long_text_is_kept_short_and_apart_from_others() -> None:
    first, second = "x" * 10_000, "x" * 9_999 + "y"
    found = labels([first, second, first])
    assert sorted(found.counts.tolist()) == [1, 2]
    assert all(len(value) < 200 for value in found.values)


def test_what_could_not_be_read_stays_so_when_it_is_added_up() -> None:
    found = summary.merge([numbers([1.0]), numbers(["a"])])
    assert (found.problem, found.rows, found.present) == ("it holds string, not numbers", 2, 0)


@pytest.mark.parametrize("columns", [[], [ColumnKind.NUMERIC, ColumnKind.CATEGORICAL]])
def test_summaries_of_different_kinds_cannot_be_added_up(columns: list[ColumnKind]) -> None:
    with pytest.raises(ValueError, match="cannot be added up"):
        summary.merge([summary.empty(kind) for kind in columns])


def test_a_summary_as_a_table_is_small_and_comes_back_as_it_was(tmp_path: Any) -> None:
    import pyarrow.parquet as pq

    made = summarise(make_rows(0, 300_000)) | {
        "empty": summary.empty(ColumnKind.NUMERIC, 3),
        "bad": numbers(["a"]),
    }
    pq.write_table(to_table({"all": made}), tmp_path / "x.parquet", compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 100_000 * len(made)
    back = from_table(pq.read_table(tmp_path / "x.parquet"))["all"]
    assert list(back) == list(made)
    for name, column in made.items():
        facts = ("kind", "rows", "missing", "infinite", "squares", "low", "high", "others", "problem")
        assert [getattr(back[name], fact) for fact in facts] == [getattr(column, fact) for fact in facts]
        assert counted(back[name]) == counted(column)


def test_memory_does_not_grow_with_the_rows() -> None:
    import tracemalloc

    def batches(count: int) -> Any:
        random = np.random.default_rng(0)
        for _ in range(count):
            yield pa.record_batch({"x": random.normal(size=65_536)})

    peaks = []
    for count in (20, 80):
        tracemalloc.start()
        build.summarise(batches(count), numeric=("x",), categorical=())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("rows", [10_001, 12_345, 190_476])
def test_values_of_one_row_each_are_binned_as_if_they_were_searched_for(rows: int) -> None:
    values = np.sort(np.random.default_rng(rows).normal(size=rows))
    means, counts = summary.bins(*summary.collapse(values, None))
    # Doubled counts have the same bins, and are searched for.
    doubled, twice = summary.bins(values, np.full(rows, 2))
    assert counts.sum() == rows
    assert (2 * counts == twice).all()
    np.testing.assert_allclose(means, doubled, rtol=1e-12)
