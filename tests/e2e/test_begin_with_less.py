"""Data alone, and predictions that another system makes, on a real scheduler: two DAG files, and the mails of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.stages.monitor import health
from airflow_mlops.stores.tables import tables
from deployment import Deployment
from mail_server import body

DATA = """name: shop_orders
key: [id]
event_time: at
partition: month
start: 2024-01
end: 2024-03
source: {{files: "{folder}/{{partition}}.csv"}}
validate:
  - expect_column_values_to_be_between: {{column: age, min_value: 0, severity: quarantine}}
alerts: {{email: [data@example.com]}}
"""
WATCHED = """name: shop_scores
task: classification
target: bought
key: [id]
event_time: at
partition: month
start: 2024-01
end: 2024-03
source: {{files: "{folder}/{{partition}}.csv"}}
features: {{numeric: [age]}}
predictions: {{probability: p, reference: 1}}
monitor: {{drift: {{min_rows: 300}}, performance: {{floor: {{roc_auc: 0.6}}}}}}
alerts: {{email: [scores@example.com]}}
"""
DAG = """# Airflow looks for the word DAG in a file before it reads it.
from airflow_mlops import continuous_training, load_spec

continuous_training(load_spec("models/{name}.yaml"))
"""
DAGS = ("shop_orders.ingest", "shop_scores.ingest", "shop_scores.monitor")
ROWS = 600

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def people(key: str, *, older: float = 0.0, bad: int = 0) -> pa.Table:
    """Return a month's customers: what another system has said of them, and whether they bought."""
    random = np.random.default_rng(int(key.replace("-", "")))
    age = np.clip(random.normal(40 + older, 8, ROWS), 1, None)
    p = 1 / (1 + np.exp((age - 40) / 8))
    age[:bad] = -1
    return pa.table(
        {
            "id": [f"{key}-{number}" for number in range(ROWS)],
            "at": [f"{key}-{number % 28 + 1:02d} 12:00:00" for number in range(ROWS)],
            "age": age,
            "p": p,
            "bought": (random.random(ROWS) < p).astype("int64"),
        }
    )


def until(deployment: Deployment, condition: Callable[[], Any], what: str) -> Any:
    return deployment.airflow.wait(condition, what, seconds=240, interval=1)


def test_data_alone_and_predictions_of_another_system_are_looked_after(deployment: Deployment) -> None:
    folder = deployment.home / "people"
    folder.mkdir()
    for key, rows in {
        "2024-01": people("2024-01"),
        "2024-02": people("2024-02", bad=5),
        "2024-03": people("2024-03", older=15),
    }.items():
        csv.write_csv(rows, folder / f"{key}.csv")
    texts = {"shop_orders": DATA, "shop_scores": WATCHED}
    files = {f"models/{name}.yaml": text.format(folder=folder) for name, text in texts.items()}
    files |= {f"{name}.py": DAG.format(name=name) for name in texts}
    deployment.deploy(files, *DAGS)
    for dag in DAGS:
        deployment.airflow.call("PATCH", f"dags/{dag}", json={"is_paused": False})

    monitoring = deployment.uri("shop_scores", "monitoring")
    for key in ("2024-01", "2024-02", "2024-03"):
        for name in texts:
            run = deployment.start(f"{name}.ingest", partition_key=key)
            assert deployment.ended(f"{name}.ingest", run) == "success"
        until(
            deployment,
            lambda key=key: any(report.partition == key for report in health.history(monitoring)),
            f"the verdict on {key}",
        )

    published = tables.published(deployment.uri("shop_orders", "data"), "2024-02")
    assert published is not None
    assert published.rows == ROWS - 5
    assert tables.read(deployment.uri("shop_orders", "quarantine"), partition="2024-02").num_rows == 5
    [aside] = deployment.mails("data@example.com")
    assert "shop_orders 2024-02: validation passed with warnings, 5 rows set aside" in str(aside["Subject"])

    third, second, first = health.history(monitoring)
    assert (first.drift.verdict, second.drift.verdict, third.drift.verdict) == (
        Verdict.INCONCLUSIVE,
        Verdict.PASS,
        Verdict.FAIL,
    )
    assert second.performance.verdict is Verdict.PASS
    assert third.champion is not None
    assert third.champion.version == "external"
    [unwell] = until(deployment, lambda: deployment.mails("scores@example.com"), "the mail about March")
    assert "shop_scores 2024-03: the model is in bad health (drift" in str(unwell["Subject"])
    assert "Another system makes these predictions" in " ".join(body(unwell, "plain").split())
    assert not any(
        tables.exists(deployment.uri(name, table)) for name in texts for table in ("ledger", "challenger")
    )
