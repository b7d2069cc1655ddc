from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_mlops.exceptions import ModelRefused, NotEnoughData
from airflow_mlops.learning.elsewhere import span
from airflow_mlops.stages.train.split import split_of
from airflow_mlops.stores.registry.elsewhere import ForeignVersion
from history import History

FEBRUARY = datetime(2013, 2, 1, tzinfo=UTC)


def version(**tags: str) -> ForeignVersion:
    return ForeignVersion("notebook", "3", "file:///models/3", tags, datetime(2013, 3, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "grain", "end"),
    [
        ("2013-01", "month", FEBRUARY),
        ("2013-01-31", "month", FEBRUARY),
        ("2013-01-31", "day", FEBRUARY),
        ("2013-01-31T18:00:00", "month", datetime(2013, 1, 31, 18, tzinfo=UTC)),
        ("2013-01-31T18:00:00", "month Europe/Berlin", datetime(2013, 1, 31, 17, tzinfo=UTC)),
        ("2013-01-31T18:00:00+01:00", "month", datetime(2013, 1, 31, 17, tzinfo=UTC)),
        ("2013-01-31", "month Europe/Berlin", datetime(2013, 1, 31, 23, tzinfo=UTC)),
    ],
)
def test_a_partition_a_day_and_a_time_name_the_end_of_a_training(
    text: str, grain: str, end: datetime
) -> None:
    assert span.moment(text, grain) == end
    assert span.until_of(version(trained_until=text), grain) == (end, "tag")


def test_a_version_that_says_nothing_cannot_have_learned_from_what_came_after_its_registration() -> None:
    assert span.until_of(version(), "month") == (datetime(2013, 3, 5, tzinfo=UTC), "registration")


def test_what_is_no_time_is_told_with_the_tag() -> None:
    with pytest.raises(
        ModelRefused, match="tag trained_until of version 3 of 'notebook': 'soon' is no partition"
    ):
        span.until_of(version(trained_until="soon"), "month")


@pytest.mark.slow
def test_the_holdout_begins_where_the_model_cannot_have_learned(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01")
    dataset = history.publish("2013-02")
    split = split_of(dataset, 1, "all", timedelta(0))
    assert span.after(split, dataset, FEBRUARY) is split
    middle = datetime(2013, 2, 15, tzinfo=UTC)
    later = span.after(split, dataset, middle)
    assert (later.start, later.cut, later.end) == (split.start, middle, split.end)
    assert later.train_rows + later.holdout_rows == split.train_rows + split.holdout_rows
    assert later.holdout_rows < split.holdout_rows
    with pytest.raises(NotEnoughData, match="2013-03-05 00:00, and 0 of the holdout.*tag trained_until"):
        span.after(split, dataset, datetime(2013, 3, 5, tzinfo=UTC))
