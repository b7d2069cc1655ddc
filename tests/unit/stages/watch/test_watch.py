"""Predictions that another system makes: taken, compared with a reference, and judged by labels that come later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops import ModelSpec, MonitoringSpec
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, HealthReport
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.loop import loop
from airflow_mlops.stages.loop.plan import LoopPlan, WatchPlan
from airflow_mlops.stages.watch import predictions
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.tables import tables
from history import month
from synthetic import make_client

pytestmark = pytest.mark.slow  # fits calibrations

KEYS = ("2024-01", "2024-02", "2024-03", "2024-04")
ROWS = 900
SPEC: dict[str, Any] = {
    "name": "churn",
    "task": "classification",
    "target": "churned",
    "key": ["customer"],
    "event_time": "at",
    "partition": "month",
    "source": {"python": "nowhere:read"},
    "features": {"numeric": ["age", "spent"]},
    "predictions": {"prediction": "says", "probability": "p", "version": "model", "reference": 2},
    "monitor": {"performance": {"floor": {"roc_auc": 0.6}, "drop": 0.1}},
}


def made(key: str, *, shift: float = 0.0, skill: float = 2.0, version: str = "7") -> pa.Table:
    """Return a month's customers with what their system has said of them, and whether they churned.

    :param skill: how much the label depends on what the system has seen.
    """
    first = month(key).start
    random = np.random.default_rng(int(key.replace("-", "")))
    age = random.normal(40 + shift, 10, ROWS)
    spent = random.gamma(2, 50, ROWS)
    seen = (age - 40) / 10
    p = 1 / (1 + np.exp(-2 * seen))
    churned = random.random(ROWS) < 1 / (1 + np.exp(-skill * seen))
    return pa.table(
        {
            "customer": [f"{key}-{number}" for number in range(ROWS)],
            "at": pa.array([first] * ROWS, pa.timestamp("us", "UTC")),
            "age": age,
            "spent": spent,
            "p": p,
            "says": (p >= 0.5).astype("int64"),
            "model": [version] * ROWS,
            "churned": churned.astype("int64"),
        }
    )


class System:
    """Another system's months, and the plan that watches them."""

    def __init__(self, folder: Path, months: dict[str, pa.Table], **changes: Any) -> None:
        self.months = months
        self.pages: dict[str, bytes] = {}
        self.plan = WatchPlan(
            spec=MonitoringSpec.from_dict(SPEC | changes),
            source=PythonSource(self.read),
            storage=f"file://{folder}/storage",
            write=self.pages.__setitem__,
            pictures=False,
        )

    def read(self, partition: Partition | None) -> pa.Table | None:
        return self.months.get(partition.key) if partition else None

    def run(self) -> list[HealthReport]:
        steps = list(loop.run(self.plan, map(month, self.months)))
        assert [step.problem for step in steps] == [""] * len(steps)
        return [step.health for step in steps]


def named(report: HealthReport, name: str) -> Check:
    checks = [report.drift, report.performance, report.staleness, *report.columns, *report.others]
    return next(check for check in checks if check.name == name)


def without(rows: pa.Table, *names: str) -> pa.Table:
    return rows.drop_columns(list(names))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[System, list[HealthReport]]:
    months = {key: made(key) for key in KEYS[:3]}
    # In April customers are older, and what they do no longer depends on it.
    months["2024-04"] = made("2024-04", shift=15, skill=0.0)
    system = System(tmp_path_factory.mktemp("watched"), months)
    return system, system.run()


def test_predictions_become_those_of_a_version_without_a_model(
    watched: tuple[System, list[HealthReport]],
) -> None:
    system, reports = watched
    rows = tables.read(system.plan.uri("predictions"), partition="2024-03")
    theirs = system.months["2024-03"]
    assert dict(zip(rows["customer"].to_pylist(), rows["score"].to_pylist(), strict=True)) == dict(
        zip(theirs["customer"].to_pylist(), theirs["p"].to_pylist(), strict=True)
    )
    assert set(rows["model_version"].to_pylist()) == {"7"}
    assert [report.champion.version for report in reports if report.champion] == ["7"] * 4
    assert not any(tables.exists(system.plan.uri(name)) for name in ("ledger", "challenger"))


def test_drift_is_judged_against_the_reference(watched: tuple[System, list[HealthReport]]) -> None:
    _, reports = watched
    assert [report.drift.verdict for report in reports] == [
        Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.FAIL,
    ]  # fmt: skip
    assert reports[0].drift.reason == "the reference is of the first 2 partitions, and 1 are published"
    assert reports[1].drift.reason == "2024-02 is not after the reference, 2024-01 to 2024-02"
    assert named(reports[3], "drift.age").verdict is Verdict.FAIL
    assert named(reports[3], "drift.spent").verdict is Verdict.PASS
    assert named(reports[3], "drift.prediction").verdict is Verdict.FAIL


def test_quality_is_judged_on_labels_and_against_the_reference(
    watched: tuple[System, list[HealthReport]],
) -> None:
    system, reports = watched
    assert [report.performance.verdict for report in reports[2:]] == [Verdict.PASS, Verdict.FAIL]
    months = [system.months[key] for key in KEYS]
    aucs = [
        measures.measure("roc_auc", rows["churned"].to_numpy().astype(float), rows["p"].to_numpy())
        for rows in (pa.concat_tables(months[:2]), months[2])
    ]
    assert reports[2].performance.observed == pytest.approx(aucs[1])
    assert reports[2].performance.baseline == pytest.approx(aucs[0])
    assert "in the reference" in reports[3].performance.reason
    assert named(reports[2], "baseline").verdict is Verdict.PASS
    assert reports[3].verdict is Verdict.FAIL
    assert named(reports[3], "staleness").reason == "another system trains the model"


def test_quality_is_estimated_by_the_labels_of_the_reference(
    watched: tuple[System, list[HealthReport]],
) -> None:
    _, reports = watched
    estimate = named(reports[2], "estimate")
    assert estimate.observed == pytest.approx(reports[2].performance.observed, abs=0.05)
    # It cannot see that the labels have another meaning by now.
    assert named(reports[3], "estimate").observed > reports[3].performance.observed + 0.1


def test_what_was_judged_is_left_out_the_next_time(watched: tuple[System, list[HealthReport]]) -> None:
    system, _ = watched
    assert loop.undecided(system.plan, map(month, (*KEYS, "2024-05"))) == ([month("2024-05")], [])


def test_without_labels_drift_is_judged_and_quality_estimated_by_the_word_of_the_spec(tmp_path: Path) -> None:
    months = {key: without(made(key), "churned", "says", "model") for key in KEYS[:3]}
    named_so = {"probability": "p", "reference": "2024-01", "calibrated": True}
    reports = System(tmp_path, months, predictions=named_so).run()
    assert reports[2].drift.verdict is Verdict.PASS
    assert reports[2].performance.verdict is Verdict.INCONCLUSIVE
    truth = made("2024-03")["churned"].to_numpy().astype(float)
    real = measures.measure("roc_auc", truth, made("2024-03")["p"].to_numpy())
    assert named(reports[2], "estimate").observed == pytest.approx(real, abs=0.05)
    assert reports[2].champion is not None
    assert reports[2].champion.version == "external"


def test_partitions_before_any_label_can_be_due_need_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    months = {key: made(key) for key in KEYS}
    due = months["2024-01"].select(["customer", "at", "churned"])

    def known(partition: Partition | None) -> pa.Table:
        if partition is None or partition.key != "2024-02":
            raise FileNotFoundError("there is no file")
        return due

    # The rows of January are due in the course of February.
    system = System(tmp_path, months, labels={"delay": "P31D", "source": {"python": "nowhere:labels"}})
    object.__setattr__(system.plan, "labels", PythonSource(known))
    january, february, march, april = loop.run(system.plan, map(month, months))
    assert [january.problem, february.problem] == ["", ""]
    assert january.health.performance.reason == "0 rows with matured labels; 100 are needed"
    assert "churn 2024-01 goes on without labels: there is nothing at " in caplog.text
    assert february.health.metrics["roc_auc"] is not None
    for step in (march, april):
        assert step.health is None
        assert step.problem.startswith("labels.source: ")
        assert "there is no file" in step.problem


def test_chosen_classes_alone_are_judged_by_metrics_of_classes_alone(tmp_path: Path) -> None:
    months = {key: without(made(key), "p") for key in KEYS[:3]}
    system = System(
        tmp_path,
        months,
        predictions={"prediction": "says", "reference": 1},
        monitor={"performance": {"floor": {"f1": 0.5}}},
    )
    reports = system.run()
    rows = months["2024-03"]
    right = (rows["says"].to_numpy() == rows["churned"].to_numpy()).mean()
    assert reports[2].metrics["accuracy"] == pytest.approx(right)
    assert "roc_auc" not in reports[2].metrics
    history = tables.read(system.plan.uri("performance"))["report"].to_pylist()
    assert not any('"roc_auc"' in report for report in history)
    assert "estimate" not in [check.name for check in reports[2].others]


def test_a_predicted_number_is_judged_too(tmp_path: Path) -> None:
    def bill(key: str) -> pa.Table:
        rows = without(made(key), "says", "p", "model")
        noise = np.random.default_rng(1).normal(0, 5, ROWS)
        return rows.append_column("guess", pa.array(rows["spent"].to_numpy() + noise))

    changes = {
        "task": "regression", "target": "spent", "features": {"numeric": ["age"]},
        "predictions": {"prediction": "guess", "reference": 1}, "monitor": {},
    }  # fmt: skip
    reports = System(tmp_path, {key: bill(key) for key in KEYS[:2]}, **changes).run()
    assert reports[1].metrics["rmse"] == pytest.approx(5, rel=0.1)
    assert reports[1].performance.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"p": pa.array([1.5] * ROWS)}, "900 rows have a 'p' that is no probability from 0 to 1"),
        ({"says": pa.array([2] * ROWS)}, "'says' has '2', and the classes of 'churned' are 0, 1"),
        (
            {"p": pa.array([0.1] * ROWS)},
            "rows are put in another class than a probability of 0.5 or more says",
        ),
    ],
)
def test_predictions_that_are_none_stop_the_partition(
    tmp_path: Path, changes: dict[str, pa.Array], said: str
) -> None:
    rows = made("2024-01")
    for name, values in changes.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    system = System(tmp_path, {"2024-01": rows})
    [step] = loop.run(system.plan, [month("2024-01")])
    assert said in step.problem
    assert not tables.exists(system.plan.uri("predictions"))


def test_rows_without_a_prediction_are_left_out(tmp_path: Path) -> None:
    rows = made("2024-01")
    p = pa.array([None, *rows["p"].to_pylist()[1:]])
    system = System(tmp_path, {"2024-01": rows.set_column(rows.column_names.index("p"), "p", p)})
    system.run()
    dataset = tables.published(system.plan.uri("data"), "2024-01")
    assert dataset is not None
    taken = predictions.take(system.plan.spec, dataset, system.plan.uri("predictions"))
    assert (taken.rows, taken.without) == (ROWS - 1, 1)


def test_a_model_of_ours_goes_on_with_the_tables_of_another_system(tmp_path: Path) -> None:
    months = {key: made(key) for key in KEYS[:3]}
    system = System(tmp_path, dict(list(months.items())[:2]))
    system.run()
    values = {name: value for name, value in SPEC.items() if name != "predictions"}
    whole = LoopPlan(
        spec=ModelSpec.from_dict(
            values | {"train": {"candidates": ["sklearn.linear_model.LogisticRegression"]}}
        ),
        source=PythonSource(lambda partition: months.get(partition.key) if partition else None),
        storage=system.plan.storage,
        write=system.plan.write,
        client=make_client(tmp_path),
        actor="ann",
        artifacts=f"file://{tmp_path}/artifacts",
        pictures=False,
    )
    published = [tables.published(whole.uri("data"), key) for key in KEYS[:2]]
    steps = list(loop.run(whole, map(month, KEYS[:3])))
    assert [step.problem for step in steps] == [""] * 3
    assert [step.dataset.version for step in steps[:2]] == [
        version.version for version in published if version
    ]
    assert steps[1].decision.action is Action.PROMOTED
    assert [step.health.champion and step.health.champion.version for step in steps] == [
        None,
        None,
        "1",
    ]
    # What the other system has predicted stays, and so does how it did.
    assert set(tables.read(whole.uri("predictions"), partition="2024-01")["model_version"].to_pylist()) == {
        "7"
    }
    scored = tables.read(whole.uri("performance"), columns=["scored", "model_version"]).to_pylist()
    assert {(row["scored"], row["model_version"]) for row in scored} >= {("2024-01", "7"), ("2024-03", "1")}


def test_predictions_of_another_system_are_tested_against_their_reference_and_constants(
    tmp_path: Path,
) -> None:
    months = {key: made(key) for key in KEYS}
    for key, rows in months.items():
        start = month(key).start.replace(tzinfo=None)
        times = np.datetime64(start, "us") + np.arange(ROWS) * np.timedelta64(40, "m")
        months[key] = rows.set_column(1, "at", pa.array(times, pa.timestamp("us", "UTC")))
    # In April the order is right, and each probability is far too low.
    april = months["2024-04"]
    low = april["p"].to_numpy() ** 8
    april = april.set_column(april.column_names.index("p"), "p", pa.array(low))
    says = pa.array((low >= 0.5).astype("int64"))
    months["2024-04"] = april.set_column(april.column_names.index("says"), "says", says)
    march, april = System(tmp_path, months, monitor={"performance": {"chance": 0.05}}).run()[2:]
    assert march.performance.verdict is Verdict.PASS
    assert named(march, "decay.log_loss").verdict is Verdict.PASS
    assert april.performance.verdict is Verdict.FAIL
    assert "of its evaluation in the reference" in april.performance.reason
    assert named(april, "decay.roc_auc").verdict is Verdict.PASS
    failed = ("decay.log_loss", "worthless.log_loss", "calibration")
    assert {named(april, name).verdict for name in failed} == {Verdict.FAIL}


def test_partitions_whose_rows_have_one_time_are_tested_together(tmp_path: Path) -> None:
    keys = [f"2024-{number:02}" for number in range(1, 11)]
    months = {key: made(key, skill=-2.0) for key in keys}
    reports = System(tmp_path, months, monitor={"performance": {"chance": 0.05}}).run()[2:]
    verdicts = [report.performance.verdict for report in reports]
    # Seven blocks are needed, and the reference, of two months, has two of its own.
    assert verdicts == [Verdict.INCONCLUSIVE] * 4 + [Verdict.FAIL] * 4
    assert named(reports[-1], "worthless.log_loss").n == 8 * ROWS


CLASSES = ("bird", "cat", "dog")


def animals(key: str) -> pa.Table:
    """Return a month of three classes: the label, its probabilities as the system says them, and the class that it has chosen."""
    rows = without(made(key), "says", "p", "model", "churned")
    random = np.random.default_rng(int(key.replace("-", "")))
    matrix = random.dirichlet((1, 1, 1), ROWS)
    labels = np.array([random.choice(3, p=row) for row in matrix])
    columns = dict(zip(("p_bird", "p_cat", "p_dog"), matrix.T, strict=True))
    # A cat is let pass only if it is certain.
    chosen = np.where(matrix[:, 1] > 0.9, 1, np.where(matrix[:, 0] > matrix[:, 2], 0, 2))
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values))
    rows = rows.append_column("says", pa.array([CLASSES[code] for code in chosen]))
    return rows.append_column("churned", pa.array([CLASSES[code] for code in labels]))


OF_ANIMALS: dict[str, Any] = {
    "classes": list(CLASSES),
    "predictions": {"probabilities": {name: f"p_{name}" for name in CLASSES}, "reference": 1},
    "monitor": {"performance": {"floor": {"accuracy": 0.1}}},
}


def test_of_more_than_two_classes_quality_is_that_of_the_most_probable(tmp_path: Path) -> None:
    months = {key: animals(key) for key in KEYS[:2]}
    reports = System(tmp_path, months, **OF_ANIMALS).run()
    rows = months["2024-02"]
    best = np.stack([rows[f"p_{name}"].to_numpy() for name in CLASSES], axis=1).argmax(axis=1)
    right = np.mean(np.array(CLASSES)[best] == np.array(rows["churned"].to_pylist()))
    assert reports[1].metrics["accuracy"] == pytest.approx(right)


def test_a_class_that_is_not_the_most_probable_one_stops_the_partition(tmp_path: Path) -> None:
    both = {**OF_ANIMALS["predictions"], "prediction": "says"}
    system = System(tmp_path, {"2024-01": animals("2024-01")}, **{**OF_ANIMALS, "predictions": both})
    [step] = loop.run(system.plan, [month("2024-01")])
    assert (
        "rows are put in another class than the most probable one, by which quality would be" in step.problem
    )
    assert not tables.exists(system.plan.uri("predictions"))
    # With the class alone its quality is that of the class.
    alone = {**OF_ANIMALS, "predictions": {"prediction": "says", "reference": 1}}
    rows = animals("2024-02")
    reports = System(tmp_path / "alone", {"2024-01": animals("2024-01"), "2024-02": rows}, **alone).run()
    right = np.mean(np.array(rows["says"].to_pylist()) == np.array(rows["churned"].to_pylist()))
    assert reports[1].metrics["accuracy"] == pytest.approx(right)


def test_probabilities_of_a_row_that_do_not_sum_to_one_stop_the_partition(tmp_path: Path) -> None:
    rows = animals("2024-01")
    rows = rows.set_column(rows.column_names.index("p_dog"), "p_dog", pa.array([0.9] * ROWS))
    system = System(tmp_path, {"2024-01": rows}, **OF_ANIMALS)
    [step] = loop.run(system.plan, [month("2024-01")])
    assert "predictions.probabilities that do not sum to 1, such as" in step.problem
    assert not tables.exists(system.plan.uri("predictions"))
