from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from airflow_mlops.domain.facts.validation import Sample
from airflow_mlops.reporting.alerts.html import render
from airflow_mlops.reporting.alerts.notice import Link, Passage
from airflow_mlops.reporting.alerts.validation import validation
from notices import make_notice, make_report, make_result, make_run, make_version

EVIL = """<script>alert('1')</script><img src=x onerror=a()>" onmouseover="a()"""


class Elements(HTMLParser):
    """The elements of a page, and whether they are nested well."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(page: str) -> Elements:
    found = Elements()
    found.feed(page)
    assert found.open == []
    return found


def test_it_needs_no_style_sheet_script_or_picture() -> None:
    page = render(
        validation(make_run(), make_report(), failed=["validate"], dataset=make_version(), page="a/b/c.html")
    )
    found = elements(page)
    assert not found.names & {"style", "script", "link", "img", "svg", "form"}
    assert not {"class", "id", "src"} & found.attributes
    # A colour of text without one of its background, or the other way, is unreadable in the dark or in the light.
    for style in re.findall(r'style="([^"]*)"', page):
        opaque = re.findall(r"(?<![-\w])(color|background):#", style)
        assert "color" not in opaque or "background" in opaque


def test_what_stands_in_the_data_is_text() -> None:
    report = make_report(
        dataset=EVIL,
        reason=EVIL,
        results=(make_result(column=EVIL, expected=EVIL, observed=EVIL, samples=(EVIL,)),),
        sample=Sample(columns=(EVIL,), rows=((EVIL,),), reasons=(EVIL,)),
    )
    run = make_run(model=EVIL, run_id=EVIL, partition=EVIL)
    plain = render(validation(make_run(), make_report(), failed=["v"], dataset=make_version(), page="a/b/c"))
    version = make_version(name=EVIL, uri=EVIL)
    evil = render(validation(run, report, failed=[EVIL], dataset=version, page=f"{EVIL}/b/c"))
    assert elements(evil).names == elements(plain).names
    assert elements(evil).attributes == elements(plain).attributes
    assert "&lt;script&gt;" in evil


def test_every_part_of_a_notice_is_shown() -> None:
    notice = make_notice(
        summary=("the summary",),
        more=3,
        passages=(
            Passage(
                heading="a heading",
                text="a text",
                commands=("airflow one", "airflow two"),
                links=(Link(label="a label", url="https://x.example.com/"),),
            ),
        ),
    )
    page = render(notice, "a note")
    for said in ("the summary", "and 3 more", "a heading", "a text", "airflow one</div>", "a note"):
        assert said in page
    assert '<a href="https://x.example.com/"' in page
