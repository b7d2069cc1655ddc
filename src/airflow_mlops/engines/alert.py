"""What the mail about a failed run says, as text and as HTML."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Fact
from airflow_mlops.engines.outbox import Mail

if TYPE_CHECKING:
    from jinja2 import Template

_MEANING = {
    "ingest": "The partition was not published: nothing downstream runs for it. Earlier data and the champion stay as "
    "they are.",
    "score": "The partition has no predictions, so it is neither monitored nor decided on, and later partitions wait "
    "for that decision. The champion stays.",
    "monitor": "The partition has no verdict on the model's health, so nothing is decided on it, and later partitions "
    "wait for that decision. The champion stays.",
    "train": "The champion stays, unless the task promote had moved it before: `airflow mlops history {model}` tells.",
    "rollback": "The champion stays, unless the task had moved it before it failed: `airflow mlops history {model}` "
    "tells.",
}
_OTHERWISE = "Tasks that depend on what failed have not run."
_TODO = {
    "ingest": "Open the run and read the log of the failed task. Correct the data, its source or the expectation, then "
    "clear the task: a partition can be read again at any time.",
}
_THEN = "Open the run, read the log of the failed task, mend the cause, then clear the task: it goes on from there."

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
</head>
<body style="margin:0 auto;max-width:40rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere">
<h1 style="margin:0 0 .75rem;font-size:1.25rem">{{ title }}</h1>
{% for reason in reasons -%}
<p style="margin:0 0 1rem;padding:.5rem .75rem;border-left:4px solid #b3261e">{{ reason }}</p>
{% endfor -%}
<table style="border-collapse:collapse;margin:0 0 1rem">
{% for name, value in rows -%}
<tr><th scope="row" style="padding:.15rem 1rem .15rem 0;text-align:left;vertical-align:top;white-space:nowrap">{{ name }}</th>
<td style="padding:.15rem 0">{{ value }}</td></tr>
{% endfor -%}
</table>
<p><strong>What it means.</strong> {{ meaning }}</p>
<p><strong>What to do.</strong> {{ todo }}</p>
{% if url -%}
<p><a href="{{ url }}" style="display:inline-block;padding:.6rem 1rem;border-radius:6px;background:#0b57d0;color:#fff">Open the run</a></p>
{% endif -%}
</body>
</html>
"""


class Failure(Fact):
    """A run that failed for good.

    :param dag: id of the DAG; what follows its last dot is the stage.
    :param partition: None if the run is about none.
    :param tasks: the failed tasks, in the order of the DAG; a mapped one as ``train_0``.
    :param reasons: what is known of the causes, a sentence each.
    :param url: address of the run; empty if nobody knows it.
    """

    model: str
    dag: str
    run_id: str
    partition: str | None
    tasks: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    url: str = ""

    @property
    def key(self) -> str:
        """What one mail is sent for: the run and what failed in it."""
        return f"{self.dag}/{self.run_id}/{','.join(sorted(self.tasks))}"


def compose(failure: Failure) -> Mail:
    """Write the mail about a failed run."""
    stage = failure.dag.rpartition(".")[2]
    title = f"{failure.dag} failed: {', '.join(failure.tasks)}"
    title += f" ({failure.partition})" if failure.partition else ""
    rows = {
        "Model": failure.model,
        "DAG": failure.dag,
        "Partition": failure.partition,
        "Failed": ", ".join(failure.tasks),
        "Run": failure.run_id,
    }
    parts: dict[str, Any] = {
        "title": title,
        "reasons": failure.reasons,
        "rows": [(name, value) for name, value in rows.items() if value],
        "meaning": _MEANING.get(stage, _OTHERWISE).format(model=failure.model),
        "todo": _TODO.get(stage, _THEN),
        "url": failure.url,
    }
    return Mail(
        key=failure.key,
        # A line break in a name must not become a header.
        subject=" ".join(f"[airflow-mlops] {title}".split()),
        text=_text(**parts),
        html=_template().render(parts),
    )


def _text(
    title: str, reasons: tuple[str, ...], rows: list[tuple[str, str]], meaning: str, todo: str, url: str
) -> str:
    facts = "\n".join(f"{name + ':':<11}{value}" for name, value in rows)
    parts = [title, *reasons, facts, f"What it means: {meaning}", f"What to do: {todo}", url]
    return "\n\n".join(part for part in parts if part) + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(_PAGE)
