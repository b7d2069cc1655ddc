"""The page of a model card: self-contained, pictures inside, readable on a phone, in the dark and on paper."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_mlops.reporting.pages import HEAD, PALETTE
from airflow_mlops.reporting.verdicts import appearance, css

if TYPE_CHECKING:
    from jinja2 import Template
    from markdown_it import MarkdownIt

_PAGE = (
    HEAD
    + """\
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{ title }}</title>
<style>"""
    + PALETTE
    + """\
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem; background: var(--back); color: var(--text);
  font: 15px/1.55 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { margin: 0 0 .5rem; font-size: 1.6rem; line-height: 1.25; }
h1 + p { padding: .6rem .9rem; border-left: 4px solid var(--line); background: var(--head); max-width: none; }
h2 { margin: 2.25rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); font-size: 1.15rem; }
p, ul { max-width: 60rem; margin: .5rem 0 1rem; } li { margin: .2rem 0; } a { color: var(--link); }
.table { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--soft); font-size: .85rem; white-space: nowrap; }
td { min-width: 5.5rem; max-width: 34rem; overflow-wrap: break-word; } td:last-child { min-width: 9rem; }
td:first-child { font-weight: 600; min-width: 8rem; }
.facts thead { display: none; } .facts td { overflow-wrap: anywhere; min-width: 0; }
.facts td:first-child { color: var(--soft); font-weight: 400; min-width: 10rem; }
strong[class] { white-space: nowrap; }
{{ tones }}
p:has(img) { display: flex; flex-wrap: wrap; gap: .75rem; max-width: none; }
img {
  max-width: 100%; max-height: 18.5rem; padding: .25rem; object-fit: contain; background: white;
  border: 1px solid var(--line); border-radius: 6px;
}
@media print { body { max-width: none; padding: 0; } h2 { break-after: avoid; } tr, img { break-inside: avoid; } }
</style>
</head>
<body>
{{ body }}
</body>
</html>
"""
)


def render_page(markdown: str, title: str, pictures: Mapping[str, bytes]) -> str:
    """Return a card as a page that loads nothing from anywhere, and runs nothing.

    :param markdown: the card; HTML in it is shown as text.
    :param pictures: PNG files by the path that the Markdown refers to; others are left out.
    """
    from markupsafe import Markup

    body = _markdown().render(markdown, {"pictures": pictures})
    return _template().render(title=title, body=Markup(body), tones=Markup(css()))


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("image", _image)
    parser.add_render_rule("strong_open", _strong)
    parser.add_render_rule("table_open", _table)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


def _image(self: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    from markupsafe import escape

    content = env["pictures"].get(tokens[at].attrGet("src"))
    if content is None:
        return ""
    return (
        f'<img alt="{escape(tokens[at].content)}" src="data:image/png;base64,{b64encode(content).decode()}">'
    )


def _strong(self: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    # Nothing else in a card is bold.
    sign, _, word = tokens[at + 1].content.partition(" ")
    try:
        look = appearance(word)
    except KeyError:
        return "<strong>"
    return f'<strong class="{look.tone}">' if look.sign == sign else "<strong>"


def _table(self: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    # A table whose head is empty lists facts: tokens are table, thead, tr, th, and the text of the first cell.
    facts = at + 4 < len(tokens) and not tokens[at + 4].content
    return f'<div class="table"><table{" class=facts" * facts}>\n'


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
