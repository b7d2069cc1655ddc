"""What a changed spec or its code would do, before it does it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from airflow_mlops.domain.checks import Fact, Number


class Outlook(StrEnum):
    """What follows from a change. ``breaks``: something that works now would stop; ``unknown`` says why it is not known."""

    SAME = "same"
    CHANGES = "changes"
    BREAKS = "breaks"
    UNKNOWN = "unknown"


class Part(StrEnum):
    """The parts of the loop that a change may show in, in the order of the loop."""

    DATA = "data"
    PREDICTIONS = "predictions"
    TRAINING = "training"
    CHAMPION = "champion"
    TIME = "time"


class SpecChange(Fact):
    """A field of a spec that has another value by its meaning, or a function of it with other code.

    :param place: path of the field, such as ``gates.floor.roc_auc``; what lists hold is named by what it is.
    :param before: former value; None if there was none.
    :param after: new value; None if there is none any more.
    """

    place: str
    before: Any = None
    after: Any = None


class TaskChange(Fact):
    """A DAG or a task that is new, gone or set otherwise.

    :param task: None for the DAG itself.
    :param how: ``added``, ``removed`` or ``changed``.
    :param settings: what is set otherwise, such as ``policy``; empty unless it is changed.
    """

    dag: str
    task: str | None = None
    how: str
    settings: tuple[str, ...] = ()


class ColumnChange(Fact):
    """A column of a table that is new, gone or of another type.

    :param before: Arrow type; None if there is no such column.
    :param after: Arrow type; None if there is no such column any more.
    """

    table: str
    column: str
    before: str | None = None
    after: str | None = None


class Effect(Fact):
    """One thing that follows, or does not follow, from the changes, as a sentence."""

    part: Part
    outlook: Outlook
    text: str


class ServingPreview(Fact):
    """Whether a version that predicts now goes on doing so.

    :param role: ``champion`` or ``challenger``.
    :param serves: None if that is not known.
    """

    role: str
    version: str | None
    serves: bool | None
    reason: str


class Preview(Fact):
    """What a spec and its code would do, compared with what was before.

    :param against: what it is compared with, in words.
    :param compared: False if there was no former spec to compare with.
    :param changes: what differs in the spec and in the code of its functions.
    :param tasks: DAGs and tasks that would be others.
    :param columns: columns of tables that would be others.
    :param published: keys of the partitions that are published.
    :param ingest_again: those that have to be ingested again before a model can be trained.
    :param trains_at: partition of the next decision; None if it is not known.
    :param trains: whether a candidate is trained then; None if it is not known.
    :param why: why, by the retrain policy.
    :param seconds: of a training of all candidates, by this model's own history; None if one of them has none.
    :param newer: what the newest edition of the defaults would set besides, by key; empty if the spec has it.
    """

    model: str
    against: str
    compared: bool
    changes: tuple[SpecChange, ...] = ()
    tasks: tuple[TaskChange, ...] = ()
    columns: tuple[ColumnChange, ...] = ()
    published: tuple[str, ...] = ()
    ingest_again: tuple[str, ...] = ()
    trains_at: str | None = None
    trains: bool | None = None
    why: str = ""
    seconds: Number = None
    serving: tuple[ServingPreview, ...] = ()
    effects: tuple[Effect, ...] = ()
    newer: dict[str, Any] = Field(default_factory=dict)

    @property
    def outlook(self) -> Outlook:
        """What follows from all of it: ``breaks`` if anything would stop working, ``changes`` if anything would be another, else ``same``.

        Without a former spec all of a new model is a change, and of one that has run before it is ``unknown`` what changes.
        """
        outlooks = {effect.outlook for effect in self.effects}
        if Outlook.BREAKS in outlooks:
            return Outlook.BREAKS
        if not self.compared:
            return Outlook.UNKNOWN if self.published else Outlook.CHANGES
        others = self.changes or self.tasks or self.columns or Outlook.CHANGES in outlooks
        return Outlook.CHANGES if others else Outlook.SAME
