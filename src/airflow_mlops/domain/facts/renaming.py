"""Facts about the renaming of a model, and how facts that name it are put right."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from airflow_mlops.domain.checks import Fact


class ModelRename(Fact):
    """What the renaming of a model changes.

    :param tables: its tables, which move with all versions.
    :param files: number of their files.
    :param versions: versions of the registered model, which keep their numbers, aliases and digests.
    :param experiment: id of the experiment that is renamed; None without one.
    :param readers: versions of other models that were trained on its data, whose records are put right too.
    :param begun: whether an earlier renaming was cut off, and this one finishes it.
    """

    model: str
    to: str
    tables: tuple[str, ...]
    files: int
    versions: tuple[str, ...]
    experiment: str | None
    readers: tuple[str, ...]
    begun: bool = False


class Names(NamedTuple):
    """The former and the new name of a model, and where the folders of its tables are."""

    old: str
    new: str
    old_folder: str
    new_folder: str

    def json(self, text: str) -> str:
        """Return JSON with the new name where a fact names the model or a table of it; other text as it is."""
        try:
            value = json.loads(text)
            changed = self.applied(value)
            return text if changed == value else json.dumps(changed)
        except (ValueError, RecursionError):
            return text

    def applied(self, value: Any) -> Any:
        """Return JSON values with the new name."""
        if isinstance(value, dict):
            # A candidate or a column may be called like the model; a dataset has a place beside its name.
            keys = ("model", "name", "dataset") if {"uri", "partition"} <= set(value) else ("model",)
            return {
                key: self.new if key in keys and part == self.old else self.applied(part)
                for key, part in value.items()
            }
        if isinstance(value, list):
            return [self.applied(part) for part in value]
        if isinstance(value, str) and value.startswith(f"{self.old_folder}/"):
            return self.new_folder + value.removeprefix(self.old_folder)
        return value
