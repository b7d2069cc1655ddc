"""Four models of different questions: data of four months, and labels of which a fifth comes a month late."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
ROWS = 1200
FLOOD_FROM = MONTHS[2]
"""Month of the first flood: until then that class has no row."""
FAULTS = ("none", "wear", "leak", "short", "flood")
COSTS = {"false_positive": 1, "false_negative": 20}
_WORDS = {
    "billing": ("invoice", "refund", "charged twice", "payment"),
    "outage": ("down", "timeout", "cannot log in", "error 503"),
    "sales": ("quote", "upgrade", "more seats", "trial"),
}
_ANYWHERE = ("please", "today", "our account", "thanks", "urgent")

_SPEC = """
name: {name}
key: [id]
event_time: at
partition: month
start: 2013-01
end: 2013-04
source: {{files: "{folder}/{name}-{{partition}}.csv"}}
labels: {{source: {{files: "{folder}/{name}-labels-{{partition}}.csv"}}}}
retrain: {{when: {{every: 2}}}}
"""


class Subject(NamedTuple):
    """What a model is asked, and one month of its rows.

    :param spec: what the spec says beside name, source and labels, in YAML.
    :param rows: makes the columns of a month; the last one is the target.
    """

    spec: str
    rows: Callable[[np.random.Generator, str], dict[str, Any]]


def _tickets(draw: np.random.Generator, month: str) -> dict[str, Any]:
    teams = draw.choice([*_WORDS], ROWS, p=[0.5, 0.3, 0.2])
    # A tenth of the tickets speak of something else than what they are about.
    topics = np.where(draw.random(ROWS) < 0.1, draw.choice([*_WORDS], ROWS), teams)
    texts = [
        f"{draw.choice(_WORDS[topic])} {draw.choice(_ANYWHERE)} {draw.choice(_ANYWHERE)}" for topic in topics
    ]
    return {"subject": texts, "seats": draw.integers(1, 500, ROWS), "team": teams}


def _faults(draw: np.random.Generator, month: str) -> dict[str, Any]:
    share = [0.6, 0.2, 0.12, 0.08, 0.0] if month < FLOOD_FROM else [0.57, 0.2, 0.12, 0.08, 0.03]
    kinds = draw.choice(len(FAULTS), ROWS, p=share)
    return {
        "heat": np.round(20 + 20 * (kinds == 1) + 40 * (kinds == 3) + draw.normal(0, 14, ROWS), 3),
        "moisture": np.round(10 + 25 * (kinds == 2) + 45 * (kinds == 4) + draw.normal(0, 14, ROWS), 3),
        "fault": np.array(FAULTS)[kinds],
    }


def _prices(draw: np.random.Generator, month: str) -> dict[str, Any]:
    area, age = draw.uniform(20, 200, ROWS), draw.uniform(0, 80, ROWS)
    return {
        "area": np.round(area, 2),
        "age": np.round(age, 2),
        "listings": draw.integers(1, 9, ROWS),
        "price": np.round(3 * area - 2 * age + draw.normal(0, 10 + area / 5), 2),
    }


def _payments(draw: np.random.Generator, month: str) -> dict[str, Any]:
    amount, night = draw.lognormal(3, 1, ROWS), draw.random(ROWS) < 0.2
    chance = 1 / (1 + np.exp(9.4 - 1.8 * np.log(amount) - 1.5 * night))
    return {
        "amount": np.round(amount, 2),
        "night": night.astype(int),
        "fraud": (draw.random(ROWS) < chance).astype(int),
    }


SUBJECTS = {
    "tickets": Subject(
        """
task: classification
target: team
features: {numeric: [seats], text: [subject]}
train: {metric: log_loss, holdout: 0.25, candidates: [sklearn.linear_model.LogisticRegression]}
gates: {floor: {accuracy: 0.7}}
""",
        _tickets,
    ),
    "faults": Subject(
        f"""
task: classification
target: fault
classes: [{", ".join(FAULTS)}]
features: {{numeric: [heat, moisture]}}
train: {{metric: log_loss, holdout: 0.25, candidates: [sklearn.linear_model.LogisticRegression: {{max_iter: 1000}}]}}
""",
        _faults,
    ),
    "prices": Subject(
        """
task: regression
target: price
features: {numeric: [area, age]}
train:
  metric: mae
  holdout: 0.25
  weights: listings
  intervals: {coverage: 0.9, method: quantile}
  candidates: [sklearn.ensemble.HistGradientBoostingRegressor]
gates: {intervals: 0.1}
""",
        _prices,
    ),
    "payments": Subject(
        f"""
task: classification
target: fraud
features: {{numeric: [amount, night]}}
train: {{metric: expected_cost, holdout: 0.25, candidates: [sklearn.linear_model.LogisticRegression]}}
decision: {{costs: {{false_positive: {COSTS["false_positive"]}, false_negative: {COSTS["false_negative"]}}}}}
""",
        _payments,
    ),
}


def spec(name: str, folder: Path) -> str:
    """Return a model's spec in YAML, whose data :func:`write` has put into a folder."""
    return _SPEC.format(name=name, folder=folder) + SUBJECTS[name].spec


def write(name: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Write a model's files of data and labels, and return the true label of each key by month."""
    truth: dict[str, dict[str, Any]] = {}
    late: list[str] = []
    for number, month in enumerate(MONTHS):
        columns = SUBJECTS[name].rows(np.random.default_rng(number), month)
        *features, target = columns
        keys = [f"{month}-{i}" for i in range(ROWS)]
        times = [f"{month}-{i % 28 + 1:02d}" for i in range(ROWS)]
        truth[month] = dict(zip(keys, columns[target], strict=True))
        data = zip(keys, times, *(columns[feature] for feature in features), strict=True)
        header = ",".join(["id", "at", *features])
        (folder / f"{name}-{month}.csv").write_text("\n".join([header, *_lines(data)]) + "\n")
        lines = _lines(zip(keys, times, columns[target], strict=True))
        there = [line for i, line in enumerate(lines) if i % 5]
        (folder / f"{name}-labels-{month}.csv").write_text(
            "\n".join([f"id,at,{target}", *late, *there]) + "\n"
        )
        late = lines[::5]
    return truth


def _lines(rows: Any) -> list[str]:
    return [",".join(map(str, row)) for row in rows]
