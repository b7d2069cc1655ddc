"""The recipe of a training: all that decides which model comes out."""

from __future__ import annotations

from typing import Any

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.results import DatasetVersion, Split


class Recipe(Fact):
    """What a candidate is trained from; the same recipe gives the same model.

    It is kept with every version, as tag ``mlops.recipe``, together with the parameters that the search chose, so that a
    training can be repeated years later.

    :param model: registered model's name.
    :param candidate: a :class:`~airflow_mlops.domain.spec.model.Candidate`, as its ``to_dict`` writes it.
    :param task: ``classification`` or ``regression``.
    :param features: a :class:`~airflow_mlops.domain.spec.model.Features`, as its ``to_dict`` writes it.
    :param metric: metric that trials and candidates are ranked by.
    :param budget: a :class:`~airflow_mlops.domain.spec.model.Budget`, as its ``to_dict`` writes it.
    :param folds: spans of time that a search validates on.
    :param ranked: False for an only candidate without a search, which is fitted once and has no inner score.
    """

    model: str
    candidate: dict[str, Any]
    task: str
    target: str
    features: dict[str, Any]
    metric: str
    dataset: DatasetVersion
    split: Split
    budget: dict[str, Any]
    folds: int = 1
    seed: int = 0
    ranked: bool = True


LEAST_ROWS = 50
"""Rows with a label that a training needs."""
