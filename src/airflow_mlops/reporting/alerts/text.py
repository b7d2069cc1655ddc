"""A notice as plain text: lines that a terminal and a phone can show, nothing but words and white space."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill, indent
from typing import TYPE_CHECKING

from airflow_mlops.reporting.words import line, percent

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.validation import Sample
    from airflow_mlops.reporting.alerts.notice import Finding, Notice, Passage

_WIDTH = 76


def render(notice: Notice, note: str = "") -> str:
    """Return the text part of a mail.

    :param note: what became of the report; empty if there is none.
    """
    return "\n\n".join(part for part in _parts(notice, note) if part) + "\n"


def _parts(notice: Notice, note: str) -> Iterator[str]:
    title = line(notice.title)
    yield line(str(notice.look))
    yield f"{title}\n{'=' * min(len(title), _WIDTH)}"
    yield from (_wrap(sentence) for sentence in notice.summary)
    yield _facts(notice.facts)
    yield "\n".join(f"{line(link.label)}:\n  {link.url}" for link in notice.links)
    if notice.findings:
        yield _heading("Expected and observed")
        yield from (_finding(number, finding) for number, finding in enumerate(notice.findings, 1))
    if notice.more:
        yield f"… and {notice.more} more: see the report."
    yield from (_passage(passage) for passage in notice.passages)
    if notice.sample and notice.sample.rows:
        yield _heading(f"Sample rows ({len(notice.sample.rows)})")
        yield "\n".join(_row(notice.sample, position) for position in range(len(notice.sample.rows)))
    yield _wrap(note)


def _facts(facts: tuple[tuple[str, str], ...]) -> str:
    width = max((len(name) for name, _ in facts), default=0) + 2
    return "\n".join(f"{name + ':':<{width}}{line(value)}" for name, value in facts)


def _finding(number: int, finding: Finding) -> str:
    share = f" ({percent(finding.share)} of the rows)" if finding.share is not None else ""
    sides = [("expected:", finding.expected), ("observed:", f"{finding.observed}{share}")]
    if finding.samples:
        sides.append(("such as:", ", ".join(finding.samples)))
    head = f"{number}. {line(finding.name)}"
    if finding.note:
        head += f": {line(finding.note)}"
    return "\n".join([head, *(_wrap(value, f"   {name:<11}", " " * 14) for name, value in sides if value)])


def _row(sample: Sample, position: int) -> str:
    cells = zip(sample.columns, sample.rows[position], strict=False)
    row = _wrap(", ".join(f"{name} = {value}" for name, value in cells), "- ", "  ")
    why = sample.reasons[position] if position < len(sample.reasons) else ""
    return f"{row}\n{_wrap(why, '  > ', '    ')}" if why else row


def _passage(passage: Passage) -> str:
    parts = [_heading(passage.heading), _wrap(passage.text)]
    parts += ["\n".join(f"    {line(command)}" for command in passage.commands)]
    parts += [indent("\n".join(f"{line(link.label)}: {link.url}" for link in passage.links), "  ")]
    return "\n\n".join(part for part in parts if part)


def _heading(text: str) -> str:
    title = line(text)
    return f"{title}\n{'-' * min(len(title), _WIDTH)}"


def _wrap(text: str, first: str = "", later: str = "") -> str:
    # An address or a path that is broken cannot be copied.
    return fill(
        line(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
