"""The page of one validation: self-contained, for small screens and dark mode too, with every value escaped."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from airflow_mlops.reporting.pages import HEAD, PALETTE
from airflow_mlops.reporting.verdicts import WARN, Tone, appearance, css, of_result

if TYPE_CHECKING:
    from jinja2 import Template

    from airflow_mlops.domain.facts.validation import ValidationReport

_PAGE = (
    HEAD
    + """\
<title>{{ report.dataset }} {{ report.partition }}: {{ verdict }}</title>
<style>"""
    + PALETTE
    + """\
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 90rem; padding: 1.5rem 1rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1.35rem; } h2 { margin: 2rem 0 0; font-size: 1.1rem; } a { color: inherit; }
p { margin: .5rem 0 1.25rem; max-width: 60rem; }
.tag { font-weight: 600; white-space: nowrap; }
{{ tones }}
dl { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: 0 0 1.5rem; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-weight: 600; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .5rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { background: var(--head); font-size: .85rem; }
tbody th { font-weight: 600; min-width: 15rem; }
.wide { min-width: 8rem; }
.word { overflow-wrap: normal; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.soft { color: var(--soft); font-weight: 400; font-size: .85rem; }
code { font-size: .85rem; padding: 0 .25rem; border: 1px solid var(--line); border-radius: 3px; white-space: pre-wrap; }
@media (max-width: 60rem) {
  thead { position: absolute; left: -100vw; }
  table, tbody, tr, th, td { display: block; }
  tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
  tbody th, td { padding: .1rem 0; border: 0; min-width: 0; }
  td:empty { display: none; }
  td::before { content: attr(data-label) ": "; color: var(--soft); }
  .number { text-align: left; }
}
</style>
</head>
<body>
<h1>{{ report.dataset }} {{ report.partition }}
<span class="tag {{ verdict.tone }}">{{ verdict }}</span></h1>
<p>{{ report.reason }}</p>
<dl>
<div><dt>Rows</dt><dd>{{ "{:,}".format(report.rows) }}</dd></div>
<div><dt>Set aside</dt><dd>{{ "{:,}".format(report.quarantined) }}</dd></div>
{% if report.released -%}
<div><dt>Released</dt><dd>{{ "{:,}".format(report.released) }}</dd></div>
{% endif -%}
{% for look, count in counts -%}
<div><dt>{{ look }}</dt><dd>{{ count }}</dd></div>
{% endfor -%}
</dl>
<table>
<thead><tr><th scope="col">Expectation</th><th scope="col" class="word">Outcome</th>
<th scope="col" class="word">Severity</th>
<th scope="col" class="wide">Expected</th><th scope="col" class="wide">Observed</th><th scope="col" class="number">Broken rows</th>
<th scope="col" class="number">Share</th><th scope="col" class="wide">Samples</th></tr></thead>
<tbody>
{% for check, look in results -%}
<tr>
<th scope="row">{{ check.column or "table" }} <span class="soft">{{ check.expectation }}</span></th>
<td data-label="Outcome"><span class="tag {{ look.tone }}">{{ look }}</span></td>
<td data-label="Severity" class="word">{{ check.severity.value }}</td>
<td data-label="Expected">{{ check.expected }}</td>
<td data-label="Observed">{{ check.observed }}</td>
<td data-label="Broken rows" class="number">{% if check.unexpected is not none %}{{ "{:,}".format(check.unexpected) }}{% endif %}</td>
<td data-label="Share" class="number">{% if check.unexpected_share is not none %}{{ check.unexpected_share | share }}{% endif %}</td>
<td data-label="Samples">{% for sample in check.samples %}<code>{{ sample }}</code> {% endfor %}</td>
</tr>
{% endfor -%}
</tbody>
</table>
{% if report.sample %}
<h2>Rows that broke expectations</h2>
<p>{{ report.sample.rows | length }} of them, with key, event time and what is wrong.</p>
<table>
<thead><tr>{% for name in report.sample.columns %}<th scope="col">{{ name }}</th>{% endfor %}<th scope="col">Reason</th></tr></thead>
<tbody>
{% for row in report.sample.rows -%}
<tr>{% set number = loop.index0 %}{% for value in row %}<td data-label="{{ report.sample.columns[loop.index0] }}">{{ value }}</td>{% endfor %}<td data-label="Reason">{{ report.sample.reasons[number] }}</td></tr>
{% endfor -%}
</tbody>
</table>
{% endif %}
{% if docs %}
<p><a href="data-docs.html">Data Docs of Great Expectations</a>: the same validation as Great Expectations shows it,
beside this page.</p>
{% endif %}
</body>
</html>
"""
)


def render(report: ValidationReport, *, docs: bool = False) -> str:
    """Return the page of a validation.

    :param report: the report of the validation.
    :param docs: whether the Data Docs of Great Expectations are stored beside the page, as
        ``data-docs.html``.
    """
    from markupsafe import Markup

    order = (Tone.BAD, Tone.WARN, Tone.OPEN, Tone.GOOD)
    looks = [(result, of_result(result)) for result in report.results]
    results = sorted(looks, key=lambda shown: order.index(shown[1].tone))
    counts = Counter(look for _, look in results)
    verdict = appearance(WARN if report.warned else report.verdict)
    return _template().render(
        report=report, verdict=verdict, results=results, counts=counts.items(), docs=docs, tones=Markup(css())
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["share"] = lambda share: "< 0.01%" if 0 < share < 1e-4 else f"{share:.2%}"
    return environment.from_string(_PAGE)
