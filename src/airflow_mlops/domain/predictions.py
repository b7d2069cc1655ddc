"""The table of predictions, and the challenger's beside it: the names of their columns."""

from __future__ import annotations

SCORE = "score"
"""Probability of the positive class, or the predicted value."""
INTERVAL = ("score_low", "score_high")
"""Bounds of the predicted value, where the estimator offers them."""
SERVED_BY = "served_by"
"""``champion`` or ``challenger``; only where the keys are split."""
SCORED_AT = "scored_at"
"""When the prediction was made."""
CHAMPION_SCORE = "champion_score"
"""In the challenger's table: what the champion has predicted for the row."""
CHAMPION_VERSION = "champion_version"
"""In the challenger's table: which version that was."""
MODEL_VERSION = "model_version"
"""The version that has predicted."""
MODEL_DIGEST = "model_digest"
"""Its digest."""
DATASET_VERSION = "dataset_version"
"""The version of the data that the features were read from."""
DATASET_DIGEST = "dataset_digest"
"""Its digest."""
PREDICTION_COLUMNS = (
    SCORE,
    *INTERVAL,
    SERVED_BY,
    SCORED_AT,
    CHAMPION_SCORE,
    CHAMPION_VERSION,
    MODEL_VERSION,
    MODEL_DIGEST,
    DATASET_VERSION,
    DATASET_DIGEST,
)
"""What these tables add to key and event time."""
