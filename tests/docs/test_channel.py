"""The channel that the documentation shows delivers."""

from __future__ import annotations

import re
from pathlib import Path
from runpy import run_path
from typing import Any
from unittest.mock import Mock

from airflow_mlops.domain.spec.alerts import Alerts
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.judge import News
from airflow_mlops.reporting.alerts.post import post
from notices import make_notice, make_run

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"


def test_the_channel_of_the_documentation_brings_a_notice_to_its_room(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(class Room:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    hook = Mock()
    names: dict[str, Any] = {
        "Receipt": Receipt,
        "SlackWebhookHook": Mock(return_value=hook),
        "AlertOperator": Mock(),
    }
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    run_path(str(tmp_path / "script.py"), names)
    channel = names["AlertOperator"].call_args.kwargs["channel"]
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
