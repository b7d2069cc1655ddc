"""A model with candidates in the registry of a real server, and its ledger."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlflow import MlflowClient

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, Evaluation, PromotionDecision, TrainedModel
from airflow_mlops.stages.promote import promote
from airflow_mlops.stores.registry import ledger, registry, tracking
from airflow_mlops.stores.registry.ledger import RowKind
from registry_builders import make_evaluation, make_gate, make_version

BLESSED = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="blessed in another test")


class Story:
    """What happens to one model.

    :param client: which sees no faults.
    :param folder: for the ledger.
    """

    def __init__(self, client: MlflowClient, model: str, folder: Path) -> None:
        self.client = client
        self.model = model
        self.ledger = f"file://{folder}/ledger"
        self.one = make_version(client, model)

    @property
    def champion(self) -> str | None:
        return registry.champion_version(self.client, self.model)

    @property
    def kinds(self) -> list[RowKind]:
        return [row.kind for row in ledger.rows(self.ledger)]

    def twin(self, name: str) -> TrainedModel:
        """Register the one model once more, as a version of its own."""
        found = self.client.get_model_version(self.model, self.one.version)
        tags = found.tags | {tracking.KEY: name}
        model_id = tracking.outputs(self.client, self.one.run_id)[-1]
        made = self.client.create_model_version(
            self.model, found.source, found.run_id, tags=tags, model_id=model_id
        )
        return self.one.model_copy(update={"version": str(made.version)})

    def crown(self, trained: TrainedModel) -> None:
        """Leave what a first promotion leaves."""
        decision = PromotionDecision(
            model=self.model, partition="2013-01", action=Action.PROMOTED, before=None, after=trained.version,
            digest=trained.digest, reason="first", key=f"crown/{trained.version}",
        )  # fmt: skip
        ledger.record(self.ledger, RowKind.INTENT, decision, actor="test")
        registry.set_champion(self.client, self.model, trained.version)
        ledger.record(self.ledger, RowKind.DONE, decision, actor="test")

    def judged(self, candidate: TrainedModel, champion: TrainedModel | None = None) -> Evaluation:
        return make_evaluation(candidate, champion).model_copy(update={"checks": (make_gate(), BLESSED)})

    def promote(
        self,
        client: MlflowClient,
        candidate: TrainedModel,
        champion: TrainedModel | None = None,
        key: str = "run",
    ) -> PromotionDecision:
        return promote.promote(
            client, ledger_uri=self.ledger, evaluation=self.judged(candidate, champion), key=key, actor="test"
        )

    def rollback(self, client: MlflowClient, key: str = "undo") -> PromotionDecision:
        return promote.rollback(
            client, ledger_uri=self.ledger, model=self.model, to=None, reason="complaints", key=key, actor="test",
            partition="2013-02",
        )  # fmt: skip


def left(client: MlflowClient, model: str) -> tuple[list[str], int, list[str]]:
    """Return what trainings have left: the status of each run, the number of versions, and each logged model's status."""
    experiment = client.get_experiment_by_name(model)
    runs = client.search_runs([experiment.experiment_id])
    logged = client.search_logged_models([experiment.experiment_id])
    return (
        sorted(run.info.status for run in runs),
        len(client.search_model_versions(f"name = '{model}'")),
        sorted(_names(each.status for each in logged)),
    )


def _names(statuses: Iterable[object]) -> list[str]:
    return [str(status) for status in statuses]
