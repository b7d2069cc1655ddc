from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from airflow_mlops.stores import zones

ZONES = [
    "Europe/Berlin",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]


def moments(first: str, last: str) -> np.ndarray:
    span = np.array([first, last], "datetime64[s]").astype(np.int64)
    return np.random.default_rng(0).integers(*span, 3_000).astype("datetime64[s]").astype("datetime64[us]")


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("span", [("1885-01-01", "1960-01-01"), ("2010-06-01", "2012-06-01")])
def test_columns_show_what_python_shows_for_each_instant(name: str, span: tuple[str, str]) -> None:
    instants, zone = moments(*span), ZoneInfo(name)
    one_by_one = [
        moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) for moment in instants.tolist()
    ]
    clocks = zones.clocks(instants, zone)
    assert clocks.tolist() == one_by_one
    first, last = zones.instants(clocks, zone)
    assert ((first == instants) | (last == instants)).all()


@pytest.mark.parametrize("name", ZONES)
def test_each_instant_of_a_clock_shows_it_and_others_are_missing(name: str) -> None:
    clocks, zone = moments("2011-01-01", "2012-01-01"), ZoneInfo(name)
    first, last = zones.instants(clocks, zone)
    shown = ~np.isnat(first)
    assert (zones.clocks(first, zone)[shown] == clocks[shown]).all()
    assert (zones.clocks(last, zone)[shown] == clocks[shown]).all()
    assert shown.mean() > 0.99


def test_missing_times_and_those_beyond_all_years_break_nothing() -> None:
    clocks = np.array(["NaT", "0001-01-01", "9999-12-31", "20000-01-01"], "datetime64[us]")
    first, last = zones.instants(clocks, ZoneInfo("Europe/Berlin"))
    assert np.isnat(first).tolist() == [True, False, False, False]
    assert (first[1:] == last[1:]).all()


def test_no_times_are_no_instants() -> None:
    nothing = np.array([], "datetime64[us]")
    assert zones.clocks(nothing, ZoneInfo("Europe/Berlin")).size == 0
    assert zones.instants(nothing, UTC)[0].size == 0
    midnight = np.array(["2024-01-01"], "datetime64[us]")
    assert zones.instants(midnight, UTC)[0] == midnight
