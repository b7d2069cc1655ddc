from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from tools import spec_reference

from airflow_mlops.domain.checks import Severity
from airflow_mlops.domain.partitions import Grain
from airflow_mlops.domain.spec import loading, specs
from airflow_mlops.domain.spec.model import (
    Candidate,
    Expectation,
    Gates,
    KofN,
    ModelSpec,
    RetrainWhen,
    Source,
    Task,
    Train,
)
from airflow_mlops.domain.spec.problems import keys
from airflow_mlops.exceptions import SpecError

ROOT = Path(__file__).parents[4]
DOCS = ROOT / "docs"
SMALLEST = {
    "name": "churn",
    "task": "classification",
    "target": "churned",
    "key": ["customer_id"],
    "event_time": "seen_at",
    "partition": "month",
    "source": {"files": "data/{partition}.parquet"},
}


def examples() -> list[str]:
    """Return the specs of the documentation and of the pack, as text."""
    page = (DOCS / spec_reference.PAGE).read_text(encoding="utf-8")
    documented = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "name:" in block]
    assert len(documented) == 2
    return documented + [file.read_text(encoding="utf-8") for file in sorted(ROOT.glob("dags/models/*.yaml"))]


def make_spec(**values: Any) -> ModelSpec:
    return ModelSpec.from_dict({**SMALLEST, **values})


def load(folder: Path, text: str) -> ModelSpec:
    file = folder / "spec.yaml"
    file.write_text(text, encoding="utf-8")
    return ModelSpec.load(file)


def problems(**values: Any) -> list[str]:
    with pytest.raises(SpecError) as raised:
        make_spec(**values)
    return list(raised.value.problems)


def only_problem(**values: Any) -> str:
    [problem] = problems(**values)
    return problem


# ------------------------------------------------------------------------------------------------ what is read


@pytest.mark.parametrize("text", examples())
def test_the_specs_of_the_documentation_and_the_pack_load(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).name


def test_a_full_spec_is_read_as_it_is_written(tmp_path: Path) -> None:
    spec = load(tmp_path, examples()[1])
    assert (spec.partition, spec.start, spec.end) == (Grain.MONTH, "2013-01", "2013-12")
    assert spec.labels.delay == timedelta(days=7)
    assert spec.expectations[1] == Expectation(
        expectation="expect_column_values_to_be_between",
        args={"column": "distance", "min_value": 0},
        severity=Severity.QUARANTINE,
    )
    linear, boosting = spec.train.candidates
    assert (linear.name, linear.params, linear.search) == ("LogisticRegression", {"max_iter": 500}, {})
    assert boosting.search == {"learning_rate": [0.03, 0.3], "max_leaf_nodes": [15, 63]}
    assert spec.retrain.when == RetrainWhen(drift=KofN(2, 3), performance=KofN(2, 3), every=3)
    assert spec.gates.slices is not None
    assert spec.gates.slices.by == ("origin",)


@pytest.mark.parametrize(
    ("task", "metric", "linear"),
    [("classification", "roc_auc", "LogisticRegression"), ("regression", "rmse", "Ridge")],
)
def test_the_smallest_spec_has_a_metric_and_candidates_of_its_task(
    task: str, metric: str, linear: str
) -> None:
    spec = make_spec(task=task)
    assert spec.train.metric == spec.metric.name == metric
    assert spec.train.candidates[0].name == linear
    assert spec.gates.versus_champion is not None
    assert spec.features is None
    assert spec.expectations == ()


@pytest.mark.parametrize("text", examples())
def test_a_spec_survives_json(tmp_path: Path, text: str) -> None:
    spec = load(tmp_path, text)
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_spec_written_in_python_equals_the_same_in_yaml() -> None:
    written = ModelSpec(
        name="churn",
        task=Task.CLASSIFICATION,
        target="churned",
        key=("customer_id",),
        event_time="seen_at",
        partition=Grain.MONTH,
        source=Source(files="data/{partition}.parquet"),
        expectations=(
            Expectation(expectation="expect_table_row_count_to_be_between", args={"min_value": 1}),
        ),
        train=Train(candidates=(Candidate(estimator="sklearn.svm.SVC", params={"C": 2}, name="svm"),)),
    )
    read = make_spec(
        validate=[{"expect_table_row_count_to_be_between": {"min_value": 1}}],
        train={"candidates": [{"sklearn.svm.SVC": {"C": 2, "name": "svm"}}]},
    )
    assert written == read


def test_a_name_alone_is_a_candidate_or_an_expectation() -> None:
    spec = make_spec(
        validate=["expect_table_columns_to_match_set"], train={"candidates": ["sklearn.svm.SVC", {"sklearn.svm.NuSVC": None}]}
    )  # fmt: skip
    assert [candidate.name for candidate in spec.train.candidates] == ["SVC", "NuSVC"]
    assert spec.expectations[0].severity is Severity.BLOCK


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_spec().name = "other"  # type: ignore[misc]


def test_policies_without_mappings_are_hashable() -> None:
    assert len({Source(python="a:b"), Source(python="a:b"), Source(python="a:c")}) == 2


def test_a_comparison_with_the_champion_can_be_turned_off() -> None:
    assert make_spec(gates={"versus_champion": None}).gates.versus_champion is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("P7D", 604800), ("PT12H", 43200), ("P1W", 604800), ("P1DT1H1M1S", 90061), ("P0D", 0)],
)
def test_a_delay_is_an_iso_duration(text: str, seconds: int) -> None:
    spec = make_spec(labels={"delay": text})
    assert spec.labels.delay == timedelta(seconds=seconds)
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_a_relative_path_is_read_beside_the_file_that_calls(tmp_path: Path) -> None:
    (tmp_path / "dags" / "models").mkdir(parents=True)
    (tmp_path / "dags" / "models" / "churn.yaml").write_text(examples()[0], encoding="utf-8")
    (tmp_path / "dags" / "churn.py").write_text(
        "from airflow_mlops.domain.spec.model import ModelSpec\n"
        "print([ModelSpec.load(path).name for path in ['models/churn.yaml']])\n"
    )
    run = [sys.executable, "dags/churn.py"]
    assert (
        subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == "['churn']\n"
    )


# --------------------------------------------------------------------------------------------- what is refused


def test_every_problem_is_in_one_error_in_the_order_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        load(
            tmp_path,
            "name: Flight-Delays\n"
            "task: clasification\n"
            "target: late\n"
            "target: later\n"
            "key: flight_id\n"
            "partition: month\n"
            "source: {python: 'a:b'}\n"
            "train:\n"
            "  metric: roc_acu\n"
            "  candidates:\n"
            "    - sklearn.svm.SVC: {C: 1}\n"
            "    - sklearn.ensemble.HistGradientBoostingClassifier:\n"
            "        search: {learning_rate: 0.1}\n",
        )
    assert raised.value.source == str(tmp_path / "spec.yaml")
    assert raised.value.problems == (
        "event_time: is required: Column with the time that a row belongs to.",
        (
            "line 1, name: 'Flight-Delays' cannot name DAGs and a registered model: begin with a small letter, then small "
            "letters, digits and _, at most 100 in all, for example flight_delays"
        ),
        "line 2, task: cannot be 'clasification'; did you mean 'classification'? allowed: classification, regression",
        "line 4, target: is given twice, on lines 3 and 4; keep one",
        "line 5, key: must be a list, not the text 'flight_id'; write [flight_id]",
        (
            "line 9, train.metric: 'roc_acu' is no metric; did you mean 'roc_auc'? allowed: roc_auc, average_precision, "
            "log_loss, brier, accuracy, f1, f1_weighted, precision, recall, balanced_accuracy, matthews, quadratic_kappa, "
            "expected_cost, top_K_accuracy, fB (classification); rmse, mae, r2, mape, median_absolute_error, poisson_deviance, "
            "gamma_deviance, pinball_Q (regression)"
        ),
        "line 13, train.candidates[1].search.learning_rate: must be a list of values, or a range such as {low: 0.01, high: 1, log: true}, not the number 0.1",
    )


def test_what_concerns_several_sections_is_found_beside_what_is_wrong_within_one() -> None:
    found = problems(
        features={"numeric": ["churned"], "categorical": 3},
        gates={"floor": {"rmse": 1}, "approval": "three"},
        train={"metric": "mae", "window": 0},
    )
    assert [problem.partition(":")[0] for problem in sorted(found)] == [
        "features.categorical",
        "features.numeric[0]",
        "gates.approval.people",
        "gates.floor.rmse",
        "train.metric",
        "train.window",
    ]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"sourse": {}}, "sourse: is no key; did you mean 'source'? allowed: name, description,"),
        ({"metric": "f1"}, "metric: is no key here; did you mean decision.metric or train.metric? allowed here:"),
        ({"expectations": []}, "expectations: is no key; did you mean 'validate'?"),
        ({"source": {}}, "source: takes exactly one of python, files, sql, delta; none is given"),
        ({"source": {"python": "a.b"}}, "source.python.function: must be written module:function, such as nycflights:read_month"),
        ({"source": None}, "source: is empty; give it a value, or leave the key out"),
        ({"source": "a:b"}, "source: must be a mapping, not the text 'a:b'; its keys: python, files, sql, delta, wait"),
        ({"name": "x" * 101}, "cannot name DAGs and a registered model"),
        ({"name": "9lives"}, "cannot name DAGs and a registered model"),
        ({"name": "a.b"}, "for example a_b"),
        ({"name": "Kündigungen 2025"}, "for example kuendigungen_2025"),
        ({"name": "Größe Łódź"}, "for example groesse_lodz"),
        ({"name": 5}, "name: must be text, not the number 5"),
        ({"owner": " "}, "owner: must be one line of text"),
        ({"owner": "a\nb"}, "owner: must be one line of text"),
        ({"key": []}, "key: must not be empty"),
        ({"key": ["a", "a"]}, "key[1]: 'a' is listed twice"),
        ({"key": ["churned"]}, "key: holds the target 'churned'"),
        ({"key": [1]}, "key[0]: must be text, not the number 1"),
        ({"event_time": "churned"}, "event_time: 'churned' is already the target"),
        ({"target": "_partition"}, "target: '_partition' is a column that our tables add"),
        ({"partition": "year"}, "partition: cannot be 'year'; allowed: hour, day, week, month"),
        ({"partition": "months"}, "partition: cannot be 'months'; did you mean 'month'?"),
        ({"start": "2013-13"}, "start: '2013-13' is no month partition; write it like 2013-01"),
        ({"start": "2013-1"}, "start: '2013-1' is no month partition; the one that holds it is '2013-01'"),
        ({"start": 2013}, "start: must be the key of a month partition such as 2013-01, not the number 2013"),
        ({"start": "2013-05", "end": "2013-04"}, "end: 2013-04 is before start, 2013-05"),
        ({"partition": "week", "end": "2013-01-08"}, "the one that holds it is '2013-01-07'"),
        ({"labels": {"delay": "7 days"}}, "labels.delay: must be a duration in weeks, days, hours,"),
        ({"labels": {"delay": 7}}, "such as P7D or PT12H, not the number 7"),
        ({"labels": {"delay": "P"}}, "labels.delay: must be a duration"),
        ({"labels": {"delay": "P1M"}}, "labels.delay: must be a duration"),
        ({"labels": {"delay": "-P1D"}}, "labels.delay: must be a duration"),
        ({"labels": {"delay": "P9999999999999D"}}, "labels.delay: P9999999999999D is longer than a calendar"),
        ({"features": {}}, "features: lists no column"),
        ({"features": {"numeric": ["a", "b", "a"]}}, "features.numeric[2]: 'a' is listed twice"),
        ({"features": {"numeric": ["a"], "categorical": ["a"]}}, "features.categorical: 'a' is also listed under numeric"),
        ({"features": {"numeric": ["churned"]}}, "features.numeric[0]: 'churned' is the target, so the model would see"),
        ({"features": {"categorical": ["a", "customer_id"]}}, "features.categorical[1]: 'customer_id' is in the key"),
        ({"features": {"numeric": ["seen_at"]}}, "features.numeric[0]: 'seen_at' is the event time"),
        ({"validate": [{"expect_x": {"severity": "blok"}}]}, "validate[0].severity: cannot be 'blok'; did you mean 'block'?"),
        ({"validate": [{"not_null": {}}]}, "validate[0].expectation: must be a name such as expect_column"),
        ({"validate": [{"expect_x": ["a"]}]}, "validate[0]: expect_x takes a mapping, not a list; write `- expect_"),
        ({"validate": [{"expect_x": None, "column": "a"}]}, "validate[0]: holds 2 names; write"),
        ({"validate": [3]}, "validate[0]: must be a mapping, not the number 3"),
        ({"train": {"window": 0}}, "train.window: must be all, or a number of partitions from 1, not the number 0"),
        ({"train": {"window": True}}, "train.window: must be all, or a number of partitions from 1, not true"),
        ({"train": {"holdout": 0.7}}, "train.holdout: must be a number of partitions (1, 2, …) or a share"),
        ({"train": {"holdout": 0}}, "train.holdout: must be a number of partitions"),
        ({"train": {"holdout": 10**12}}, "train.holdout: must be at most 1,000,000 partitions, which are more than a century"),
        ({"train": {"window": 10**30}}, "train.window: must be at most 1,000,000 partitions"),
        ({"train": {"window": ["all", 10**7]}}, "train.window: must be at most 1,000,000 partitions"),
        ({"train": {"budget": {"trials": 10**10}}}, "train.budget.trials: must be at most 100000, not 10000000000"),
        ({"monitor": {"drift": {"window": 10**7}}}, "monitor.drift.window: must be at most 1,000,000 partitions"),
        ({"retrain": {"cooldown": 10**7}}, "retrain.cooldown: must be at most 1,000,000 partitions"),
        ({"retrain": {"when": {"every": 10**7}}}, "retrain.when.every: must be at most 1,000,000 partitions"),
        ({"train": {"metric": "rmse"}}, "train.metric: rmse judges regression, not classification; allowed: roc_auc,"),
        ({"train": {"seed": -1}}, "train.seed: must be at least 0, not -1"),
        ({"train": {"budget": {"trials": "yes"}}}, "train.budget.trials: must be a whole number, not the text 'yes'"),
        ({"train": {"budget": {"trials": True}}}, "train.budget.trials: must be a whole number, not true"),
        ({"train": {"budget": {"trials": 2.5}}}, "train.budget.trials: must be a whole number, not the number 2.5"),
        ({"train": {"budget": {"seconds": 0}}}, "train.budget.seconds: must be above 0, not 0"),
        ({"train": {"candidates": {"a": 1}}}, "train.candidates: must be a list, not a mapping"),
        ({"train": {"candidates": ["catboost.CatBoostClassifier"]}}, "is outside the packages that estimators may come from: sklearn, lightgbm, xgboost"),
        ({"train": {"candidates": ["sklearn"]}}, "train.candidates[0].estimator: must be a dotted path such as sklearn."),
        ({"train": {"candidates": ["sklearn._x.Y"]}}, "train.candidates[0].estimator: must be a dotted path"),
        ({"train": {"candidates": ["sklearn.tree.DecisionTreeRegressor"]}}, "DecisionTreeRegressor is not for classification"),
        ({"train": {"candidates": ["sklearn.svm.SVC"] * 2}}, "train.candidates[1].name: 'SVC' already names candidates[0]"),
        ({"train": {"candidates": [{"sklearn.svm.SVC": {"search": {"C": []}}}]}}, "search.C: must not be empty"),
        ({"train": {"candidates": [{"sklearn.svm.SVC": {"C": 1, "search": {"C": [1]}}}]}}, "search.C: is also given a fixed value"),
        ({"train": {"candidates": [{"sklearn.svm.SVC": {"C": float("nan")}}]}}, "params.C: must be a finite number, not nan"),
        ({"train": {"candidates": [{"sklearn.svm.SVC": {"C": object()}}]}}, "params.C: must be text, a number, true, false,"),
        ({"gates": {"shadow": 3}}, "gates.shadow: needs score: {shadow: true}"),
        ({"gates": {"shadow": 3, "versus_champion": {"rescue": {"fallback": ["constant"]}}}, "score": {"shadow": True}},
         "gates.versus_champion.rescue.fallback: is for a champion that fails now, and gates.shadow has candidates wait"),
        ({"gates": {"versus_champion": {"rescue": {"fallback": ["former"]}}}}, "gates.versus_champion.rescue.fallback"),
        ({"gates": {"floor": {"roc_auc": 60}}}, "gates.floor.roc_auc: cannot be 60: roc_auc is 0 to 1"),
        ({"gates": {"floor": {"roc_auc": "0.6"}}}, "gates.floor.roc_auc: must be a number, not the text '0.6'"),
        ({"gates": {"floor": {"roc_auc": float("inf")}}}, "gates.floor.roc_auc: must be a finite number, not inf"),
        ({"gates": {"floor": {"auc": 0.6}}}, "gates.floor.auc: 'auc' is no metric; did you mean 'roc_auc'?"),
        ({"gates": {"floor": {"top5_accuracy": 0.6}}}, "gates.floor.top5_accuracy: 'top5_accuracy' is no metric; did you mean 'top_5_accuracy'?"),
        ({"gates": {"floor": {"top_5_accuracy": 1.5}}}, "gates.floor.top_5_accuracy: cannot be 1.5: top_5_accuracy is 0 to 1"),
        ({"gates": {"floor": {"pinball_0.9": 1}}}, "gates.floor.pinball_0.9: 'pinball_0.9' is no metric; did you mean 'pinball_90'?"),
        ({"gates": {"floor": {"pinball_97.5": 1}}}, "gates.floor.pinball_97.5: pinball_97.5 judges regression, not classification"),
        ({"gates": {"fairness": {"by": ["a"], "gaps": {"f_2": 0.1}}}}, "gates.fairness.gaps.f_2: is no measure; did you mean 'f2'?"),
        ({"gates": {"floor": {"r2": 0.6}}}, "gates.floor.r2: r2 judges regression, not classification"),
        ({"train": {"candidates": [{"sklearn.svm.SVC": {"search": {"C": {"low": 1, "high": 0.1}}}}]}}, "search.C: low, 1, must be below high, 0.1"),
        ({"train": {"candidates": [{"sklearn.svm.SVC": {"search": {"C": {"low": 0, "high": 1, "log": True}}}}]}}, "search.C: low must be above 0 with log, not 0"),
        ({"train": {"folds": 5}}, "train.folds: must be at most 4, not 5"),
        ({"features": {"numeric": ["a"], "dates": ["a"]}}, "features.dates: 'a' is also listed under numeric"),
        ({"gates": {"versus_champion": {"test": "delong", "block": "day"}}}, "gates.versus_champion: delong is for independent rows"),
        ({"gates": {"versus_champion": {"test": "mcnemar"}}}, "gates.versus_champion.test: mcnemar compares accuracy, and train.metric is roc_auc"),
        ({"gates": {"fairness": {"by": ["a"], "gaps": {"recal": 0.1}}}}, "gates.fairness.gaps.recal: is no measure"),
        ({"gates": {"fairness": {"by": ["churned"], "gaps": {"f1": 0.1}}}}, "gates.fairness.by: holds the target"),
        ({"gates": {"approval": {"people": "two", "users": ["alice"]}}}, "gates.approval: two people cannot both be 'alice'"),
        ({"gates": {"approval": {"users": ["alice"]}}}, "gates.approval: asks nobody, so users and override have no effect"),
        ({"gates": {"approval": "three"}}, "gates.approval.people: cannot be 'three'; allowed: none, one, two"),
        ({"gates": {"versus_champion": {"confidence": 1}}}, "gates.versus_champion.confidence: must be below 1, not 1"),
        ({"gates": {"versus_champion": False}}, "gates.versus_champion: must be a mapping, not false; its keys: margin,"),
        ({"gates": {"slices": {"by": ["churned"], "floor": {"f1": 0.1}}}}, "gates.slices.by: holds the target"),
        ({"gates": {"slices": {"by": ["a"], "floor": {"mae": 1}}}}, "gates.slices.floor.mae: mae judges regression"),
        ({"gates": {"slices": {"by": ["a"]}}}, "gates.slices.floor: is required: Worst value allowed in each slice"),
        ({"monitor": {"drift": {"columns": 0}}}, "monitor.drift.columns: must be above 0, not 0"),
        ({"monitor": {"drift": {"columns": 30}}}, "monitor.drift.columns: must be at most 1, not 30"),
        ({"monitor": {"performance": {"floor": {"mae": 1}}}}, "monitor.performance.floor.mae: mae judges regression"),
        ({"retrain": {"when": {"drift": "3 of 2"}}}, "retrain.when.drift: cannot be 3 of 2: the first number is at least 1"),
        ({"retrain": {"when": {"drift": "often"}}}, "retrain.when.drift: must be written like 2 of 3, not the text 'often'"),
        ({"retrain": {"cooldown": None}}, "retrain.cooldown: is empty; give it a value, or leave the key out"),
        ({"alerts": {"email": "a@b.org"}}, "alerts.email: must be a list, not the text 'a@b.org'; write [a@b.org]"),
        ({"alerts": {"email": ["ml-team"]}}, "alerts.email[0]: must be a mail address such as ml-team@example.com"),
        ({"alerts": {"email": ["a@b.org\nBcc: c@d.org"]}}, "alerts.email[0]: must be one line of text"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_problem_that_names_its_place_and_what_is_allowed(
    values: dict[str, Any], says: str
) -> None:
    assert says in only_problem(**values)


@pytest.mark.parametrize(
    ("grain", "cron"),
    [
        ("hour", "5 * * * *"), ("day", "30 6 * * *"), ("week", "0 7 * * 1"), ("week", "0 7 * * MON"),
        ("month", "0 6 28 * *"), ("month", "0 0 l * *"), ("month", "0 6 * * 1#1"),
    ],
)  # fmt: skip
def test_a_schedule_that_fires_once_a_partition_is_accepted(grain: str, cron: str) -> None:
    assert make_spec(partition=grain, schedule=cron).schedule == cron


@pytest.mark.parametrize(
    ("grain", "cron", "says"),
    [
        ("month", "0 6 * * *", "'0 6 * * *' fires more than once in the month 2023-01"),
        ("week", "0 7 * * 2", "does not fire on Mondays"),
        ("month", "0 0 31 * *", "does not fire in the month 2023-02"),
        ("month", "0 0 1 1-11 *", "does not fire in the month 2023-12"),
        ("day", "0 6 * * 1-5", "does not fire in the day 2023-01-01"),
        ("day", "0 6 * 1-11 *", "does not fire on every month"),
        ("day", "0 6 1-30 * *", "does not fire on every day of month"),
        ("day", "0 6,18 * * *", "fires more than once in the day 2023-01-01"),
        ("hour", "0 6 * * *", "does not fire in the hour"),
        ("hour", "0 * 1-30 * *", "does not fire on every day of month"),
        ("week", "0 0 * * 1,3", "fires more than once in the week 2022-12-26"),
        ("month", "61 * * * *", "'61 * * * *' is no cron"),
        ("month", "0 0 31 2 *", "never fires"),
        ("month", "often", "is no cron of five fields"),
        ("month", "@monthly", "is no cron of five fields"),
        ("month", "0 0 0 1 * *", "is no cron of five fields"),
        ("month", "R 6 1 * *", "is no cron"),
    ],
)
def test_a_schedule_that_does_not_fire_once_a_partition_is_refused(grain: str, cron: str, says: str) -> None:
    problem = only_problem(partition=grain, schedule=cron)
    assert problem.startswith("schedule: ")
    assert says in problem


def test_a_policy_used_by_itself_is_checked_too() -> None:
    with pytest.raises(SpecError, match="Gates: 1 problem\n  floor.acc: 'acc' is no metric"):
        Gates(floor={"acc": 0.5})


def test_a_spec_in_python_is_checked_like_a_file() -> None:
    with pytest.raises(SpecError) as raised:
        ModelSpec(**{**SMALLEST, "expectations": [{"not_null": {}}], "train": {"window": 0}})
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "expectations[0].expectation",
        "train.window",
    ]


def test_what_an_alias_stood_for_is_not_reported_a_second_time(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        load(tmp_path, examples()[0] + "labels: *later\n")
    assert [problem.partition("; ")[0] for problem in raised.value.problems] == [
        "line 8, labels: aliases are not allowed"
    ]


def test_a_flood_of_problems_and_long_values_are_cut() -> None:
    found = problems(**{f"key{number}": 1 for number in range(200)}, owner="x\n" * 5000)
    assert found[-1] == "… and more"
    assert len(found) == 51
    assert max(len(problem) for problem in found) < 400


def test_a_key_cannot_forge_lines_of_the_error() -> None:
    assert "\n" not in only_problem(**{"a\n  line 1, name: fine": 1})


@pytest.mark.parametrize(
    "junk", [None, True, 3, -1.5, "", "text", [], [1], {}, {"a": 1}, [[]], {"a": {"b": None}}]
)
def test_no_value_in_any_place_breaks_validation_in_any_other_way_than_a_spec_error(junk: Any) -> None:
    full = loading.parse(examples()[1]).value
    for place in places(full):
        broken = replaced(full, place, junk)
        said = ""
        try:
            ModelSpec.from_dict(broken)
        except SpecError as error:
            said = str(error)
        assert not re.search(r"[Pp]ydantic|[Ii]nput|Value error|validat(ed|ion)", said), (place, said)


def places(value: Any) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, below in inner for place in [(key,), *((key, *rest) for rest in places(below))]]


def replaced(value: Any, place: tuple[Any, ...], junk: Any) -> Any:
    if not place:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], junk)
    return copy


# ---------------------------------------------------------------------------------------------- schema and docs


def refusals(values: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(specs.json_schema()).iter_errors(values)]


@pytest.mark.parametrize("text", examples())
def test_the_schema_accepts_the_examples_as_the_loader_and_as_editors_read_them(text: str) -> None:
    Draft202012Validator.check_schema(specs.json_schema())
    assert refusals(loading.parse(text).value) == []
    assert refusals(make_spec().to_dict()) == []
    assert refusals(yaml.load(text, Loader=yaml.SafeLoader)) == []


@pytest.mark.parametrize(
    "values",
    [
        {"sourse": {}}, {"name": "Bad"}, {"task": "ranking"}, {"key": []}, {"partition": "year"}, {"labels": {"delay": "7 days"}},
        {"validate": [{"expect_x": {"severity": "blok"}}]}, {"validate": [{"not_null": {}}]}, {"train": {"window": 0}},
        {"train": {"holdout": 0.7}}, {"train": {"metric": "auc"}}, {"train": {"candidates": ["catboost.CatBoostClassifier"]}},
        {"train": {"candidates": [{"sklearn.svm.SVC": {"search": {"C": 1}}}]}}, {"gates": {"floor": {"auc": 0.5}}},
        {"gates": {"floor": {"roc_auc": 60}}}, {"gates": {"approval": "three"}}, {"retrain": {"when": {"drift": "often"}}},
        {"monitor": {"drift": {"columns": 30}}}, {"expectations": []}, {"source": {"sql": "select 1"}},
        {"source": {}}, {"source": {"python": "a.b"}}, {"source": {"files": "data.csv"}},
    ],
)  # fmt: skip
def test_the_schema_refuses_what_the_loader_refuses_in_one_place(values: dict[str, Any]) -> None:
    assert problems(**values)
    assert refusals({**SMALLEST, **values})


def sections(model: Any) -> list[Any]:
    return [model, *(found for section in keys(model).values() if section for found in sections(section))]


def test_every_field_is_described() -> None:
    for section in sections(ModelSpec):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


def test_the_schema_and_the_table_in_the_docs_are_current() -> None:
    command = "run: python -m tools.spec_reference docs"
    page = (DOCS / spec_reference.PAGE).read_text(encoding="utf-8")
    assert (DOCS / spec_reference.SCHEMA).read_text(encoding="utf-8") == spec_reference.schema(), command
    assert page == spec_reference.page(page), command
    assert "| `train.window` | `all` |" in page


def test_reading_a_spec_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(examples()[0], encoding="utf-8")
    heavy = "{'pandas', 'numpy', 'pyarrow', 'sklearn', 'mlflow', 'airflow', 'scipy'}"
    code = (
        "import sys; from airflow_mlops.domain.spec.model import ModelSpec; ModelSpec.load('spec.yaml'); "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


def test_a_time_zone_travels_with_the_length_of_a_partition() -> None:
    spec = make_spec(partition="day", timezone="Europe/Berlin", start="2013-01-01", end="2013-12-31")
    assert (spec.grain, make_spec().grain) == ("day Europe/Berlin", "month")


def test_a_time_zone_that_is_none_is_refused_with_the_nearest() -> None:
    problem = only_problem(timezone="Europe/Berlni")
    assert (
        problem
        == "timezone: 'Europe/Berlni' is no time zone; write one such as Europe/Berlin; did you mean 'Europe/Berlin'?"
    )


@pytest.mark.parametrize("timezone", ["", "../etc/passwd", "/etc/localtime", "Europe", "+02:00", 2])
def test_what_is_no_time_zone_is_refused(timezone: Any) -> None:
    assert only_problem(timezone=timezone).startswith("timezone: ")


def test_a_choice_between_two_times_needs_a_time_zone_that_has_them() -> None:
    assert "ambiguous: is for clocks that are set back" in only_problem(ambiguous="later")
    assert only_problem(ambiguous="sooner", timezone="Europe/Berlin").startswith("ambiguous: ")


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 2 * * *"])
def test_a_schedule_in_an_hour_that_clocks_skip_is_refused(cron: str) -> None:
    days = {"partition": "day", "start": "2013-01-01", "end": "2013-12-31", "timezone": "Europe/Berlin"}
    problem = only_problem(schedule=cron, **days)
    assert (
        "fires between 02:00 and 03:00, which clocks of Europe/Berlin skip once a year (on 2026-03-29)"
        in problem
    )
    assert make_spec(schedule="0 3 * * *", **days).schedule == "0 3 * * *"


def test_a_day_that_a_time_zone_has_left_out_cannot_be_the_first() -> None:
    problem = only_problem(partition="day", timezone="Pacific/Apia", start="2011-12-30", end="2012-12-31")
    assert "the one that holds it is '2011-12-31'" in problem
