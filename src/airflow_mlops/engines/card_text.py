"""The text of a model card: Markdown in which every value is shown as it is, whatever signs it holds."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from airflow_mlops.engines.mails_text import line

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

    from airflow_mlops.engines.card_facts import Facts

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

{% for each in card.purpose %}
{{ each }}

{% endfor %}
{{ table(("", ""), card.about) }}

{% if card.approval %}
## Approval

{{ table(("Person", "Answer", "Reason", "When"), card.approval) }}
{% endif %}

## Results

{{ card.judged }}

{{ table(card.metrics_head, card.metrics) }}

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

{% for each in card.limits %}
- {{ each }}
{% endfor %}

{% if card.ranges %}
What the training rows hold; a value beyond is one that the model has never seen:

{{ table(("Feature", "From", "To", "Different values", "Missing"), card.ranges) }}
{% endif %}

## Lineage

{{ table(("", ""), card.lineage) }}
"""
# What begins a list, a quotation, a heading, or is the rule below one, at the start of a line.
_BLOCK = re.compile(r"^(\d{0,9})([.)](?=\s|$)|[-+](?=\s|$)|>|#+(?=\s|$)|[-=](?=[-=\s]*$))")


class Link(NamedTuple):
    """Words that lead to an address; only the words if it is none of the web."""

    words: str
    url: str


def render(facts: Facts) -> str:
    """Return a model card in Markdown."""
    text = _template().render(card=facts)
    return re.sub(r"\s*\n(\s*\n)+", "\n\n", text).strip() + "\n"


def escape(value: Any) -> Markup:
    """Return a value as Markdown that shows it: on one line, and no sign of it means anything."""
    from markupsafe import Markup

    if isinstance(value, Markup):
        return value
    if isinstance(value, Link):
        return _link(value)
    if isinstance(value, StrEnum):
        return Markup(f"**{value.value}**")
    text = re.sub(r"([\\`*\[\]<|~])", r"\\\1", line(str(value)))
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
    text = re.sub(r"&(?=[#\w])", r"\\&", text)
    return Markup(_BLOCK.sub(r"\1\\\2", text))


def _link(link: Link) -> Markup:
    from markupsafe import Markup

    words, url = escape(link.words), quote(link.url, safe=":/?#[]@!$&'()*+,;=%~")
    # Anything else, such as javascript:, is not to be clicked.
    known = urlsplit(link.url).scheme in ("http", "https")
    return Markup(f"[{words}](<{url}>)") if known else words


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
