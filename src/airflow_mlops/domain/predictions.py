"""Names of the columns of the predictions table, and of the challenger's table beside it."""

from __future__ import annotations

from typing import NamedTuple

SCORE = "score"
"""Probability of the positive class of two, of the chosen class of many, or the predicted value."""
PREDICTION = "prediction"
"""The chosen class, as text; only of classifiers."""
PROBABILITIES = "probabilities"
"""Probability of each class, in the order of the version's classes; only of classifiers of more than two."""
INTERVAL = ("score_low", "score_high")
"""Lower and upper bound of the predicted value, if the estimator predicts them."""
SERVED_BY = "served_by"
"""Which of the two models served the prediction, ``champion`` or ``challenger``; only if the keys are split."""
SCORED_AT = "scored_at"
"""When the prediction was made."""
CHAMPION_SCORE = "champion_score"
"""In the challenger's table: the champion's prediction for the row."""
CHAMPION_PREDICTION = "champion_prediction"
"""In the challenger's table: the class that the champion has chosen."""
CHAMPION_PROBABILITIES = "champion_probabilities"
"""In the challenger's table: the champion's probability of each class. There both models' probabilities are in the order of
the challenger's classes, then those that only the champion has."""
CHAMPION_VERSION = "champion_version"
"""In the challenger's table: the champion's version."""
MODEL_VERSION = "model_version"
"""The model version that made the prediction."""
MODEL_DIGEST = "model_digest"
"""The digest of that model version."""
DATASET_VERSION = "dataset_version"
"""The version of the dataset that the features were read from."""
DATASET_DIGEST = "dataset_digest"
"""The digest of that dataset version."""
PREDICTION_COLUMNS = (
    SCORE,
    PREDICTION,
    PROBABILITIES,
    *INTERVAL,
    SERVED_BY,
    SCORED_AT,
    CHAMPION_SCORE,
    CHAMPION_PREDICTION,
    CHAMPION_PROBABILITIES,
    CHAMPION_VERSION,
    MODEL_VERSION,
    MODEL_DIGEST,
    DATASET_VERSION,
    DATASET_DIGEST,
)
"""The columns that these tables have besides key and event time."""


class Predictor(NamedTuple):
    """The version that made a prediction: a model that was deleted and trained again has the same numbers once more.

    :param digest: digest of the version's content; None if it was not recorded, so that nobody can tell which it was.
    """

    version: str
    digest: str | None
