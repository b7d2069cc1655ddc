"""The classes of a classifier: found in its labels, coded by their position, and kept within the fitted pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.classes import BINARY, MOST, class_name
from airflow_mlops.exceptions import SchemaMismatch

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

UNSEEN = -1
"""Code of a label that is none of the classes; a model of more than two classes gives it no probability."""
_MOST_ROWS = 0.9
_SHOWN = 3
_NAMES, _SEEN = "mlops_classes_", "mlops_seen_"


class ModelClasses(NamedTuple):
    """The classes that a fitted pipeline tells apart.

    :param names: in the order of its probabilities.
    :param seen: the positions of those that its estimator was fitted to; it gives the others no probability.
    """

    names: tuple[str, ...]
    seen: tuple[int, ...]


def in_order(labels: np.ndarray, target: str, least: int = 1) -> tuple[str, ...]:
    """Return the classes of labels: numbers by value, texts by their characters; 0 and 1 also if only one is there.

    :param labels: numbers or texts, as :func:`airflow_mlops.learning.models.pipeline.labels` returns them.
    :param least: number of rows below which a class is left out, as long as two others remain, and nine rows of ten.
    :raises SchemaMismatch: if a number has a fraction, or there are more than :data:`MOST` classes.
    """
    import pandas as pd

    counts = pd.Series(labels).value_counts(sort=False)
    frequent = counts.index[counts >= least]
    spared = len(frequent) > 1 and counts[frequent].sum() >= _MOST_ROWS * counts.sum()
    values = frequent if spared else counts.index
    if len(values) > MOST:
        raise SchemaMismatch(
            f"Target {target!r} has {len(values):,} classes, and at most {MOST:,} can be told apart: group them, or write "
            "task: regression if it is a number."
        )
    names = tuple(_name(value, target) for value in sorted(values))
    return BINARY if set(names) <= set(BINARY) else names


def column_of(labels: np.ndarray, *, as_text: bool = False) -> pa.Array:
    """Return labels as a column: texts, or numbers.

    :param as_text: whether whole numbers are the names of classes too.
    """
    import pyarrow as pa

    if as_text and labels.dtype != object:
        return pa.array([class_name(value) for value in labels.tolist()], pa.string())
    return pa.array(labels, pa.string() if labels.dtype == object else pa.float64())


def is_one_of(labels: np.ndarray, classes: Sequence[str], target: str) -> np.ndarray:
    """Tell for each label whether it is one of the classes; errors as for :func:`in_order`."""
    import numpy as np
    import pandas as pd

    codes, values = pd.factorize(labels)
    inside: np.ndarray = np.array([_name(value, target) in classes for value in values], bool)[codes]
    return inside


def refuse_others(
    labels: np.ndarray, classes: Sequence[str], target: str, where: str, *, masked: bool = False
) -> None:
    """Refuse labels that are none of the classes.

    :param classes: none takes any text, and of numbers 0 and 1.
    :param where: what the labels are, for the message.
    :param masked: whether the labels may not be shown.
    :raises SchemaMismatch: with their number and the first of them, unless they may not be shown.
    """
    if masked:
        try:
            refuse_others(labels, classes, target, where)
        except SchemaMismatch:
            # The error before shows them.
            raise SchemaMismatch(
                f"{where}: of {labels.size:,} values of {target!r} some are none of the classes; they are not shown, as pii lists "
                "their column. Name them in classes, or correct the labels."
            ) from None
        return
    if not classes and labels.dtype != object:
        classes = BINARY
    if not classes or is_one_of(labels, classes, target).all():
        return
    if tuple(classes) == BINARY:
        coded(labels, classes, target)
    strange = labels[~is_one_of(labels, classes, target)]
    first = ", ".join(dict.fromkeys(repr(_name(label, target)) for label in strange[:_SHOWN]))
    raise SchemaMismatch(
        f"{where}: {strange.size:,} of {labels.size:,} values of {target!r} are none of classes, which names "
        f"{', '.join(classes)}: {first}. Name them there, or correct the labels."
    )


def coded(labels: np.ndarray, classes: Sequence[str], target: str) -> np.ndarray:
    """Return the position of each label's class, :data:`UNSEEN` for a label that is none of several classes.

    :param labels: as for :func:`in_order`.
    :raises SchemaMismatch: if a number has a fraction, or if a label is neither of two classes: what a model of two
        predicts says nothing about a third.
    """
    import numpy as np
    import pandas as pd

    places = {name: place for place, name in enumerate(classes)}
    codes, values = pd.factorize(labels)
    names = [_name(value, target) for value in values]
    strange = sorted(name for name in names if name not in places)
    if strange and len(places) == len(BINARY):
        first, second = classes
        raise SchemaMismatch(
            f"Target {target!r} must be {first} or {second}{', or false or true' if tuple(classes) == BINARY else ''}; "
            f"it is also {strange[0]}. Name all of its classes in classes, where false and true are 0 and 1, or correct the label."
        )
    coded_labels: np.ndarray = np.array([places.get(name, UNSEEN) for name in names], np.int64)[codes]
    return coded_labels


def _name(value: str | float, target: str) -> str:
    if isinstance(value, str) or float(value).is_integer():
        return class_name(value)
    raise SchemaMismatch(
        f"Target {target!r} must be a class, which is a text, a whole number, or false or true; it is also {value:g}. "
        "Write task: regression to predict a number."
    )


def keep(fitted: Pipeline, classes: Sequence[str], seen: Sequence[int]) -> None:
    """Keep the classes within a pipeline, so that its digest covers them; 0 and 1 are what any pipeline has."""
    if tuple(classes) != BINARY:
        setattr(fitted, _NAMES, tuple(classes))
        setattr(fitted, _SEEN, tuple(int(code) for code in seen))


def of(fitted: Pipeline) -> ModelClasses:
    """Return the classes that a fitted pipeline keeps."""
    names = getattr(fitted, _NAMES, BINARY)
    return ModelClasses(names, getattr(fitted, _SEEN, tuple(range(len(names)))))


def arranged(own: ModelClasses, probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return probabilities in the order of some classes: of the second one of two, else one column a class.

    :param probabilities: one column for each class that was seen.
    """
    import numpy as np

    order = tuple(classes)
    # A model that was trained elsewhere may have its columns in another order than its classes.
    if order == own.names and tuple(own.seen) == tuple(range(len(order))):
        return probabilities[:, 1] if len(order) == len(BINARY) else probabilities
    places = {name: place for place, name in enumerate(order)}
    columns = np.zeros((len(probabilities), len(order)))
    for column, code in enumerate(own.seen):
        if own.names[code] in places:
            columns[:, places[own.names[code]]] = probabilities[:, column]
    return columns[:, 1] if len(order) == len(BINARY) else columns
