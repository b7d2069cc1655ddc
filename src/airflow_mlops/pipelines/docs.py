"""Texts about the DAGs and tasks of a spec that the Airflow UI shows."""

from __future__ import annotations

from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.monitoring import MonitoringSpec

SUMMARY = {
    "ingest": "Read, validate and publish one partition of data",
    "score": "Predict a published partition with the champion",
    "monitor": "Measure drift, performance and staleness of the champion",
    "train": "Decide whether to retrain; train, gate and promote",
    "rollback": "Give the champion alias back to an earlier version",
}

_NEXT = {
    "ingest": "Its asset `{name}/data` starts `{name}.score` for the same partition.",
    "score": "Its asset `{name}/predictions` starts `{name}.monitor` for the same partition.",
    "monitor": "Its asset `{name}/health` starts `{name}.train` for the same partition.",
    "train": (
        "Start it by hand to retrain now: tick *Train whatever the policy says* and give a reason. Without a partition "
        "key it works on the latest published partition. Its asset `{name}/model` has an event for each promotion."
    ),
    "rollback": "Start it by hand with a reason. It moves one alias, needs no data and takes seconds.",
}
_NEXT_OF_DATA = {
    "ingest": "Its asset `{name}/data` has an event for each partition that is published: DAGs of yours can start by it.",
}

_NEXT_OF_PREDICTIONS = {
    "ingest": "Its asset `{name}/data` starts `{name}.monitor` for the same partition.",
    "monitor": "Its asset `{name}/health` has an event for each verdict: DAGs of yours can start by it.",
}

TASKS = {
    "arrival": "Waits until the partition's data is there and has stopped growing.",
    "ingest": "Reads the partition from its source into the staging table. Missing, empty, truncated or differently "
    "shaped data fails here, and nothing downstream runs.",
    "validate": "Runs the pre-checks, the Great Expectations suite and, of a model, the comparison with the champion's training "
    "data. Rows that break a `quarantine` expectation are "
    "set aside, a broken `block` expectation stops the partition.",
    "publish": "Copies the partition from staging to the data table in one commit: a new dataset version. The same "
    "content again changes nothing.",
    "wait": "Waits until the partition before has its decision, so that a backfill replays history in order.",
    "score": "Predicts the partition with the champion, once for each model and data version.",
    "drift": "Compares the partition with the champion's training data by Evidently, column by column.",
    "predictions": "Takes the predictions of the other system from the published data into the table of predictions.",
    "watch": "Compares the partition with the reference, judges predictions whose labels have matured, and keeps the verdict in the "
    "monitoring table.",
    "labels": "Reads the labels that became known during the partition.",
    "performance": "Judges predictions whose labels have matured since the last partition.",
    "guard": "Checks that the champion alias is where the ledger has put it, and takes back a new champion that does worse "
    "than the one before, if the spec says so.",
    "shadow": "Compares the challenger with the champion on rows whose labels have matured. Makes a challenger on trial the "
    "champion after enough clean partitions in a row, and drops one that fails.",
    "verdict": "Puts drift, performance and staleness together and keeps them in the monitoring table.",
    "decide": "Applies the retrain policy to what is recorded, and says why or why not. A partition before others that were "
    "decided already trains nothing, unless the run asks for the record.",
    "suggest": "Waits for a person to say whether to retrain, when a rule asks for it.",
    "train": "Searches for the parameters of one candidate, fits it on the rows before the holdout and registers it as a model "
    "version. The trials are nested runs of its MLflow run.",
    "take_in": "Takes in a version that somebody else has trained: loads it once, in a process of its own, tries it on rows of the "
    "data, and registers it as a version of this model, stored as skops with a digest.",
    "evaluate": "Judges the best candidate and the champion on the same holdout rows, gate by gate; loads the candidate in a fresh "
    "process; writes the model card.",
    "approve": "Waits for a person's word on a candidate that passed its gates. Without an approval nothing is promoted.",
    "promote": "Verifies the candidate's bytes and moves the `champion` alias by the promotion protocol. Skipped if a gate did not "
    "pass, or if the candidate has to predict beside the champion first (`gates.shadow`).",
    "record": "Writes the one decision on this partition to the ledger, whatever happened before.",
    "rollback": "Verifies that the target version loads and predicts, then moves the alias and records it.",
    "alert": "Mails what failed in this run, what people should know of it (warnings, bad health, recoveries), and what "
    "could not be mailed before. It fails if something failed, so that the run does, and is skipped if there is nothing "
    "to tell.",
}


def page(spec: DataSpec, stage: str) -> str:
    """Return a DAG's page in Markdown."""
    about = f"{spec.description}\n\n" if spec.description else ""
    after = _NEXT_OF_DATA
    if isinstance(spec, MonitoringSpec):
        after = _NEXT_OF_PREDICTIONS
    elif isinstance(spec, ModelSpec):
        after = _NEXT
    return (
        f"### {spec.name}: {stage}\n\n{about}{summary(spec, stage)}. {after[stage].format(name=spec.name)}\n"
    )


def summary(spec: DataSpec, stage: str) -> str:
    """Return what a DAG does, in a sentence without its full stop."""
    is_external = isinstance(spec, MonitoringSpec) and stage == "monitor"
    return (
        "Measure drift and performance of predictions that another system makes"
        if is_external
        else SUMMARY[stage]
    )
