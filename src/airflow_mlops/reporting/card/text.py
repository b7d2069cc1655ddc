"""The text of a model card: Markdown in which every value is shown literally, whatever signs it holds."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_mlops.reporting.markdown import escape

if TYPE_CHECKING:
    from jinja2 import Template

    from airflow_mlops.reporting.card.facts import Facts

# Sections as proposed by Mitchell and others, Model Cards for Model Reporting (2019), with what a gate needs besides.
_CARD = """\
{% macro table(head, rows) -%}
| {{ head | cells }} |
|{{ (" --- |" * (head | length)) | safe }}
{% for row in rows %}
| {{ row | cells }} |
{% endfor %}
{%- endmacro -%}
{% macro pictures(several) -%}
{% for file, words in several %}![{{ words }}]({{ file }}) {% endfor %}
{%- endmacro -%}
# {{ card.title }}

{{ card.verdict }}: {{ card.reason }}

## Purpose

{% for paragraph in card.purpose %}
{{ paragraph }}

{% endfor %}
{{ table(("", ""), card.about) }}

{% if card.approval %}
## Approval

{{ table(("Person", "Answer", "Reason", "When"), card.approval) }}
{% endif %}

## Results

{{ card.judged }}

{{ table(card.metrics_head, card.metrics) }}

{% if card.classes %}
By class of the holdout:

{{ table(("Class", "Rows", "Precision", "Recall", "F1"), card.classes) }}
{% endif %}

{% if card.leaderboard %}
Candidates that were tried, by their score on validation rows within the training data:

{{ table(("Candidate", card.metric), card.leaderboard) }}
{% endif %}

{{ pictures(card.pictures) }}

## Gates

{% if card.gates %}
{{ table(("Gate", "Verdict", "Expected", "Observed", "Baseline", "Interval", "Rows", "Reason"), card.gates) }}
{% else %}
The spec asks for no gate.
{% endif %}

{% if card.slices %}
## Parts of the data

{{ table(("Part", "Gate", "Verdict", "Expected", "Observed", "Interval", "Rows"), card.slices) }}
{% endif %}

{% if card.relies or card.insights %}
## What it relies on

{% if card.relies %}
Loss of {{ card.metric }} when the values of one feature are shuffled: {{ card.relies }}.
{% endif %}

{{ pictures(card.insights) }}
{% endif %}

## Data

{{ table(("", ""), card.data) }}

{% if card.partitions %}
{{ table(("Partition", "Used for", "Version", "Rows", "Set aside", "Validation", "Finding"), card.partitions) }}
{% endif %}

## Limits

{% for limit in card.limits %}
- {{ limit }}
{% endfor %}

{% if card.ranges %}
What the training rows hold; a value beyond is one that the model has never seen:

{{ table(("Feature", "From", "To", "Different values", "Missing"), card.ranges) }}
{% endif %}

## Lineage

{{ table(("", ""), card.lineage) }}
"""


def render_markdown(facts: Facts) -> str:
    """Return a model card in Markdown."""
    text = _template().render(card=facts)
    return re.sub(r"\s*\n(\s*\n)+", "\n\n", text).strip() + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    # With autoescape, what macros return is not escaped a second time.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=escape)
    environment.filters["cells"] = lambda row: Markup(" | ".join(map(_cell, row)))
    return environment.from_string(_CARD)


def _cell(value: Any) -> str:
    return "" if value is None else escape(value)
