"""What was decided at each partition, as people read it: a line of signs for each, and its story below in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import HealthReport, PromotionDecision
from airflow_mlops.domain.facts.validation import ValidationReport
from airflow_mlops.reporting.sentences import decided
from airflow_mlops.reporting.verdicts import WARN, Appearance, appearance
from airflow_mlops.reporting.words import number
from airflow_mlops.stages.monitor.health import history
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables

_NONE = Text("·", "dim")


class PartitionStory(NamedTuple):
    """What the tables of a model say of one partition; what it has not come to is None.

    :param rows: rows that were published.
    """

    partition: str
    rows: int | None
    validation: ValidationReport | None
    health: HealthReport | None
    decision: PromotionDecision | None


class DecisionTable(NamedTuple):
    """The stories of some partitions of a model, for a terminal of any width.

    :param metric: by which candidates are ranked; the column of it is what the champion reached.
    :param decides: False if the model is of another system, and nothing is decided on it here.
    """

    model: str
    metric: str
    stories: Sequence[PartitionStory]
    decides: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show a line for each partition, then the reasons."""
        page = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        page.add_column("partition", no_wrap=True)
        page.add_column("rows", justify="right", no_wrap=True)
        for name in ("data", "drift", "quality"):
            page.add_column(name, justify="center", no_wrap=True)
        page.add_column(self.metric, justify="right", no_wrap=True)
        for name in ("decision", "champion") if self.decides else ("version",):
            page.add_column(name, no_wrap=True)
        for story in self.stories:
            end = _decided(story) if self.decides else _version(story)
            page.add_row(*_cells(story, self.metric), *end)
        yield Text(f"{self.model}: {'what was decided' if self.decides else 'how predictions fare'}", "bold")
        yield page
        yield from _below(self.stories)


class DataTable(NamedTuple):
    """The stories of some partitions of a dataset without a model, for a terminal of any width."""

    dataset: str
    stories: Sequence[PartitionStory]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show a line for each partition, then the reasons."""
        page = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        page.add_column("partition", no_wrap=True)
        for name in ("read", "set aside", "published"):
            page.add_column(name, justify="right", no_wrap=True)
        page.add_column("data", justify="center", no_wrap=True)
        for story in self.stories:
            page.add_row(*_cells_of_data(story))
        yield Text(f"{self.dataset}: what became of the data", "bold")
        yield page
        yield from _below(self.stories)


def _below(stories: Sequence[PartitionStory]) -> RenderResult:
    """Show the reasons of some partitions, and what the signs of their table mean."""
    yield Text()
    for story in stories:
        if paragraph := " ".join(sentences(story)):
            yield Text(story.partition, "bold")
            yield Padding(Text(paragraph, overflow="fold"), (0, 0, 0, 2))
    signs = (*map(appearance, Verdict), appearance(WARN))
    yield Text(", ".join(map(str, signs)), "dim")


def stories(storage: str, model: str, partitions: Sequence[str]) -> list[PartitionStory]:
    """Read what the tables of a model say of some partitions.

    :param storage: URI under which the tables are.
    """
    validations = _validations(tables.uri_of(storage, model, "validation"))
    health = {
        report.partition: report
        for report in history(tables.uri_of(storage, model, "monitoring"), max(partitions, default=""))
    }
    rows = ledger.rows(tables.uri_of(storage, model, "ledger"))
    data = tables.uri_of(storage, model, "data")

    def story(key: str) -> PartitionStory:
        dataset = tables.published(data, key)
        return PartitionStory(
            key,
            dataset.rows if dataset else None,
            validations.get(key),
            health.get(key),
            ledger.decision(rows, key),
        )

    return [story(key) for key in partitions]


def sentences(story: PartitionStory) -> Iterator[str]:
    """Say what happened at a partition, and why: what was wrong with it first, and the decision last."""
    if story.validation is not None and (
        story.validation.warned or story.validation.verdict is not Verdict.PASS
    ):
        yield _sentence("Data", story.validation.reason)
    if story.health is not None:
        for name, check in (("Drift", story.health.drift), ("Quality", story.health.performance)):
            if check.verdict is Verdict.FAIL:
                yield _sentence(name, check.reason)
    if story.decision is not None:
        said = decided(story.decision)
        yield f"{said[0].upper()}{said[1:]}."


def _sentence(about: str, reason: str) -> str:
    text = " ".join(reason.split()).rstrip(".")
    return f"{about}: {text}." if text else f"{about}."


def _cells(story: PartitionStory, metric: str) -> Iterator[Text]:
    yield Text(story.partition)
    yield _NONE if story.rows is None else Text(f"{story.rows:,}")
    yield _sign(_data(story.validation))
    health = story.health
    served = health is not None and health.champion is not None
    yield _sign(health.drift.verdict if health and served else None)
    yield _sign(health.performance.verdict if health and served else None)
    value = health.metrics.get(metric) if health else None
    yield _NONE if value is None else Text(number(value))


def _decided(story: PartitionStory) -> Iterator[Text]:
    decision = story.decision
    yield _NONE if decision is None else _look(appearance(decision.action))
    yield _NONE if decision is None else Text(_champion(decision))


def _version(story: PartitionStory) -> Iterator[Text]:
    version = story.health.champion if story.health else None
    yield _NONE if version is None else Text(version.version)


def _cells_of_data(story: PartitionStory) -> Iterator[Text]:
    report = story.validation
    yield Text(story.partition)
    yield _NONE if report is None else Text(f"{report.rows:,}")
    aside = appearance("quarantine").terminal if report and report.quarantined else ""
    yield _NONE if report is None else Text(f"{report.quarantined:,}", aside)
    yield _NONE if story.rows is None else Text(f"{story.rows:,}")
    yield _sign(_data(report))


def _data(report: ValidationReport | None) -> str | None:
    """Return the word for the data of a partition; None if it was not checked."""
    return None if report is None else WARN if report.warned else report.verdict


def _champion(decision: PromotionDecision) -> str:
    before, after = decision.before or "–", decision.after or "–"
    return after if before == after else f"{before} → {after}"


def _sign(word: str | None) -> Text:
    if word is None:
        return _NONE
    look = appearance(word)
    return Text(look.sign, look.terminal)


def _look(look: Appearance) -> Text:
    return Text(str(look), look.terminal)


def _validations(uri: str) -> dict[str, ValidationReport]:
    if not tables.exists(uri):
        return {}
    rows = tables.read(uri, columns=["partition", "report"]).to_pylist()
    return {row["partition"]: ValidationReport.model_validate_json(row["report"]) for row in rows}
