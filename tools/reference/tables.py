"""The page of the Delta tables and their columns."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

from airflow_mlops.domain import checks, predictions
from airflow_mlops.domain.facts import performance, results
from airflow_mlops.learning.summaries import summary
from airflow_mlops.stores.registry import ledger
from tools.reference.markdown import inline, parse, table
from tools.reference.markdown import page as page_of


class Layout(NamedTuple):
    """A table that people may read.

    :param what: what it holds.
    :param row: what has a row.
    :param columns: meaning of each column, by name.
    :param data: what columns of the data it also has; "" for none.
    """

    what: str
    row: str
    columns: Mapping[str, str]
    data: str = ""


def page() -> str:
    """Return the page of all tables."""
    parts = [part for name, layout in layouts().items() for part in _section(name, layout)]
    return page_of(
        "Tables",
        "Each model or dataset has these Delta tables, as `<[mlops] storage>/<name>/<table>`; any library that reads Delta Lake reads "
        "them. Times are UTC. A table comes to be when something is first written to it. Tables by partition have the column "
        "`_partition` beside those that are listed.",
        *parts,
    )


def layouts() -> dict[str, Layout]:
    """Return every table by its name."""
    constants = _constants(predictions)
    check, judgement = parse(checks.Check).parameters, parse(performance.Judgement).parameters
    measured, row = parse(performance.Measured).parameters, parse(ledger.Row).parameters
    column, health = parse(summary.Column).parameters, parse(results.HealthReport).parameters
    beside = {"champion_score", "champion_prediction", "champion_probabilities", "champion_version"}
    report = {"run": "the run that wrote it", "report": "all of it, as JSON"}
    rows = "all columns of the data"
    return {
        "data": Layout("Published partitions; every version can be read.", "a row of the source", {}, rows),
        "staging": Layout("A partition between `ingest` and `publish`.", "a row of the source", {}, rows),
        "unreadable": Layout(
            "Rows with a cell that cannot be read as the type of its column, until they are judged.", "a row of the source",
            {"_unreadable": "the cells that cannot be read, by column, as JSON"}, rows,
        ),
        "quarantine": Layout(
            "Rows that were set aside.", "a row of the source",
            {
                "_reasons": "what is wrong with the row",
                "_unreadable": "the cells that cannot be read, by column, as JSON; only where there are such",
            }, rows,
        ),
        "released": Layout(
            "Rows that somebody let pass.", "a release of a row",
            {
                "_was": "digest of the row when it was set aside", "_reason": "why it may pass", "_by": "who said so",
                "_at": "when", "_columns": "columns that the dataset had then, as JSON",
            }, rows,
        ),
        "validation": Layout(
            "What expectations and checks said of each partition.", "a partition",
            {
                "partition": "key of the partition", "verdict": "PASS, FAIL or INCONCLUSIVE", "reason": "why, in a sentence",
                "rows": "rows that were read", "quarantined": "rows that were set aside", **report,
            },
        ),
        "labels": Layout(
            "Labels of a source of their own.", "a label of a key",
            {"labelled_at": "from when the label is known"}, "key, event time and target",
        ),
        "predictions": Layout(
            "What the champion predicted.", "a row of the data",
            {name: text for name, text in constants.items() if name not in beside}, "key and event time",
        ),
        "challenger": Layout(
            "What a challenger predicted beside the champion.", "a row of the data", constants, "key and event time"
        ),
        "performance": Layout(
            "How good each partition's predictions were, by the labels known at each time.",
            "a scored partition, the version that scored it, and a partition as of which more was known",
            {
                **{name: judgement[name] for name in ("scored", "as_of", "model_version", "model_digest", "predicted", "labelled")},
                "coverage": "share of the predictions with a label that counts",
                "watermark": judgement["watermark"],
                "metric": "the metric that models are ranked by",
                **{name: measured[name] for name in ("value", "low", "high")},
                "report": "all metrics, slices and estimates, as JSON",
            },
        ),
        "summaries": Layout(
            "What columns held, by which drift is measured.", "a column of a partition's data, predictions or labels",
            {
                "of": "what the rows have in common: data, version, predictor", "column": "name of the column",
                "kind": "`numeric` or `categorical`",
                **{name: column[name] for name in ("rows", "missing", "infinite", "squares")},
                "low": "least number", "high": "greatest number", "others": column["others"], "problem": column["problem"],
                "numbers": "the numbers, rising", "labels": "the categories", "counts": column["counts"],
                "hashes": "hashes of a sample of the categories", "hashed": "rows of each of these",
                "limit": "hashes below it are in the sample",
            },
        ),
        "monitoring": Layout(
            "The health of the champion.", "a partition",
            {
                "partition": "key of the partition", "verdict": health["verdict"],
                "drift": f"verdict of {health['drift']}", "performance": f"verdict of {health['performance']}",
                "staleness": f"verdict of {health['staleness']}",
                "model_version": "the champion's version; null without one", "report": report["report"],
            },
        ),
        "checks": Layout(
            "Every check of the health, to query by.", "a check of a partition, or of a slice of it",
            {
                "model": "name of the model", "partition": "key of the partition",
                "model_version": "the champion's version; null without one", "check": check["name"], "slice": check["slice"],
                "verdict": "PASS, FAIL or INCONCLUSIVE",
                **{name: check[name] for name in ("expected", "observed", "baseline")},
                "low": "lower end of the confidence interval", "high": "upper end of the confidence interval",
                "n": check["n"], "reason": check["reason"],
            },
        ),
        "ledger": Layout(
            "The decision on each partition, and every move of the champion, in order; rows are only added.", "an event",
            {
                "at": row["at"], "kind": "`intent`, `done`, `abort` (of a move) or `decision`",
                **{name: row[name] for name in ("action", "key")}, "partition": "the partition that was decided on",
                **{name: row[name] for name in ("before", "after")}, "digest": "digest of the version after the move",
                "reason": row["reason"], "evidence": f"{row['evidence']} As JSON.", "actor": row["actor"],
                "attempt": "`yes` if the decision has to do with a training",
            },
        ),
        "specs": Layout(
            "The spec of each decision, or of data alone of each publication, where it was another than before; rows are only added.",
            "a spec",
            {
                "at": "when it was first used", "partition": "the partition that it was first used for",
                "spec": "the spec, as JSON, with the expectations of its suites",
                "code": "version of each function that it names, as JSON",
            },
        ),
        "outbox": Layout(
            "Notices that are to be mailed, and what became of them; rows are only added.", "an event",
            {
                "at": "when it was written down", "state": "`pending`, `sending`, `sent` or `held back`",
                "ids": "ids of the notices that it is about, as JSON", "notice": "the notice, as JSON, in its first row",
                "told": "addresses that have it, as JSON", "topic": "what the notice is about",
                "problem": "the problem, which is mailed once within the cooldown", "status": "how the topic is",
                "waiting": "the entries that are open after the row, as JSON",
            },
        ),
        "erasures": Layout(
            "Who erased a person's rows, when and why, without a value of them; rows are only added.", "a step of an erasure",
            {
                "at": "when", "stage": "begun or done", "by": "who", "reason": "why",
                "facts": "columns, numbers of rows and files, digests, versions and models, as JSON",
            },
        ),
        "changes": Layout(
            "Which models were removed or renamed: one table for all of them, as `<[mlops] storage>/changes`; rows are only added.",
            "a change",
            {
                "at": "when", "what": "`removal begun`, `removed`, `renaming begun` or `renamed`", "model": "its name", "by": "who", "reason": "why",
                "facts": "what was taken away or moved, as JSON",
            },
        ),
    }  # fmt: skip


def _section(name: str, layout: Layout) -> tuple[str, ...]:
    words = f"{layout.what} One row is {layout.row}."
    if layout.data:
        words += (
            f" Beside what is listed it has {layout.data}." if layout.columns else f" It has {layout.data}."
        )
    head = (f"## `{name}`", words)
    if not layout.columns:
        return head
    rows = [(f"`{column}`", text.rstrip(".")) for column, text in layout.columns.items()]
    return (*head, table(["column", "meaning"], rows))


def _constants(module: ModuleType) -> dict[str, str]:
    """Return the values of a module's constants of text, each with the words that stand under it."""
    body = ast.parse(inspect.getsource(module)).body
    meanings: dict[str, str] = {}
    for part, following in zip(body, body[1:], strict=False):
        words = following.value if isinstance(following, ast.Expr) else None
        if isinstance(part, ast.Assign) and isinstance(words, ast.Constant):
            value = ast.literal_eval(part.value) if _is_plain(part.value) else ()
            for name in [value] if isinstance(value, str) else value:
                meanings[name] = inline(str(words.value))
    return meanings


def _is_plain(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) or (
        isinstance(value, ast.Tuple) and all(isinstance(part, ast.Constant) for part in value.elts)
    )
