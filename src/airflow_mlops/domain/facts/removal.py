"""Facts about the removal of a model: what goes with it."""

from __future__ import annotations

from airflow_mlops.domain.checks import Fact


class ModelRemoval(Fact):
    """What the removal of a model takes away.

    :param tables: number of rows of each of its tables, by name; None for one that cannot be read.
    :param files: number of files of the tables, those of earlier versions among them.
    :param size: their bytes.
    :param versions: versions of the registered model.
    :param champion: the version that served; None if none did.
    :param experiment: id of the experiment in MLflow; None without one.
    :param runs: how many runs the experiment has.
    :param artifacts: folder of the artifacts that goes too; None if they are left to MLflow.
    :param readers: versions of other models that were trained on its data, and so cannot be trained again.
    """

    model: str
    tables: dict[str, int | None]
    files: int
    size: int
    versions: tuple[str, ...]
    champion: str | None
    experiment: str | None
    runs: int
    artifacts: str | None
    readers: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """Whether there is nothing of the model in tables and in MLflow."""
        return not (self.files or self.versions or self.experiment)
