"""What is killed: a process that trains with a search, after so many trials."""

from __future__ import annotations

import os
import signal
import sys

from mlflow import MlflowClient

from airflow_mlops.domain.facts.results import TrainedModel
from airflow_mlops.domain.spec.model import Budget, Candidate
from airflow_mlops.stages.train import trials
from synthetic import BOOSTING, make_rows, make_trained

TRIALS = 6
MODEL = "killed"


def search(client: MlflowClient) -> TrainedModel:
    """Train with a search."""
    space = {
        "max_leaf_nodes": {"low": 3, "high": 30},
        "learning_rate": {"low": 0.01, "high": 1, "log": True},
    }
    candidate = Candidate(estimator=BOOSTING.estimator, params={"max_iter": 5}, search=space)
    return make_trained(
        client,
        make_rows(400),
        "once",
        model=MODEL,
        candidate=candidate,
        budget=Budget(trials=TRIALS),
        folds=2,
    )


def main(uri: str, most: int) -> None:
    """Train, and be killed as soon as so many trials have ended."""
    end, ended = trials.Store.end, 0

    def die_after(store: trials.Store, run_id: str, trial: trials.Trial) -> None:
        nonlocal ended
        end(store, run_id, trial)
        ended += 1
        if ended == most:
            os.kill(os.getpid(), signal.SIGKILL)

    trials.Store.end = die_after  # type: ignore[method-assign]
    search(MlflowClient(uri))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
