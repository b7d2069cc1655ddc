"""The channel that the documentation shows delivers."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from runpy import run_path
from types import ModuleType
from unittest.mock import Mock

import pytest

from airflow_mlops.domain.spec.alerts import Alerts
from airflow_mlops.reporting.alerts.judge import News
from airflow_mlops.reporting.alerts.post import post
from notices import make_notice, make_run

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"


def test_the_channel_of_the_documentation_brings_a_notice_to_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(
        r"```python\n((?:(?!```).)*class Room:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    # The provider of Slack is not installed here; its hook is where what we test ends.
    hook, slack = Mock(), ModuleType("slack_webhook")
    slack.SlackWebhookHook = Mock(return_value=hook)  # type: ignore[attr-defined]
    for name in ("slack", "slack.hooks"):
        monkeypatch.setitem(sys.modules, f"airflow.providers.{name}", ModuleType(name))
    monkeypatch.setitem(sys.modules, "airflow.providers.slack.hooks.slack_webhook", slack)
    script = tmp_path / "script.py"
    script.write_text(code.replace("AlertOperator(", "alert = AlertOperator("), encoding="utf-8")
    channel = run_path(str(script))["alert"].channel
    notice = make_notice(summary=("it did not pass",), links=make_run().links())
    news, policy = News([notice]), Alerts(email=("ml-team@example.com",))
    assert (
        post(f"file://{tmp_path}/outbox", make_run(), news, policy, channel)
        == "mailed to ml-team@example.com"
    )
    text = hook.send.call_args.kwargs["text"]
    assert text.startswith(
        "validate failed\nit did not pass\nhttps://airflow.example.com/team/dags/flights.ingest/"
    )
