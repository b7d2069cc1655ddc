"""Model cards: what a version is for, how good it is, on which evidence, and what its limits are."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.exceptions import ModelNotFound, TableMissing, TableUnreadable
from airflow_mlops.learning import provenance
from airflow_mlops.learning.models import own_metrics
from airflow_mlops.learning.pictures import pictures
from airflow_mlops.reporting import markdown
from airflow_mlops.reporting.card.facts import Row, Sources, gather
from airflow_mlops.reporting.card.page import render_page
from airflow_mlops.reporting.card.text import render_markdown
from airflow_mlops.reporting.verdicts import appearance
from airflow_mlops.reporting.words import number
from airflow_mlops.stores.registry import artifacts, registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import Evaluation, PromotionDecision
    from airflow_mlops.stores.registry.client import Client

_logger = logging.getLogger(__name__)

MARKDOWN, PAGE = "model_card.md", "model_card.html"
"""Artifacts of the candidate's run."""


@own_metrics.scoped(lambda client, evaluation, **_: evaluation.candidate)
def write(
    client: Client,
    evaluation: Evaluation,
    *,
    validation_uri: str | None,
    description: str,
    owner: str,
    decision: PromotionDecision | None = None,
) -> str:
    """Write the card of a candidate as Markdown and HTML, log both to its run, and return the page.

    Writing it again, with a decision, replaces it, and describes the version in the registry too.

    :param validation_uri: the table of validations; None leaves them out.
    :param description: what the model is for.
    :param owner: who is responsible for it; empty if that is not known.
    :param decision: decision on the candidate; None before there is one.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    candidate = evaluation.candidate
    beside = _pictures(client, candidate.run_id)
    run_facts = provenance.read(client, candidate.run_id)
    sources = Sources(
        evaluation=evaluation,
        decision=decision,
        description=description,
        owner=owner,
        provenance=run_facts,
        seen=_json(beside, pictures.ROWS),
        importance=_json(beside, pictures.IMPORTANCE),
        validations=_validations(validation_uri, run_facts),
        pictures=[path for path in beside if path.endswith(".png")],
    )
    facts = gather(sources)
    text = render_markdown(facts)
    page = render_page(text, facts.title, beside)
    artifacts.write_folder(client, candidate.run_id, {MARKDOWN: text.encode(), PAGE: page.encode()})
    if decision is not None:
        describe(client, candidate.version, decision, candidate.metric, evaluation.metrics)
    return page


def describe(
    client: Client,
    version: str,
    decision: PromotionDecision,
    metric: str,
    metrics: Mapping[str, float | None],
) -> None:
    """Write the decision on a version and its reason into the registry, as one line of its description.

    :param metric: the metric that the candidate was chosen by.
    :param metrics: of the holdout, by name.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    measured = f"{metric} {number(metrics.get(metric))} on the holdout"
    text = f"{appearance(decision.action)} at {decision.partition}: {decision.reason} ({measured}). Model card: {PAGE} of the run."
    registry.describe(client, decision.model, version, str(markdown.escape(text)))


def _pictures(client: Client, run_id: str) -> dict[str, bytes]:
    """Return the pictures of a run and the files beside them, by path."""
    try:
        return artifacts.read_folder(client, run_id, pictures.FOLDER)
    except ModelNotFound:
        return {}


def _json(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(files[f"{pictures.FOLDER}/{name}"])
    except (KeyError, ValueError, RecursionError):
        return {}
    return facts


def _validations(uri: str | None, run_facts: Mapping[str, Any]) -> dict[str, Row]:
    partitions = set(run_facts.get("partitions", ()))
    if uri is None or not partitions:
        return {}
    columns = ["partition", "verdict", "reason", "quarantined"]
    try:
        rows = tables.read(uri, columns=columns).to_pylist()
    except TableMissing:
        return {}
    except TableUnreadable as error:
        _logger.warning("The card shows no validations: %s", error)
        return {}
    return {
        row["partition"]: (Verdict(row["verdict"]), row["reason"], row["quarantined"])
        for row in rows
        if row["partition"] in partitions
    }
