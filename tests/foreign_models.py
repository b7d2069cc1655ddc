"""Models that somebody else has trained and registered, without this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

NUMBERS, TEXTS = ["distance", "wind"], ["carrier", "origin"]
TYPES = ["numpy.dtype"]


def frame_of(rows: pa.Table, columns: list[str] | None = None) -> pd.DataFrame:
    """Return features as a notebook has them."""
    return rows.select(columns or [*NUMBERS, *TEXTS]).to_pandas()


def pipeline(estimator: Any = None) -> Any:
    """Return an unfitted pipeline of scikit-learn, of steps that are not ours."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), TEXTS),
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
    )
    return make_pipeline(prepare, LogisticRegression() if estimator is None else estimator)


def fitted(rows: pa.Table, estimator: Any = None, target: str = "late", labels: Any = None) -> Any:
    """Fit that pipeline to rows, their columns in the order of a notebook."""
    truth = np.asarray(rows[target].to_numpy(zero_copy_only=False) if labels is None else labels)
    return pipeline(estimator).fit(frame_of(rows, ["origin", "wind", "carrier", "distance"]), truth)


def save(model: Any, folder: Path, form: str = "skops", example: pd.DataFrame | None = None) -> Path:
    """Write a model as ``mlflow.sklearn.log_model`` does.

    :param example: rows that a signature is inferred from; None for no signature.
    """
    import mlflow.sklearn
    from mlflow.models import infer_signature

    signature = None if example is None else infer_signature(example, model.predict(example))
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=signature,
        pip_requirements=["scikit-learn"],
        serialization_format=form,
        **({"skops_trusted_types": TYPES} if form == "skops" else {}),
    )
    return folder


def register(client: Any, folder: Path, name: str = "notebook", tags: dict[str, str] | None = None) -> str:
    """Register a folder as a version, and return its number."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)
    return str(client.create_model_version(name, folder.as_uri(), tags=tags).version)
