"""Policy files of a replay: the sections of a spec that decide when to train, on what, what to watch, and who may serve."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from airflow_mlops.domain.spec import loading
from airflow_mlops.domain.spec.loading import Document
from airflow_mlops.domain.spec.model import Gates, ModelSpec, Monitor, Retrain, RetrainWhen
from airflow_mlops.domain.spec.problems import one_of, spec_error
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.exceptions import SpecError

CURRENT, NEVER, EVERY = "current", "never", "every_partition"
"""Policies that need no file: the spec's own, no training after the first model, and a training in each partition."""
BUILT_IN = (CURRENT, NEVER, EVERY)
"""Names of the policies that need no file."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


class PolicyTrain(Section):
    """What of a training a policy may change."""

    # As the spec's own, with which it is checked.
    window: Any = Field(description="Partitions to learn from, as in a spec.")


class PolicyFile(Section):
    """A policy to try: each section that it has takes the place of the spec's, as a whole; of ``train`` the window alone."""

    retrain: Retrain | None = Field(default=None, description="When to train again.")
    monitor: Monitor | None = Field(default=None, description="What is watched in production.")
    gates: Gates | None = Field(default=None, description="What a candidate must pass to become champion.")
    train: PolicyTrain | None = Field(default=None, description="What is learned from: `{window: 6}`.")


class Policy(NamedTuple):
    """A policy: its name, and the model's spec with the policy's sections."""

    name: str
    spec: ModelSpec


def read(path: Path, spec: ModelSpec) -> Policy:
    """Read a policy file; its name without the suffix is the name of the policy.

    :param spec: the model's spec, which the sections of the file must fit.
    :raises SpecError: listing everything that is wrong, each with its line.
    """
    name = path.stem
    if not _NAME.fullmatch(name):
        raise SpecError(["its name names the policy: use letters, digits, _, . and -"], path)
    if name in (*BUILT_IN, "oracle"):
        raise SpecError([f"{name} is a policy of its own in each replay; give the file another name"], path)
    document = loading.read(path)
    try:
        policy_file = PolicyFile.model_validate(document.value, by_alias=True, by_name=False)
    except ValidationError as error:
        raise spec_error(PolicyFile, path, document, error) from None
    if document.problems:
        raise spec_error(PolicyFile, path, document)
    sections = {
        name: getattr(policy_file, name)
        for name in policy_file.model_fields_set
        if getattr(policy_file, name) is not None
    }
    if not sections:
        raise SpecError(
            [f"has no section; write at least one of: {', '.join(PolicyFile.model_fields)}"], path
        )
    # The sections are validated again with the rest of the spec, because its task decides which metrics are allowed.
    values = around(spec)
    parts = {name: document.value[name] for name in sections}
    if "train" in parts:
        parts["train"] = {**values["train"], **parts["train"]}
    whole = {**values, **parts}
    try:
        fitted = ModelSpec.model_validate(whole, by_alias=True, by_name=False)
    except ValidationError as error:
        raise spec_error(ModelSpec, path, Document(whole, document.root), error) from None
    return Policy(name, spec.model_copy(update={section: getattr(fitted, section) for section in sections}))


def around(spec: ModelSpec) -> dict[str, Any]:
    """Return the values of a spec to check the sections of a policy with: a replay scores on trial, whatever the spec says of it."""
    values = spec.to_dict()
    return {**values, "score": {**values["score"], "shadow": True}}


def built_in(name: str, spec: ModelSpec) -> Policy:
    """Return a policy of :data:`BUILT_IN`.

    :raises SpecError: if the name is not one of them.
    """
    if name == CURRENT:
        return Policy(name, spec)
    if name not in BUILT_IN:
        raise SpecError([f"{name!r} is no built-in policy{one_of(name, BUILT_IN)}"], "replay")
    when = RetrainWhen(every=1 if name == EVERY else None)
    return Policy(name, spec.model_copy(update={"retrain": Retrain(when=when)}))
