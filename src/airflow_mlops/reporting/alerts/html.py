"""A notice as a page for mail programs: they drop style sheets and scripts, so every style stands in its element."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from airflow_mlops.reporting.pages import BUTTON, HEAD
from airflow_mlops.reporting.verdicts import COLOURS
from airflow_mlops.reporting.words import line, percent

if TYPE_CHECKING:
    from jinja2 import Template

    from airflow_mlops.reporting.alerts.notice import Notice

# No colour of text or background is set but where both are: the rest is the reader's, light or dark. The lines and the
# shades between are half transparent for the same reason.
PICTURE = "picture"
"""Content-ID of the picture in a mail."""

_PAGE = (
    HEAD
    + """\
<meta name="supported-color-schemes" content="light dark">
<title>{{ notice.title | line }}</title>
</head>
<body style="margin:0;padding:0">
{% set soft = "opacity:.7;font-size:13px" -%}
{% set rule = "border-bottom:1px solid rgba(128,128,128,.35)" -%}
{% set code = "font:13px/1.5 ui-monospace,Consolas,Menlo,monospace" -%}
{% macro heading(text) -%}
<h2 style="margin:24px 0 8px;font-size:16px;line-height:1.3">{{ text | line }}</h2>
{%- endmacro -%}
<div style="max-width:680px;margin:0 auto;padding:16px;font:15px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;overflow-wrap:anywhere;word-break:break-word">
<p style="margin:0 0 8px"><span style="display:inline-block;padding:2px 10px;border-radius:10px;background:{{ colour }};color:white;font-size:12px;font-weight:700;letter-spacing:.04em">{{ notice.look | string | line }}</span></p>
<h1 style="margin:0 0 12px;font-size:20px;line-height:1.3">{{ notice.title | line }}</h1>
{% for sentence in notice.summary -%}
<p style="margin:0 0 12px;padding:2px 0 2px 12px;border-left:4px solid {{ colour }}">{{ sentence | line }}</p>
{% endfor -%}
{% if notice.links -%}
<p style="margin:0 0 12px">
{%- for link in notice.links %}
{% if loop.first -%}
<a href="{{ link.url }}" style="display:inline-block;margin:0 12px 8px 0;padding:8px 16px;border-radius:6px;background:{{ button }};color:white;font-weight:600;text-decoration:none">{{ link.label | line }}</a>
{%- else -%}
<a href="{{ link.url }}" style="display:inline-block;margin:0 12px 8px 0;padding:8px 0;color:inherit">{{ link.label | line }}</a>
{%- endif -%}
{% endfor %}
</p>
{% endif -%}
{% if notice.facts -%}
<table role="presentation" cellpadding="0" cellspacing="0" style="border-collapse:collapse;margin:0 0 8px">
{% for name, value in notice.facts -%}
<tr><td style="padding:2px 16px 2px 0;vertical-align:top;white-space:nowrap;{{ soft }}">{{ name | line }}</td>
<td style="padding:2px 0;vertical-align:top">{{ value | line }}</td></tr>
{% endfor -%}
</table>
{% endif -%}
{% if picture -%}
<p style="margin:8px 0"><img src="cid:{{ picture }}" alt="{{ notice.title | line }}" style="max-width:100%;height:auto"></p>
{% endif -%}
{% if notice.findings -%}
{{ heading("Expected and observed") }}
<table cellpadding="0" cellspacing="0" style="border-collapse:collapse;width:100%;table-layout:fixed">
{% for finding in notice.findings -%}
<tr><td colspan="2" style="padding:10px 0 0"><strong>{{ finding.name | line }}</strong>
{%- if finding.note %} <span style="{{ soft }}">{{ finding.note | line }}</span>{% endif %}</td></tr>
<tr><td style="width:50%;padding:4px 12px 10px 0;vertical-align:top;{{ rule }}"><span style="{{ soft }}">expected</span><br>{{ finding.expected | line }}</td>
<td style="width:50%;padding:4px 0 10px;vertical-align:top;{{ rule }}"><span style="{{ soft }}">observed</span><br>{{ finding.observed | line }}
{% if finding.share is not none -%}
<table role="presentation" cellpadding="0" cellspacing="0" style="border-collapse:collapse;width:100%;margin:4px 0 0"><tr>
<td style="width:{{ finding.share | width }}%;height:8px;padding:0;background:{{ finding.tone | colour if finding.tone else colour }};font-size:0;line-height:8px">&nbsp;</td>
<td style="height:8px;padding:0;background:rgba(128,128,128,.25);font-size:0;line-height:8px">&nbsp;</td>
</tr></table>
<span style="{{ soft }}">{{ finding.share | percent }} of the rows</span>
{% endif -%}
{% if finding.samples %}<div style="{{ soft }}">such as {% for value in finding.samples %}<code style="{{ code }}">{{ value | line }}</code>{{ ", " if not loop.last }}{% endfor %}</div>{% endif %}
</td></tr>
{% endfor -%}
</table>
{% endif -%}
{% if notice.more %}<p style="margin:8px 0;{{ soft }}">… and {{ notice.more }} more: see the report.</p>{% endif %}
{% for passage in notice.passages -%}
{{ heading(passage.heading) }}
<p style="margin:0 0 8px">{{ passage.text | line }}</p>
{% if passage.commands -%}
<div style="margin:0 0 8px;padding:8px 12px;border-radius:6px;background:rgba(128,128,128,.15);{{ code }}">{% for command in passage.commands %}<div style="padding-left:12px;text-indent:-12px">{{ command | line }}</div>{% endfor %}</div>
{% endif -%}
{% if passage.links -%}
<p style="margin:0 0 8px">{% for link in passage.links %}<a href="{{ link.url }}" style="margin:0 12px 0 0;color:inherit">{{ link.label | line }}</a>{% endfor %}</p>
{% endif -%}
{% endfor -%}
{% if notice.sample and notice.sample.rows -%}
{{ heading("Sample rows (%d)" % (notice.sample.rows | length)) }}
<div style="overflow-x:auto">
<table cellpadding="0" cellspacing="0" style="border-collapse:collapse;width:100%;font-size:13px;line-height:1.4;overflow-wrap:normal;word-break:normal">
<tr>{% for name in notice.sample.columns %}<th style="padding:4px 10px 4px 0;text-align:left;vertical-align:bottom;{{ rule }}">{{ name | line }}</th>{% endfor %}</tr>
{% for row in notice.sample.rows -%}
{% set why = notice.sample.reasons[loop.index0] if loop.index0 < notice.sample.reasons | length else "" -%}
<tr>{% for cell in row %}<td style="padding:4px 10px {{ 0 if why else 4 }}px 0;vertical-align:top;{{ "white-space:nowrap;" if cell | length < 24 }}{{ "" if why else rule }}">{{ cell | line }}</td>{% endfor %}</tr>
{% if why %}<tr><td colspan="{{ row | length }}" style="padding:0 0 4px;opacity:.7;{{ rule }}">{{ why | line }}</td></tr>
{% endif -%}
{% endfor -%}
</table>
</div>
{% endif -%}
{% if note %}<p style="margin:24px 0 0;{{ soft }}">{{ note | line }}</p>{% endif %}
</div>
</body>
</html>
"""
)


def render(notice: Notice, note: str = "", picture: bool = False) -> str:
    """Return the HTML part of a mail.

    :param note: what became of the report; empty if there is none.
    :param picture: whether the mail has one, as part :data:`PICTURE`.
    """
    colour = COLOURS[notice.look.tone].light
    shown = PICTURE if picture else ""
    return _template().render(notice=notice, note=note, colour=colour, button=BUTTON, picture=shown)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["line"] = line
    environment.filters["percent"] = percent
    environment.filters["colour"] = lambda tone: COLOURS[tone].light
    # A bar of nothing, or of all, would hide that there is something, or a rest.
    environment.filters["width"] = lambda share: min(99, max(1, round(share * 100)))
    return environment.from_string(_PAGE)
