from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_mlops.domain.spec.alerts import Alerts, Event, Level
from airflow_mlops.exceptions import SpecError

BOTH = (Level.URGENT, Level.WARNING)


def test_by_default_a_day_passes_before_the_same_is_mailed_again_and_promotions_are_not() -> None:
    alerts = Alerts()
    assert alerts.cooldown == timedelta(days=1)
    assert alerts.digest is None
    assert set(Event) - set(alerts.events) == {Event.PROMOTION}


def test_it_comes_back_as_it_was_written() -> None:
    values = {
        "email": ["a@example.com"],
        "warnings": ["b@example.com"],
        "events": ["failure", "promotion"],
        "cooldown": "P0D",
        "digest": "P7D",
    }
    assert Alerts.from_dict(values).to_dict() == values


@pytest.mark.parametrize(
    ("warnings", "urgent", "quiet", "both"),
    [
        (None, ["a", "b"], ["a", "b"], ["a", "b"]),
        ([], ["a", "b"], [], ["a", "b"]),
        (["b", "c"], ["a", "b"], ["b", "c"], ["a", "b", "c"]),
    ],
)
def test_recipients_follow_from_how_urgent_it_is(
    warnings: Any, urgent: list[str], quiet: list[str], both: list[str]
) -> None:
    def addresses(names: Any) -> Any:
        return names if names is None else [f"{name}@example.com" for name in names]

    alerts = Alerts(email=addresses("ab"), warnings=addresses(warnings))
    for levels, named in (((Level.URGENT,), urgent), ((Level.WARNING,), quiet), (BOTH, both)):
        assert list(alerts.recipients(levels)) == addresses(named)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"warnings": "a@example.com"}, r"warnings: must be a list"),
        ({"warnings": ["a@example.com", "a@example.com"]}, r"warnings\[1\]: .* is listed twice"),
        ({"email": ["späť@example.com"]}, r"email\[0\]: must be a mail address"),
        ({"email": ["a@example.com\nBcc: b@example.com"]}, r"email\[0\]: must be one line"),
        ({"events": ["failures"]}, r"events\[0\]"),
        ({"cooldown": "1 day"}, r"cooldown: must be a duration"),
        ({"digest": "P0D"}, r"digest: must be longer than no time"),
        ({"on": ["failure"]}, r"on"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Alerts.from_dict(values)
