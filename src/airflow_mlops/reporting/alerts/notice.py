"""Notices to people, before they are put into words and colours."""

from __future__ import annotations

from enum import StrEnum

from airflow_mlops.domain.checks import Fact, Number
from airflow_mlops.domain.facts.validation import Sample
from airflow_mlops.domain.spec.alerts import Event, Level
from airflow_mlops.reporting.verdicts import Appearance, Tone, appearance


class Status(StrEnum):
    """What has happened to the topic of a mail."""

    FAILED = "failed"
    WARNED = "warned"
    RECOVERED = "recovered"
    NEWS = "news"


class Finding(Fact):
    """One expectation, and what was observed instead.

    :param name: subject of the finding: a column, a gate.
    :param note: its verdict and more on it, in small print.
    :param tone: how grave it is, which says its colour; None means as the notice.
    :param share: share of the rows that are concerned, 0 to 1; None if it is not about rows.
    :param samples: some values that were seen.
    """

    name: str
    note: str = ""
    tone: Tone | None = None
    expected: str
    observed: str
    share: Number = None
    samples: tuple[str, ...] = ()


class Link(Fact):
    """Where to look."""

    label: str
    url: str


class Passage(Fact):
    """A paragraph with its heading.

    :param commands: command lines to copy, one after the other.
    """

    heading: str
    text: str
    commands: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()


class Notice(Fact):
    """A notice to people, before it is put into words and colours.

    :param id: id of what happened: people are told of it once, ever.
    :param same: other ids under which people may have been told already.
    :param key: id of the problem: while it lasts, people are told again only after a cooldown.
    :param topic: id of what has the problem, which recovers as a whole.
    :param badge: the verdict, in one or two words.
    :param summary: what to know if nothing else is read, a sentence each.
    :param facts: name and value.
    :param more: findings that are left out.
    :param sample: some rows, masked.
    :param report: place of a page under ``[mlops] reports`` that is attached when the mail is sent.
    :param picture: place of a PNG there, which the mail shows.
    """

    id: str
    same: tuple[str, ...] = ()
    key: str
    topic: str
    event: Event
    status: Status
    levels: tuple[Level, ...]
    title: str
    badge: str
    summary: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    more: int = 0
    sample: Sample | None = None
    passages: tuple[Passage, ...] = ()
    links: tuple[Link, ...] = ()
    report: str | None = None
    picture: str | None = None

    @property
    def look(self) -> Appearance:
        """How the badge looks: as what it says, or else as the state of the topic."""
        return appearance(self.badge, self.status)
