"""Notices about any run: that it failed, that a problem is over, what people were told before, and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from airflow_mlops.domain.checks import Fact, Verdict
from airflow_mlops.domain.spec.alerts import Event, Level
from airflow_mlops.reporting.alerts.notice import Link, Notice, Passage, Status
from airflow_mlops.reporting.words import line

LISTED = 20
"""Findings that a mail lists."""

_COLLECTED = 50
_MEANING = {
    "ingest": "The partition was not published: nothing downstream runs for it. What was published before "
    "stays as it is, and so does the champion of a model.",
    "score": "The partition has no predictions, so it is neither monitored nor decided on, and later partitions wait "
    "for that decision. The champion stays.",
    "monitor": "The partition has no verdict on the model's health. If the model is trained here, nothing is decided on the partition, "
    "later ones wait for that decision, and the champion stays.",
    "train": "The champion stays, unless the task promote had moved it before: `airflow mlops history {model}` tells.",
    "rollback": "The champion stays, unless the task had moved it before it failed: `airflow mlops history {model}` "
    "tells.",
}
_OTHERWISE = "Tasks that depend on what failed have not run."
_TODO = {
    "ingest": "Open the run and read the log of the failed task. Correct the data, its source or the expectation, then "
    "clear the run: it reads the source again, and a partition can be read at any time.",
}
_THEN = "Open the run, read the log of the failed task, mend the cause, then clear the task: it goes on from there."


class Run(Fact):
    """The run that a notice is about.

    :param dag: id of the DAG; what follows its last dot is the stage.
    :param partition: None if the run is about none.
    :param attempt: number that changes when the run is cleared, but not when a task of it is tried again.
    :param task: the one task that is watched; empty for the whole run.
    :param base: address of Airflow, without a slash at its end; empty if nobody knows it.
    """

    model: str
    dag: str
    run_id: str
    partition: str | None
    attempt: int = 0
    task: str = ""
    base: str = ""

    @property
    def stage(self) -> str:
        """Stage of the run, such as ``ingest``, if its DAG is one of ours."""
        return self.dag.rpartition(".")[2]

    @property
    def topic(self) -> str:
        """What can fail and recover: a partition in a DAG; a run, if it has no partition."""
        return "/".join(part for part in (self.dag, self.partition or self.run_id, self.task) if part)

    @property
    def health(self) -> str:
        """What can be unwell and recover: the model, as this DAG sees it."""
        return f"{self.dag}/health"

    @property
    def alias(self) -> str:
        """What can be moved by somebody and moved back: the champion's alias, as this DAG sees it."""
        return f"{self.dag}/alias"

    def happened(self, key: str) -> str:
        """Return the id of something that happened in this attempt of the run."""
        return f"{key}/{self.run_id}#{self.attempt}"

    def links(self, *more: tuple[str, str]) -> tuple[Link, ...]:
        """Return links below the address of Airflow, that of the run first.

        :param more: label and path.
        """
        run = f"/dags/{quote(self.dag, safe='')}/runs/{quote(self.run_id, safe='')}"
        named = (("Open the run", run), *more)
        return tuple(Link(label=label, url=f"{self.base}{path}") for label, path in named if self.base)

    def facts(self, *more: tuple[str, str | None]) -> tuple[tuple[str, str], ...]:
        """Return name and value of the facts that are known, the model and the partition first, the run last."""
        about = [
            # Data need not be that of a model.
            ("Name" if self.stage == "ingest" else "Model", self.model),
            ("Partition", self.partition),
            *more,
            ("DAG", self.dag),
            ("Run", self.run_id),
        ]
        return tuple((name, value) for name, value in about if value)


def some(names: Sequence[str]) -> str:
    """List names, the first ten if there are many."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def fingerprint(*facts: object) -> str:
    """Return a short digest of facts, by which a problem is told from another one of the same topic."""
    return hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()[:12]


def failure(run: Run, tasks: Sequence[str], data: Sequence[str] = ()) -> Notice:
    """Return the notice that a run has failed for good.

    :param tasks: the failed tasks, in the order of the DAG; a mapped one as ``train_0``.
    :param data: digests of the data that the run worked on: the same failure on other data is another problem.
    """
    named = some(tasks)
    key = f"{run.topic}/{', '.join(tasks)}" + (f"/{fingerprint(*data)}" if data else "")
    return Notice(
        id=run.happened(key),
        key=key,
        topic=run.topic,
        event=Event.FAILURE,
        status=Status.FAILED,
        levels=(Level.URGENT,),
        title=f"{run.dag} failed: {named}" + (f" ({run.partition})" if run.partition else ""),
        badge=Verdict.FAIL.value,
        facts=run.facts(("Failed", named)),
        passages=(
            Passage(
                heading="What it means", text=_MEANING.get(run.stage, _OTHERWISE).format(model=run.model)
            ),
            Passage(heading="What to do", text=_TODO.get(run.stage, _THEN)),
        ),
        links=run.links(),
    )


def recovery(run: Run, before: Notice, *facts: tuple[str, str | None]) -> Notice:
    """Return the notice that the problem of an earlier notice is over.

    :param before: the last notice about it.
    :param facts: name and value of further facts.
    """
    if before.event is Event.FAILURE:
        title = f"{run.dag} recovered{f': {run.task}' if run.task else ''} ({run.partition or run.run_id})"
    else:
        title = f"{run.model} {run.partition or run.run_id}: {before.event.value} recovered"
    return Notice(
        id=f"{before.id}/recovered",
        key=f"{before.key}/recovered",
        topic=before.topic,
        event=before.event,
        status=Status.RECOVERED,
        levels=before.levels,
        title=title,
        badge="RECOVERED",
        summary=(f"This is over: {line(before.title)}.",),
        facts=run.facts(*facts),
        links=run.links(),
    )


def again(notice: Notice, last: Notice | None, *, held: int = 0, since: datetime | None = None) -> Notice:
    """Return a notice that also says what people were told of its topic before.

    :param last: the last mail about the topic; None if there was none.
    :param held: how often the same notice was held back.
    :param since: when it was mailed last.
    """
    if notice.status is Status.WARNED and last and last.status is Status.FAILED:
        # People who were told that it failed must be told that it passes now.
        levels = tuple(dict.fromkeys((*last.levels, *notice.levels)))
        summary = (f"It passes now. Before: {line(last.title)}.", *notice.summary)
        return notice.model_copy(update={"levels": levels, "summary": summary})
    if held and since:
        times = "once" if held == 1 else f"{held} times"
        summary = (
            *notice.summary,
            f"The same happened {times} since the mail of {since:%Y-%m-%d %H:%M} UTC, and was not mailed.",
        )
        return notice.model_copy(update={"summary": summary})
    return notice


def collect(notices: Sequence[Notice]) -> Notice:
    """Put several notices into one mail.

    :param notices: at least two, oldest first.
    """
    first = notices[0]
    model = dict(first.facts).get("Model", first.topic)
    passages = tuple(
        Passage(heading=notice.title, text=" ".join(notice.summary), links=notice.links)
        for notice in notices[-_COLLECTED:]
    )
    ids = "\n".join(notice.id for notice in notices)
    return Notice(
        id=f"digest/{hashlib.sha256(ids.encode()).hexdigest()}",
        key=f"digest/{first.key}",
        topic=f"digest/{first.topic}",
        event=first.event,
        status=Status.NEWS,
        levels=(Level.WARNING,),
        title=f"{model}: {len(notices)} notices",
        badge="DIGEST",
        facts=(("Model", model),),
        passages=passages,
        more=max(0, len(notices) - _COLLECTED),
    )
