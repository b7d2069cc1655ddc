"""Which notices a run gives rise to, by what its tasks stated, which failed, and the model's earlier health."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.drift import DriftReport
from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.labels import LabelsReport
from airflow_mlops.domain.facts.results import DatasetVersion, HealthReport, PromotionDecision
from airflow_mlops.domain.facts.scoring import ChallengeReport
from airflow_mlops.domain.facts.statement import Kind, Statement
from airflow_mlops.domain.facts.tally import tally
from airflow_mlops.domain.facts.validation import ValidationReport
from airflow_mlops.domain.policies.incidents import failing
from airflow_mlops.reporting.alerts.labels import labels
from airflow_mlops.reporting.alerts.model import health, moved, no_better, promotion, taken_back
from airflow_mlops.reporting.alerts.notice import Notice
from airflow_mlops.reporting.alerts.outcome import Run, failure
from airflow_mlops.reporting.alerts.validation import validation

Statements = Mapping[str, Sequence[Statement]]
"""What each task has stated, in the order of the DAG."""

History = Callable[[str], Sequence[HealthReport]]
"""A function that returns the reports on the health of a model, by its name, the newest first."""
Decided = Callable[[str, Sequence[str]], Sequence[PromotionDecision]]
"""A function that returns the latest decision of a model on each of some partitions that has one."""


class News(NamedTuple):
    """The notices of a run, and the topics that are well.

    :param notices: in the order in which people get them.
    :param well: topics that are well; people are told so if the last notice said that a topic was not.
    """

    notices: Sequence[Notice]
    well: Sequence[str] = ()


def judge(
    run: Run,
    statements: Statements,
    failed: Sequence[str],
    history: History,
    decided: Decided = lambda model, partitions: (),
) -> News:
    """Decide which notices a run gives rise to.

    :param failed: names of the failed tasks, in the order of the DAG; a mapped one as ``train_0``.
    :param decided: tells what was done about a problem that lasts.
    :raises ValueError: if a statement does not hold the fact that it names.
    """
    validations = [*_validations(run, statements, failed), *_labels(run, statements, failed)]
    guarded = _facts(statements, GuardReport)
    # People are told what happened to the champion, whatever else has failed.
    champion = [*_guarded(run, guarded), *_trials(run, statements)]
    if failed:
        data = [version.digest for version in _facts(statements, DatasetVersion)]
        return News([*(validations or [failure(run, failed, data)]), *champion])
    well = [] if validations else [run.topic]
    well += [run.alias for report in guarded if report.alias.verdict is Verdict.PASS]
    health_news = _health(run, statements, history, decided)
    notices = [*validations, *champion, *health_news.notices, *_decisions(run, statements)]
    return News(notices, [*well, *health_news.well])


def is_of(name: str, task: str) -> bool:
    """Whether a name is that of a task, or of one of its mapped instances."""
    return name == task or re.fullmatch(rf"{re.escape(task)}_\d+", name) is not None


def _stated(statements: Statements, kind: type[Kind]) -> Iterator[tuple[str, Kind, Mapping[str, str]]]:
    """Yield task, fact and pages of each statement of a kind."""
    for task, made in statements.items():
        for statement in made:
            if (fact := statement.read(kind)) is not None:
                yield task, fact, statement.pages


def _facts(statements: Statements, kind: type[Kind]) -> list[Kind]:
    return [fact for _, fact, _ in _stated(statements, kind)]


def _validations(run: Run, statements: Statements, failed: Sequence[str]) -> Iterator[Notice]:
    for task, report, pages in _stated(statements, ValidationReport):
        stopped = report.verdict is not Verdict.PASS and any(is_of(name, task) for name in failed)
        if stopped or (not failed and report.warned):
            dataset = _version(statements, report.dataset)
            yield validation(run, report, failed=failed, dataset=dataset, page=pages.get("report"))


def _labels(run: Run, statements: Statements, failed: Sequence[str]) -> Iterator[Notice]:
    for task, report, _ in _stated(statements, LabelsReport):
        stopped = any(is_of(name, task) for name in failed)
        if report.check is not None and report.check.verdict is Verdict.FAIL and (stopped or not failed):
            yield labels(run, report, report.check, task=task, stopped=stopped)


def _version(statements: Statements, dataset: str) -> DatasetVersion | None:
    """Return the version that was stated last: the published one, or else the one without what was set aside."""
    versions = [version for version in _facts(statements, DatasetVersion) if version.name == dataset]
    return versions[-1] if versions else None


def _guarded(run: Run, reports: Sequence[GuardReport]) -> Iterator[Notice]:
    for report in reports:
        yield from filter(None, (moved(run, report), taken_back(run, report)))


def _trials(run: Run, statements: Statements) -> Iterator[Notice]:
    for report in _facts(statements, ChallengeReport):
        if report.moved and (notice := promotion(run, report.moved)):
            yield notice


def _health(run: Run, statements: Statements, history: History, decided: Decided) -> News:
    notices, well = [], []
    for report in _facts(statements, HealthReport):
        if report.verdict is Verdict.FAIL:
            since = failing(history(report.model), report.partition)
            page, picture = (_page(statements, name) for name in ("report", "picture"))
            done = tally(decided(report.model, since[:-1])) if len(since) > 1 else None
            notices.append(health(run, report, page, since=since, picture=picture, done=done))
        elif not failing(history(report.model)):
            # Also if labels are missing, and not if an earlier partition was judged again while later ones are bad.
            well.append(run.health)
    return News(notices, well)


def _page(statements: Statements, name: str) -> str | None:
    """Return the place of the first page or picture of drift; None if there is none."""
    return next((pages[name] for _, _, pages in _stated(statements, DriftReport) if name in pages), None)


def _decisions(run: Run, statements: Statements) -> list[Notice]:
    decisions = _facts(statements, PromotionDecision)
    notices = filter(None, (notice(run, made) for made in decisions for notice in (promotion, no_better)))
    # The task that promotes and the one that records state the same decision.
    return list({notice.id: notice for notice in notices}.values())
