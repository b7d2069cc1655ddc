"""Score: predict one partition with the champion, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.results import DatasetVersion, ModelRef, ScoringReport
from airflow_mlops.engines import ledger, models, registry, tables, transform

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow import MlflowClient

SCORE = "score"
"""Column of predictions: probability of the positive class, or the predicted value."""


def champion_for(client: MlflowClient, ledger_uri: str, model: str, partition: str) -> ModelRef | None:
    """Return the champion that partition ``partition`` is scored and judged with.

    A partition at the live edge gets what the alias says. A partition that has been decided on already is being
    replayed: it gets the champion of that time, which only the ledger knows. So does one at which the champion was
    rolled back: what it was scored with is what it is judged with.

    :raises RegistryUnavailable: if MLflow does not answer, which is never the same as having no champion.
    """
    if not ledger.reached(ledger_uri, partition):
        return registry.champion(client, model)
    version = ledger.champion_as_of(ledger_uri, partition)
    return registry.version(client, model, version) if version is not None else None


def score(
    client: MlflowClient,
    *,
    model: str,
    dataset: DatasetVersion,
    champion: ModelRef | None,
    task: str,
    uri: str,
) -> ScoringReport:
    """Write the champion's predictions of one partition to the Delta table at ``uri``.

    The table has the dataset's key and event time, ``score``, and which model version, digest, dataset version and
    dataset digest it came from. The same model on the same data writes nothing again.

    :raises DigestMismatch: if the champion's bytes are not those that were trained.
    :raises TransformFailed: if the features were prepared by other code than those that the champion learned from.
    """

    def report(rows: int, written: bool, reason: str) -> ScoringReport:
        return ScoringReport(
            model=model,
            dataset=dataset,
            partition=dataset.partition,
            rows=rows,
            champion=champion,
            uri=uri,
            written=written,
            reason=reason,
        )

    if champion is None:
        return report(0, False, "there is no champion yet, so nothing is scored")
    if _already_written(uri, dataset, champion):
        return report(dataset.rows, False, f"version {champion.version} has scored this data already")
    transform.check_scoring(client, dataset, champion)
    rows = tables.read(dataset.uri, version=dataset.version, partition=dataset.partition)
    fitted = models.load_version(client, champion)
    predicted = models.predict(fitted, rows.to_pandas(), task)
    tables.replace_partition(uri, _predictions(rows, predicted, dataset, champion), dataset.partition)
    return report(rows.num_rows, True, f"scored with version {champion.version}")


def _predictions(rows: pa.Table, predicted: object, dataset: DatasetVersion, champion: ModelRef) -> pa.Table:
    import pyarrow as pa

    table = rows.select(list(dict.fromkeys([*dataset.key, dataset.event_time])))
    table = table.append_column(SCORE, pa.array(predicted, pa.float64()))
    for name, value in {
        "model_version": champion.version,
        "model_digest": champion.digest,
        "dataset_version": str(dataset.version),
        "dataset_digest": dataset.digest,
    }.items():
        table = table.append_column(name, pa.array([value] * rows.num_rows, pa.string()))
    return table


def _already_written(uri: str, dataset: DatasetVersion, champion: ModelRef) -> bool:
    if not tables.exists(uri):
        return False
    origin = ["model_version", "model_digest", "dataset_digest"]
    found = tables.read(uri, partition=dataset.partition, columns=origin)
    wanted = {
        "model_version": champion.version,
        "model_digest": champion.digest,
        "dataset_digest": dataset.digest,
    }
    return bool(
        found.num_rows == dataset.rows and found.group_by(origin).aggregate([]).to_pylist() == [wanted]
    )
