"""Models as specs: five DAGs each."""

from __future__ import annotations

import os

from airflow_mlops import ModelSpec, continuous_training

for number in range(int(os.environ["BENCHMARK_MODELS"])):
    spec = {
        "name": f"model_{number}",
        "task": "classification",
        "target": "late",
        "key": ["flight_id"],
        "event_time": "scheduled_departure",
        "partition": "month",
        "start": "2013-01",
        "source": {"files": "data/{partition}.parquet"},
        "labels": {"delay": "P7D"},
        "features": {
            "numeric": ["distance", "scheduled_hour", "temperature", "wind_speed", "precipitation"],
            "categorical": ["carrier", "origin", "destination"],
        },
        "validate": [
            {"expect_column_values_to_not_be_null": {"column": "carrier"}},
            {"expect_column_values_to_be_between": {"column": "distance", "min_value": 0}},
        ],
        "train": {
            "candidates": [
                {"sklearn.linear_model.LogisticRegression": {"max_iter": 500}},
                {
                    "sklearn.ensemble.HistGradientBoostingClassifier": {
                        "search": {"learning_rate": [0.03, 0.3]}
                    }
                },
            ],
        },
        "gates": {"floor": {"roc_auc": 0.6}},
        "retrain": {"when": {"drift": "2 of 3", "every": 3}},
    }
    continuous_training(ModelSpec.from_dict(spec))
