"""The model registry: its versions, which of them is champion or challenger, and how each was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, Split
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, RegistryUnavailable
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import long_tags, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
"""The alias of the version that makes the predictions."""
DIGEST = "mlops.digest"
"""Tag of versions: the digest of their content."""
CLASSES = "mlops.classes"
"""Tag of versions: the classes that a classifier tells apart, as a list."""
DECISION = "mlops.decision"
"""Tag of versions: the :class:`~airflow_mlops.domain.facts.decision.DecisionRule`; none if 0.5 decides."""
UNTIL = "mlops.until"
"""Tag of versions that were trained elsewhere: an event time from which on they have learned from no row."""
CONSTANT = "mlops.constant"
"""Tag of versions that predict the same of every row, in place of a champion that fails."""
CHALLENGER = "challenger"
"""The alias of the version that predicts beside the champion."""


class Registration(NamedTuple):
    """The time when a version was registered, and its tags as :func:`tags` returns them."""

    at: datetime
    tags: dict[str, str]


class Training(NamedTuple):
    """The data that a version was trained on, and its metrics on the holdout.

    :param task: ``classification`` or ``regression``.
    :param metrics: metrics on the holdout; empty if the version was never evaluated.
    :param classes: the classes of a classification in the order of the probabilities; none for a regression.
    :param decision: from which probability on the version puts a row in the second of two classes.
    :param until: an event time from which on it has learned from no row, if it was trained elsewhere; None for the cut of the
        split.
    :param constant: whether it predicts the same of every row, in place of a champion that has failed.
    """

    task: str
    features: Features
    split: Split
    dataset: DatasetVersion
    metrics: dict[str, float]
    classes: tuple[str, ...] = ()
    decision: DecisionRule = HALF
    until: datetime | None = None
    constant: bool = False


# More than a version has; what is longer is shown in part.
_DIGITS = 20


def champion_version(client: MlflowClient, model: str) -> str | None:
    """Return the number of the version that has the champion's alias; None and errors as for :func:`alias_version`.

    Whether that version serves, the ledger says: see :func:`airflow_mlops.stores.registry.champions.current`.
    """
    return alias_version(client, model, CHAMPION)


def alias_version(client: MlflowClient, model: str, alias: str) -> str | None:
    """Return the number of the version that has an alias.

    :return: None only if MLflow says that it has no such model, or that the model has no such alias.
    :raises RegistryUnavailable: if MLflow gives any other answer, or none.
    """
    # All aliases are read rather than one: MLflow answers 400 for an unknown alias, as for any bad request. A wrong
    # address or a proxy never answers RESOURCE_DOES_NOT_EXIST, but may answer `{}`.
    try:
        with tracking.errors(client):
            registered = client.get_registered_model(model)
    except ModelNotFound:
        return None
    if registered.name != model:
        raise RegistryUnavailable(
            f"MLflow was asked for model {model!r} and answered with {registered.name!r}."
        )
    number = registered.aliases.get(alias)
    return None if number is None else str(number)


def set_champion(client: MlflowClient, model: str, number: str) -> None:
    """Point the champion alias at a version in one request; :mod:`airflow_mlops.stages.promote.promote` does so safely.

    :raises ModelNotFound: if there is no such version.
    :raises RegistryUnavailable: if MLflow refuses or does not answer; the alias may have moved all the same.
    """
    with tracking.errors(client):
        client.set_registered_model_alias(model, CHAMPION, number)


def set_challenger(client: MlflowClient, model: str, number: str) -> None:
    """Point the challenger alias at a version, whichever has it now; errors as for :func:`set_champion`."""
    with tracking.errors(client):
        client.set_registered_model_alias(model, CHALLENGER, number)


def drop_challenger(client: MlflowClient, model: str, number: str) -> None:
    """Take the challenger alias away from a version; if another version has it by now, that one keeps it."""
    if alias_version(client, model, CHALLENGER) == number:
        with tracking.errors(client):
            client.delete_registered_model_alias(model, CHALLENGER)


def tag(client: MlflowClient, model: str, number: str, name: str, value: str) -> None:
    """Set a tag of a version."""
    with tracking.errors(client):
        client.set_model_version_tag(model, number, name, value)


def describe(client: MlflowClient, model: str, number: str, text: str) -> None:
    """Set the description of a version that MLflow's own pages show, in Markdown.

    :raises ModelNotFound: if there is no such version.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client):
        client.update_model_version(model, number, text)


def versions(client: MlflowClient) -> list[ModelVersion]:
    """Return every version of every model.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    listing: list[ModelVersion] = []
    token = None
    with tracking.errors(client):
        while True:
            page = client.search_model_versions(max_results=1000, page_token=token)
            listing += page
            token = page.token
            if not token:
                return listing


def version(client: MlflowClient, model: str, number: str, recorded: str | None = None) -> ModelRef:
    """Return a registered version with the digest that it must have.

    A number alone says little: a model that was deleted and is trained again begins at 1 once more.

    :param recorded: the digest that the ledger, or whatever names the number, has of it; None if nothing has one.
    :raises ModelNotFound: if the version does not exist or is not ready; the message lists the versions that exist.
    :raises DigestMismatch: if the version has no digest, because it was not registered by this package, or another one
        than was recorded.
    """
    registered = get(client, model, number)
    digest = registered.tags.get(DIGEST)
    if not digest or not registered.run_id:
        raise DigestMismatch(
            f"Version {number} of {model!r} was not registered by a training run: without a run and the tag "
            "mlops.digest its content cannot be verified."
        )
    if recorded is not None:
        _refuse_other(registered, recorded)
    return ModelRef(
        model=model, version=str(registered.version), digest=digest, run_id=registered.run_id,
        trained_through=registered.tags.get("mlops.trained_through"),
    )  # fmt: skip


def training(client: MlflowClient, ref: ModelRef) -> Training:
    """Return the data that a version was trained on, with its metrics.

    :raises ModelNotFound: if the version or its run does not exist, or its tags lack the data.
    :raises DigestMismatch: see :func:`tags`.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    version_tags = tags(client, _same(client, ref))
    with tracking.errors(client):
        logged = client.get_run(ref.run_id).data.metrics
    with damage.errors(f"What version {ref.version} of {ref.model!r} was trained on", ModelNotFound):
        return Training(
            task=version_tags["mlops.task"],
            features=Features.model_validate_json(version_tags["mlops.features"]),
            split=Split.model_validate_json(version_tags["mlops.split"]),
            dataset=DatasetVersion.model_validate_json(version_tags["mlops.dataset"]),
            metrics={
                name.removeprefix("holdout/"): logged[name] for name in logged if name.startswith("holdout/")
            },
            classes=classes_of(version_tags),
            decision=decision_of(version_tags),
            until=datetime.fromisoformat(version_tags[UNTIL]) if UNTIL in version_tags else None,
            constant=CONSTANT in version_tags,
        )


def classes_of(version_tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes that a version tells apart, from its tags; earlier releases had 0 and 1 only.

    :raises ValueError: if the tag is no list.
    """
    if version_tags.get("mlops.task") != "classification":
        return ()
    return tuple(map(str, json.loads(version_tags.get(CLASSES, "[]")))) or BINARY


def decision_of(version_tags: Mapping[str, str]) -> DecisionRule:
    """Return the decision of a version, from its tags.

    :raises ValueError: if the tag is no decision.
    """
    text = version_tags.get(DECISION)
    return DecisionRule.model_validate_json(text) if text else HALF


def registration(client: MlflowClient, ref: ModelRef) -> Registration:
    """Return the time and tags of a version's registration; errors as for :func:`tags`."""
    registered = _same(client, ref)
    return Registration(
        datetime.fromtimestamp(registered.creation_timestamp / 1000, UTC), tags(client, registered)
    )


def short_tags(client: MlflowClient, ref: ModelRef) -> dict[str, str]:
    """Return the tags of a version as MLflow has them, in one request; a long one only refers to its artifact.

    :raises ModelNotFound: if there is no such version.
    :raises DigestMismatch: if the version of that number has another digest.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    return dict(_same(client, ref).tags)


def tags(client: MlflowClient, version: ModelVersion) -> dict[str, str]:
    """Return the tags of a version; those that were too long are read from the artifacts of its run.

    :raises DigestMismatch: if such an artifact is not the one that was registered.
    :raises ModelNotFound: if such an artifact is gone.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    return {name: long_tags.read(client, version, name, value) for name, value in version.tags.items()}


def _same(client: MlflowClient, ref: ModelRef) -> ModelVersion:
    registered = get(client, ref.model, ref.version)
    _refuse_other(registered, ref.digest)
    return registered


def _refuse_other(registered: ModelVersion, recorded: str) -> None:
    digest = str(registered.tags.get(DIGEST))
    if digest != recorded:
        raise DigestMismatch(
            f"Version {registered.version} of {registered.name!r} is registered with digest {digest[:12]}…, but was recorded "
            f"with {recorded[:12]}…: it was deleted and trained again, or somebody has changed it."
        )


def get(client: MlflowClient, model: str, number: str) -> ModelVersion:
    """Return a version as MLflow has it, whoever has registered it.

    :raises ModelNotFound: if it does not exist or is not ready; the message lists the versions that exist.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    # MLflow answers 400 if the version is not a number, and 500, or not at all, if its database cannot hold the number.
    if number.isascii() and number.isdigit() and len(number) <= _DIGITS and int(number) < 2**31:
        try:
            with tracking.errors(client):
                registered = client.get_model_version(model, number)
        except ModelNotFound:
            pass
        else:
            if registered.status == "READY":
                return registered
            raise ModelNotFound(
                f"Version {number} of {model!r} is {registered.status}, not READY: {registered.status_message}"
            )
    with tracking.errors(client):
        existing = sorted(int(other.version) for other in client.search_model_versions(f"name = '{model}'"))
    hint = f"it has {', '.join(map(str, existing))}" if existing else "it has none"
    short = number if len(number) <= _DIGITS else f"{number[:_DIGITS]}…"
    raise ModelNotFound(f"Model {model!r} has no version {short!r}; {hint} in {tracking.place(client)}.")
