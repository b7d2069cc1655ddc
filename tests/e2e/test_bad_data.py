"""Bad data on a real scheduler: nothing bad is published, no row is lost, and people get one mail."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import pytest

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.catch_up import STAGES, CatchUp, StageRun
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables
from deployment import Deployment
from mail_server import body

MODEL = "orders"
JANUARY, FEBRUARY = Partition.parse("2013-01", "month"), Partition.parse("2013-02", "month")
ROWS = 600
ENDED = {"success", "failed"}
SPEC = """
name: orders
task: classification
target: late
key: [id]
event_time: at
partition: month
start: 2013-01
end: 2013-02
source:
  files: {folder}/{{partition}}.csv
pii: [email]
features: {{numeric: [weight]}}
validate:
  - expect_column_values_to_be_between: {{column: weight, min_value: 0, severity: quarantine}}
  - expect_column_values_to_not_be_null: {{column: weight}}
train: {{holdout: 0.25, candidates: [sklearn.linear_model.LogisticRegression]}}
alerts: {{email: [shop@example.com]}}
"""
DAG_FILE = """# Airflow looks for the word DAG in a file before it reads it.
from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.load("orders.yaml"))
"""

pytestmark = pytest.mark.slow


def rows(month: str, *, light: int = 0, lost: int = 0) -> list[list[str]]:
    """Build the orders of a month; ``light`` of them weigh less than nothing, ``lost`` have no weight."""
    table = [
        [
            f"{month}-{i}",
            f"{month}-{i % 28 + 1:02d}",
            f"{i % 7}.5",
            f"person{i}@example.com",
            f"{i % 3 == 0:d}",
        ]
        for i in range(ROWS)
    ]
    for number, row in enumerate(table[: light + lost]):
        row[2] = f"-{number + 1}" if number < light else ""
    return table


@dataclass(frozen=True)
class Shop:
    """A shop whose orders come as files, and the Airflow that reads them."""

    deployment: Deployment

    @property
    def mails(self) -> list[EmailMessage]:
        return self.deployment.mails("shop@example.com")

    def uri(self, table: str) -> str:
        return self.deployment.uri(MODEL, table)

    def write(self, month: str, table: list[list[str]]) -> None:
        lines = [",".join(row) for row in [["id", "at", "weight", "email", "late"], *table]]
        (self.deployment.home / "orders" / f"{month}.csv").write_text("\n".join(lines) + "\n")

    def clear(self, replay: CatchUp, partition: Partition) -> dict[str, StageRun]:
        """Run a partition again as the documentation says, and return the runs of all stages that follow."""
        before = replay.states()[partition.key]
        self.deployment.airflow.run(
            "dags", "clear", f"{MODEL}.ingest", "--partition-key", partition.key, "--yes"
        )

        def ended() -> dict[str, StageRun] | None:
            runs = replay.states()[partition.key]
            anew = all(
                stage in runs
                and (stage == "ingest" or runs[stage].run_id != getattr(before.get(stage), "run_id", None))
                for stage in STAGES
            )
            return runs if anew and all(run.state in ENDED for run in runs.values()) else None

        runs: dict[str, StageRun] = self.deployment.airflow.wait(
            ended, f"{partition} to end", seconds=180, interval=1
        )
        return runs


@pytest.fixture(scope="module")
def shop(deployment: Deployment) -> Shop:
    folder = deployment.home / "orders"
    folder.mkdir()
    stages = [f"{MODEL}.{stage}" for stage in STAGES]
    deployment.deploy({"orders.yaml": SPEC.format(folder=folder), "orders.py": DAG_FILE}, *stages)
    return Shop(deployment)


@pytest.fixture(scope="module")
def told(shop: Shop) -> dict[str, Any]:
    """A warned January, a stopped February, its correction, and the release of what January had set aside."""
    seen: dict[str, Any] = {}
    airflow = shop.deployment.airflow
    shop.write("2013-01", rows("2013-01", light=5))
    shop.write("2013-02", rows("2013-02", lost=3))
    replay = CatchUp(airflow, MODEL, JANUARY, FEBRUARY)
    replay.start()
    airflow.wait(replay.ended, "the months to end", seconds=180, interval=1)
    seen["warned"], seen["stopped"] = replay.states()["2013-01"], replay.states()["2013-02"]
    seen["first"] = tables.published(shop.uri("data"), "2013-01")
    seen["unpublished"] = tables.published(shop.uri("data"), "2013-02")
    seen["aside"] = tables.read(shop.uri("quarantine"), partition="2013-01")
    airflow.wait(lambda: len(shop.mails) >= 2, "the mails", seconds=30)
    seen["told"] = shop.mails
    shop.write("2013-02", rows("2013-02"))
    seen["mended"] = shop.clear(replay, FEBRUARY)
    seen["recovery"] = shop.mails[len(seen["told"]) :]
    seen["decision"] = ledger.decision(shop.uri("ledger"), "2013-02")
    seen["february"] = tables.published(shop.uri("data"), "2013-02")
    seen["said"] = airflow.run(
        "mlops", "quarantine", "release", MODEL, "--partition", "2013-01", "--reason", "returns weigh less"
    )
    seen["released"] = shop.clear(replay, JANUARY)
    return seen


def test_bad_rows_are_set_aside_and_the_others_go_on(told: dict[str, Any]) -> None:
    assert [told["warned"][stage].state for stage in STAGES] == ["success"] * 4
    assert told["first"].rows == ROWS - 5
    assert told["aside"].num_rows == 5


def test_one_mail_warns_of_the_rows_set_aside_and_shows_no_personal_data(told: dict[str, Any]) -> None:
    [mail] = [mail for mail in told["told"] if "2013-01" in mail["Subject"]]
    for part in ("weight", "5", "quarantine"):
        assert part in body(mail, "plain")
    whole = mail.as_string() + "".join(
        part.get_content() for part in mail.walk() if part.get_content_type().startswith("text/")
    )
    assert not re.search(r"person\d+@", whole)


def test_a_broken_partition_is_not_published_and_nothing_downstream_runs(told: dict[str, Any]) -> None:
    assert {stage: run.state for stage, run in told["stopped"].items()} == {"ingest": "failed"}
    assert len(told["told"]) == 2
    assert told["unpublished"] is None


def test_one_mail_says_what_is_wrong_with_the_stopped_partition(told: dict[str, Any]) -> None:
    [mail] = [mail for mail in told["told"] if "2013-02" in mail["Subject"]]
    assert mail["To"] == "shop@example.com"
    for part in ("weight", "3", "validation failed", "/mlops/reports/orders/2013-02/validation.html"):
        assert part in body(mail, "plain")


def test_a_recovery_follows_when_the_partition_passes(told: dict[str, Any], shop: Shop) -> None:
    assert [told["mended"][stage].state for stage in STAGES] == ["success"] * 4
    assert told["february"].rows == ROWS
    assert len(told["recovery"]) == 1
    assert "2013-02" in told["recovery"][0]["Subject"]


def test_released_rows_go_on_with_the_next_run_and_later_partitions_are_not_touched(
    told: dict[str, Any], shop: Shop
) -> None:
    assert "5 rows" in told["said"]
    assert "airflow dags clear orders.ingest --partition-key 2013-01 --yes" in told["said"]
    assert [told["released"][stage].state for stage in ("ingest", "score", "monitor")] == ["success"] * 3
    version = tables.published(shop.uri("data"), "2013-01")
    assert (version.rows, version.difference.added) == (ROWS, 5)
    assert tables.read(shop.uri("quarantine"), partition="2013-01").num_rows == 0
    assert tables.published(shop.uri("data"), "2013-02") == told["february"]
    assert ledger.decision(shop.uri("ledger"), "2013-02") == told["decision"]
    keys = tables.read(shop.uri("data"), columns=["id"])["id"].to_pylist()
    assert len(keys) == len(set(keys)) == 2 * ROWS
