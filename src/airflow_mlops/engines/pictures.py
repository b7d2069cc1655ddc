"""Pictures of a training and of its evaluation, among the artifacts of the candidate's run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow_mlops.engines import fitting, plots, provenance, tracking

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.recipe import Recipe
    from airflow_mlops.domain.results import Evaluation
    from airflow_mlops.engines.fitting import Data

_logger = logging.getLogger(__name__)

FOLDER = "plots"
"""Where the pictures of a run lie among its artifacts."""
IMPORTANCE = "importance.json"
"""The loss in the metric by feature, beside the pictures."""
ROWS = "rows.json"
"""What the training rows hold, beside the pictures: see :func:`airflow_mlops.engines.provenance.rows`."""

_COLOURS = 128


def log(
    client: MlflowClient,
    run_id: str,
    evaluation: Evaluation,
    model: Pipeline,
    rows: pa.Table,
    truth: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray | None,
) -> None:
    """Draw an evaluation and log the pictures to a run; what fails is a warning, and the evaluation stands.

    :param model: the candidate.
    :param rows: labelled rows of the holdout, with at least the model's features.
    :param truth: their labels.
    :param ours: the candidate's predictions of them; ``theirs`` likewise, the champion's, or None without one.
    """
    candidate = evaluation.candidate
    try:
        drawn = plots.evaluation(truth, ours, theirs, candidate.task)
        relied = plots.importance(model, rows, truth, candidate.task, candidate.metric, seed=0)
        means: Mapping[str, float] = {}
        if relied is not None:
            drawn["importance.png"], means = relied
        _keep(client, run_id, drawn, IMPORTANCE, means)
    except Exception as error:  # noqa: BLE001 - pictures are no reason to judge a candidate again
        _warn(run_id, error)


def log_training(
    client: MlflowClient,
    run_id: str,
    recipe: Recipe,
    data: Data,
    fit: Callable[[Data], Pipeline],
    took: float,
) -> None:
    """Log the learning curve of a candidate and what its training rows hold; what fails is a warning.

    :param data: the training rows.
    :param fit: fits the candidate, with the parameters that were chosen, to some of them.
    :param took: seconds that it took to fit it to all of them.
    """
    try:
        with fitting.remarks():  # what is warned of the model itself has been told
            curve = fitting.waited(
                lambda: plots.learning_curve(
                    fit, data, task=recipe.task, metric=recipe.metric, took=took, seconds=_worth(took)
                ),
                "Fitting the learning curve",
            )
        drawn = {} if curve is None else {"learning_curve.png": curve}
        _keep(client, run_id, drawn, ROWS, provenance.rows(data, recipe))
    except Exception as error:  # noqa: BLE001 - the model is fitted, and no worse without its pictures
        _warn(run_id, error)


def _worth(took: float) -> float:
    # A picture may take as long as the model itself, but not keep a large one from its registration.
    return min(plots.SECONDS, max(2.0, took))


def _warn(run_id: str, error: Exception) -> None:
    _logger.warning("The pictures of run %s are missing: %s: %s", run_id, type(error).__name__, error)


def _keep(
    client: MlflowClient, run_id: str, figures: Mapping[str, Figure], name: str, facts: Mapping[str, Any]
) -> None:
    """Log pictures, and facts beside them unless there are none, in one go."""
    with TemporaryDirectory() as folder, tracking.errors(client):
        for file, figure in figures.items():
            (Path(folder) / file).write_bytes(png(figure))
        if facts:
            (Path(folder) / name).write_text(json.dumps(facts), encoding="utf-8")
        client.log_artifacts(run_id, folder, FOLDER)


def png(figure: Figure) -> bytes:
    """Return a picture in few colours, so that several fit into a page: about 15 kB each."""
    from PIL import Image

    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(_COLOURS).save(small, format="png", optimize=True)
    return small.getvalue()
