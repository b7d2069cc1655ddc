from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops.domain.spec.source import Delta
from airflow_mlops.exceptions import RETRYABLE, PlaceRefused
from airflow_mlops.stores.tables import places, tables

EVIL = [
    "../evil",
    "a/b",
    "",
    ".",
    "..",
    "a#b",
    "a?b",
    "a%20b",
    "Flights",
    "flights-2",
    "a b",
    "a\n",
    "a" * 101,
]


def test_a_table_has_its_place_below_its_dataset() -> None:
    assert places.uri_of("s3://bucket/mlops/", "flights", "data") == "s3://bucket/mlops/flights/data"


@pytest.mark.parametrize("name", EVIL)
def test_what_no_spec_could_name_has_no_place_as_a_dataset_nor_as_a_table(name: str) -> None:
    with pytest.raises(PlaceRefused, match="dataset or model: .* cannot name"):
        places.uri_of("file:///data", name, "data")
    with pytest.raises(PlaceRefused, match="table: .* cannot name"):
        places.uri_of("file:///data", "flights", name)
    with pytest.raises(ValueError, match="cannot name"):
        Delta(dataset=name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../evil", "a b", "a#b", "a?b", "a%20b", "a\n", "a" * 251]
)
def test_a_page_lies_in_one_folder(name: str) -> None:
    with pytest.raises(PlaceRefused, match="is not one folder"):
        places.page_of(name, "2013-01", "drift")


def test_a_page_may_be_of_a_source_that_has_no_table() -> None:
    place = places.page_of("Shop.check-1", "2013-01", "validation")
    assert place == "Shop.check-1/2013-01/validation.html"


@pytest.mark.parametrize("name", [None, 7, ["a"]])
def test_what_is_no_text_is_refused_as_a_name_and_not_as_a_programming_error(name: object) -> None:
    with pytest.raises(PlaceRefused, match="cannot name"):
        places.uri_of("file:///data", name, "data")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["reports", "artifacts", "changes"])
def test_folders_of_ours_are_no_datasets(name: str) -> None:
    with pytest.raises(PlaceRefused, match="a folder of ours beside the tables"):
        places.uri_of("file:///data", name, "data")
    assert not places.is_name(name)


def test_a_retry_cannot_help_a_name() -> None:
    assert not issubclass(PlaceRefused, RETRYABLE)


@pytest.mark.parametrize("folder", ["plain", "with space", "größe", "100%", "a%b", "x{y}", "it's", "a&b=c"])
def test_in_a_folder_that_is_taken_each_table_has_a_place_of_its_own(folder: str, tmp_path: Path) -> None:
    storage = places.root(f"file://{tmp_path}/{folder}")
    for table in ("data", "labels"):
        tables.replace_partition(
            places.uri_of(storage, "flights", table), pa.table({"of": [table]}), "2013-01"
        )
    for table in ("data", "labels"):
        assert tables.read(places.uri_of(storage, "flights", table))["of"].to_pylist() == [table]
        assert (tmp_path / folder / "flights" / table / "_delta_log").is_dir()


@pytest.mark.parametrize(
    "folder", ["a#b", "a?b", "a%20b", "a%2Fb", "a\\b", "a\tb", "a/../b", "a/./b", "..", "."]
)
def test_a_folder_that_readers_disagree_on_is_refused(folder: str) -> None:
    with pytest.raises(PlaceRefused, match="^it holds "):
        places.root(f"file:///data/{folder}")


def test_two_slashes_are_one_on_a_disk_and_two_folders_in_a_bucket() -> None:
    assert places.root("file:///data//mlops/") == "file:///data//mlops"
    with pytest.raises(PlaceRefused, match="two slashes in a row"):
        places.root("s3://bucket//mlops")


@pytest.mark.parametrize("uri", ["hdfs:///data/flights", "s3:///data/flights"])
def test_an_address_without_a_host_is_refused_and_not_tried_again(uri: str) -> None:
    with pytest.raises(PlaceRefused, match="is no place for tables"):
        tables.exists(uri)
