"""The whole story of one version, for ``airflow mlops history --version``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli import terminal
from airflow_mlops.cli.ledger_table import facts, table, write
from airflow_mlops.cli.terminal import WIDE, shown
from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    from rich.table import Table

    from airflow_mlops.domain.checks import Check
    from airflow_mlops.stages.reproduce.reproduce import Record
    from airflow_mlops.stores.registry.ledger import Row


def tell(model: str, version: str, rows: Sequence[Row], output: str) -> None:
    """Print what a version was trained from, how it was judged, and the decisions and moves that concern it.

    If MLflow does not answer, or if the version was deleted, be it that another has its number by now, its part of the story
    is left out with a warning; the rest comes from the ledger.

    :param rows: the rows of the model's ledger.
    :raises SystemExit: if neither MLflow nor the ledger knows the version.
    """
    from airflow.cli.simple_table import AirflowConsole

    from airflow_mlops.stores.registry import ledger

    about = [row for row in rows if _concerns(version, row)]
    moved = ledger.moves(rows)
    record, champion, problem = _mlflow_record(model, version, moved)
    if problem:
        if not about:
            raise SystemExit(f"{problem} The ledger does not name version {version} either.")
        print(f"Without what MLflow knows of it: {problem}", file=sys.stderr)
    console = AirflowConsole()
    trial = ledger.trial(rows)
    on_trial = trial is not None and trial.evidence.candidate == version
    standing = "the challenger, on trial" if on_trial else _standing(version, champion, moved)
    checks = _checks(version, about)
    training = _training(record) if record else {}
    if output in ("json", "yaml"):
        story = {
            "model": model,
            "version": version,
            "standing": standing,
            "training": training,
            "gates": [check.to_dict() for check in checks],
            "events": [facts(row) for row in about],
        }
        write(console, story, output)
        return
    width = min(console.width, WIDE)
    console.print(shown(f"{model} version {version}: {standing}\n"))
    for part in (_grid(training), _gates(checks), table(about)):
        if part.row_count:
            console.print(part, width=width)


def _concerns(version: str, row: Row) -> bool:
    # A decision that keeps the version as champion is about another candidate.
    moved = row.before != row.after and version in (row.before, row.after)
    return moved or row.evidence.candidate == version


def _mlflow_record(model: str, version: str, moved: Sequence[Row]) -> tuple[Record | None, str | None, str]:
    """Return the record of a version in MLflow, the champion's version, and why MLflow has no answer ("" if it has).

    :param moved: moves of the ledger, which know the champion if MLflow does not answer, and the digest of the version.
    """
    from airflow_mlops.cli import connect
    from airflow_mlops.exceptions import DigestMismatch
    from airflow_mlops.stages.reproduce import reproduce
    from airflow_mlops.stores.registry import registry

    champion = moved[-1].after if moved else None
    digest = next((row.digest for row in reversed(moved) if row.after == version), None)
    try:
        client = connect.mlflow()
        champion = registry.champion_version(client, model)
        return reproduce.record(client, model, version, digest), champion, ""
    except DigestMismatch as error:
        # What has the number now, with an alias or without, is another version.
        return None, None, str(error)
    except (LookupError, OSError, ValueError) as error:
        return None, champion, str(error)


def _standing(version: str, champion: str | None, moved: Sequence[Row]) -> str:
    if version == champion:
        return "the champion"
    # A version that the alias was put back from was never promoted: somebody had moved the alias by hand.
    was = any(version == row.after or (version == row.before and row.action != "restored") for row in moved)
    return "was champion" if was else "never was champion"


def _checks(version: str, about: Sequence[Row]) -> tuple[Check, ...]:
    """Return the gates that a version was judged by; the latest ones if it was judged more than once."""
    judged = [
        row.evidence
        for row in about
        if (row.evidence.candidate == version and row.action != "dropped")
        or (row.action == "promoted" and row.after == version)
    ]
    return judged[-1].checks if judged else ()


def _training(record: Record) -> dict[str, Any]:
    """Return the record of a training as plain JSON values."""
    from airflow_mlops import config

    trained, tags = record.trained, record.tags
    url = config.mlflow_url()
    return {
        "registered_at": record.registered_at.isoformat(timespec="seconds"),
        **trained.to_dict(),
        "holdout": record.holdout,
        "verdict": tags.get("mlops.verdict"),
        "transform": tags.get("mlops.transform"),
        "airflow": {
            name.removeprefix("airflow."): value
            for name, value in tags.items()
            if name.startswith("airflow.")
        },
        "mlflow_url": f"{url}/#/runs/{trained.run_id}" if url else None,
    }


def _grid(training: dict[str, Any]) -> Table:
    from rich.table import Table

    page = Table.grid(padding=(0, 2))
    page.add_column(no_wrap=True)
    page.add_column(overflow="fold")
    for name, value in _lines(training) if training else ():
        if value:
            page.add_row(name, shown(value))
    if training:
        page.add_row()
    return page


def _lines(training: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from airflow_mlops.reporting.verdicts import appearance

    dataset, split = training["dataset"], training["split"]
    yield "candidate", f"{training['candidate']} {_pairs(training['params'])}"
    yield "registered", f"{training['registered_at']} with digest {training['digest'][:12]}…"
    yield (
        "learned from",
        f"{dataset['name']} {dataset['partition']}, version {dataset['version']} with digest {dataset['digest'][:12]}…, at {dataset['uri']}",
    )
    yield "", f"{counted(split['train_rows'], 'row')} from {split['start']} to {split['cut']}"
    yield "", f"{len(training['features'])} features: {', '.join(training['features'])}"
    yield "", f"prepared by {training['transform']}" if training["transform"] else ""
    yield "decides", _decision(training)
    inner = {training["metric"]: training["score"]} if training["score"] is not None else {}
    yield "inner score", _pairs(inner)
    holdout = f"{counted(split['holdout_rows'], 'row')} to {split['end']}"
    yield "judged on", f"{holdout}: {appearance(training['verdict'])}" if training["verdict"] else ""
    yield "", _pairs(training["holdout"])
    yield "remarks", "\n".join(training["remarks"])
    yield "Airflow run", " ".join(training["airflow"].values())
    yield "MLflow run", training["mlflow_url"] or training["run_id"]
    yield "train again", f"airflow mlops reproduce {training['model']} {training['version']}"


def _decision(training: dict[str, Any]) -> str:
    from airflow_mlops.domain.facts.decision import DecisionRule
    from airflow_mlops.reporting.card.classes import decides

    decision = training.get("decision")
    return decides(training.get("classes", ()), DecisionRule.from_dict(decision)) if decision else ""


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def _gates(checks: Sequence[Check]) -> Table:
    from airflow_mlops.reporting.verdicts import of_check

    cells = (
        (check.name, check.slice or "", of_check(check), f"{check.reason} (expected {check.expected})")
        for check in checks
    )
    return terminal.table(("gate", "slice", "verdict", "why"), cells)
