"""The DAGs of the loop through this package; every partition retrains."""

from __future__ import annotations

from airflow_mlops import ModelSpec, continuous_training

continuous_training(
    ModelSpec.from_dict(
        {
            "name": "breast_cancer",
            "task": "classification",
            "target": "target",
            "key": ["sample"],
            "event_time": "taken",
            "partition": "day",
            "start": "2024-01-01",
            "end": "2024-01-31",
            "source": {"python": "breast_cancer_rows:read"},
            "validate": [
                {"expect_column_values_to_not_be_null": {"column": "target"}},
                {"expect_column_values_to_be_in_set": {"column": "target", "value_set": [0, 1]}},
                {
                    "expect_column_values_to_be_between": {
                        "column": "mean_radius",
                        "min_value": 0,
                        "max_value": 50,
                    }
                },
            ],
            "train": {
                "window": 1,
                "holdout": 0.25,
                "candidates": [{"sklearn.linear_model.LogisticRegression": {"max_iter": 1000}}],
            },
            # The same rows every day give the same model, which is never better than the champion.
            "gates": {"floor": {"roc_auc": 0.9}, "versus_champion": None},
            "retrain": {"when": {"every": 1}},
        }
    )
)
