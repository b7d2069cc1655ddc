"""Pictures of a training and of its evaluation, among the artifacts of the candidate's run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.learning.pictures import plots
from airflow_mlops.stores.registry import artifacts

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.results import Evaluation
    from airflow_mlops.learning.statistics.slices import Judged
    from airflow_mlops.stores.registry.client import Client

_logger = logging.getLogger(__name__)

FOLDER = "plots"
"""Where the pictures of a run lie among its artifacts."""
IMPORTANCE = "importance.json"
"""The loss in the metric by feature, beside the pictures."""
ROWS = "rows.json"
"""What the training rows hold, beside the pictures: see :func:`airflow_mlops.stages.train.curve.row_facts`."""

_COLOURS = 128


def log_evaluation(
    client: Client,
    run_id: str,
    evaluation: Evaluation,
    model: Pipeline,
    judged: Judged,
    theirs: np.ndarray | None,
    their_rule: DecisionRule = HALF,
) -> None:
    """Draw an evaluation and log the pictures to a run; what fails is a warning, and the evaluation stands.

    :param model: the candidate.
    :param judged: labelled rows of the holdout, with at least the model's features, and the candidate's predictions.
    :param theirs: the champion's predictions of these rows; None without one.
    :param their_rule: from which probability on the champion calls a row positive.
    """
    candidate = evaluation.candidate
    try:
        classes = tuple(evaluation.by_class)
        rules = judged.rule, their_rule
        drawn = plots.evaluation(judged.truth, judged.predicted, theirs, candidate.task, classes, rules)
        relied = plots.importance(
            model,
            judged.rows,
            judged.truth,
            candidate.task,
            candidate.metric,
            seed=0,
            classes=classes,
            rule=judged.rule,
            weights=judged.weights,
        )
        means: Mapping[str, float] = {}
        if relied is not None:
            drawn["importance.png"], means = relied
        keep(client, run_id, drawn, IMPORTANCE, means)
    except Exception as error:  # noqa: BLE001 - pictures are no reason to judge a candidate again
        warn(run_id, error)


def warn(run_id: str, error: Exception) -> None:
    """Log that the pictures of a run are missing, and why."""
    _logger.warning("The pictures of run %s are missing: %s: %s", run_id, type(error).__name__, error)


def keep(
    client: Client, run_id: str, figures: Mapping[str, Figure], name: str, facts: Mapping[str, Any]
) -> None:
    """Log pictures, and facts beside them unless there are none, in one go."""
    contents = {file: png(figure) for file, figure in figures.items()}
    if facts:
        contents[name] = json.dumps(facts).encode()
    artifacts.write_folder(client, run_id, contents, FOLDER)


def png(figure: Figure) -> bytes:
    """Return a picture in few colours, so that several fit into a page: about 15 kB each."""
    from PIL import Image

    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(_COLOURS).save(small, format="png", optimize=True)
    return small.getvalue()
