"""What becomes of each column, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.classes import class_name
from airflow_mlops.domain.facts.recipe import LEAST_OF_A_CLASS
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec.data import Features
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stages.init import column_names
from airflow_mlops.stages.init.look import SAMPLE, ColumnLook, Look, in_utc
from airflow_mlops.stages.validate.profiles import WORDS, is_number

if TYPE_CHECKING:
    import numpy as np

LEAKS = 0.99
"""ROC AUC, or R2, of one feature alone from which it is taken for a copy of the target, as the gate `leakage` has it."""
_DIFFERENT = 0.9
"""Share of the rows with a value of their own from which a column tells rows apart and nothing else."""
_ADDRESS = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
_USES = ("numeric", "categorical", "dates", "text")


class Role(NamedTuple):
    """What becomes of a column.

    :param use: ``target``, ``key``, ``time``, a kind of features, or empty if it is left out.
    """

    column: str
    kind: str
    use: str
    reason: str
    personal: bool = False


class Roles(NamedTuple):
    """What becomes of all columns.

    :param telling: features that alone tell one class from the rest, and how well; other classes they do not.
    """

    roles: tuple[Role, ...]
    telling: dict[str, float]

    def named(self, use: str) -> tuple[str, ...]:
        """Return the columns of a use."""
        return tuple(role.column for role in self.roles if role.use == use)

    @property
    def personal(self) -> tuple[str, ...]:
        """The columns with personal data."""
        return tuple(role.column for role in self.roles if role.personal)


def of(look: Look, target: str, key: Collection[str], time: str | None, task: Task) -> Roles:
    """Return what becomes of the columns of some rows.

    :param key: columns that identify a row.
    :param time: event time; None if there is none.
    """
    roles = [_role(look, column, target, key, time) for column in look.columns.values()]
    alone = _alone(look, roles, target, task)
    most = {name: max(scores) for name, scores in alone.items() if max(scores) >= LEAKS}
    leaks = {name: score for name, score in most.items() if min(alone[name]) >= LEAKS}
    telling = {name: score for name, score in most.items() if name not in leaks}
    measure = "R2" if task is Task.REGRESSION else "ROC AUC"
    roles = [
        role._replace(use="", reason=f"tells {target} alone ({measure} {leaks[role.column]:.3f}): a copy?")
        if role.column in leaks
        else role
        for role in roles
    ]
    return Roles(tuple(roles), telling)


def kind_of(column: ColumnLook) -> str:
    """Return the type of a column in a word."""
    from pyarrow import types

    if column.hours:
        return "date" if types.is_date(column.kind) else "time"
    if types.is_string(column.kind) or types.is_large_string(column.kind):
        return "text"
    words = {"int64": "whole", "double": "number", "bool": "yes/no", "null": "empty"}
    return words.get(str(column.kind), str(column.kind))


def _role(look: Look, column: ColumnLook, target: str, key: Collection[str], time: str | None) -> Role:
    name, kind = column.name, kind_of(column)
    personal = column_names.is_personal(name) or _holds_addresses(look, name)
    for use, names, reason in (
        ("target", (target,), "what is predicted"),
        ("key", key, "identifies a row"),
        ("time", (time,), "orders rows and makes partitions"),
    ):
        if name in names:
            return Role(name, kind, use, reason, personal)
    use, reason = ("", "looks like personal data") if personal else _use(column)
    return Role(name, kind, use, reason, personal)


def _use(column: ColumnLook) -> tuple[str, str]:
    from pyarrow import types

    name, present = column.name, column.profile.present
    if not present:
        return "", "has no value"
    if types.is_nested(column.kind) or types.is_binary(column.kind):
        return "", "no number, text or time"
    if column.is_constant:
        return "", "always the same"
    if column_names.is_row_number(name):
        return "", "the number of the row"
    if column.hours:
        return "dates", "hour, weekday and season"
    differs = column.distinct >= _DIFFERENT * min(present, SAMPLE)
    if is_number(column.kind) or types.is_boolean(column.kind):
        if types.is_integer(column.kind) and column_names.identifies(name):
            return (
                ("", "identifies something") if differs else ("categorical", "a number that names something")
            )
        return "numeric", "yes or no" if types.is_boolean(column.kind) else "measures something"
    if column.words >= WORDS and column.profile.values is None:
        return "text", f"{column.words:.0f} words on average"
    if differs:
        return "", "different in nearly every row"
    return "categorical", f"{column.distinct:,} different values"


def features(roles: Sequence[Role]) -> Features | None:
    """Return the columns to learn from; None if there are none."""
    kinds = {use: [role.column for role in roles if role.use == use] for use in _USES}
    return Features.model_validate(kinds) if any(kinds.values()) else None


def classes(look: Look, target: str) -> tuple[str | int, ...]:
    """Return the classes of a target, if they are texts; of two, the one that people look for is the second."""
    import pyarrow.compute as pc
    from pyarrow import types

    column = look.columns[target]
    if not (types.is_string(column.kind) or types.is_large_string(column.kind)):
        return ()
    counts = column.profile.values
    if counts is None:
        counts = {part["values"]: part["counts"] for part in pc.value_counts(look.sample[target]).to_pylist()}
    names = sorted(value for value in counts if value)
    if len(names) != 2:
        return tuple(names)
    first, second = names
    if column_names.is_positive(first) != column_names.is_positive(second):
        return (second, first) if column_names.is_positive(first) else (first, second)
    return (second, first) if counts[first] < counts[second] else (first, second)


def _holds_addresses(look: Look, name: str) -> bool:
    import pyarrow.compute as pc
    from pyarrow import types

    column = look.sample[name].drop_null()
    if not types.is_string(column.type) or not len(column):
        return False
    return float(pc.mean(pc.match_substring_regex(column, _ADDRESS)).as_py()) > _DIFFERENT


def _alone(look: Look, roles: Sequence[Role], target: str, task: Task) -> dict[str, list[float]]:
    """Return how well each feature tells each class, or the number, alone."""
    from airflow_mlops.learning.models import pipeline
    from airflow_mlops.stages.evaluate import leakage

    used = features(roles)
    if used is None:
        return {}
    used = used.model_copy(update={"text": ()})
    rows, labels = pipeline.labels(in_utc(look.sample, used.dates), target, str(task))
    frame = pipeline.frame(rows, used)
    if task is Task.REGRESSION:
        scores = leakage.alone(frame, used, labels, str(task))
        return {name: [score] for name, score in (scores or {}).items()}
    scores_of: dict[str, list[float]] = {}
    for truth in _against_rest(labels, target):
        for name, score in (leakage.alone(frame, used, truth, str(task)) or {}).items():
            scores_of.setdefault(name, []).append(score)
    return scores_of


def _against_rest(labels: np.ndarray, target: str) -> Iterator[np.ndarray]:
    """Yield, for each class with enough rows, which rows are of it; of two classes for the second alone."""
    from airflow_mlops.learning.models import classes as label_classes

    try:
        names = label_classes.in_order(labels, target, LEAST_OF_A_CLASS)
    except SchemaMismatch:
        return
    texts = _texts(labels)
    for name in names[1:] if len(names) == 2 else names:
        yield texts == name


def _texts(labels: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.array([class_name(value) for value in labels.tolist()], object)
