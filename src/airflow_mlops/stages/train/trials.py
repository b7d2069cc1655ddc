"""Trials: each is an MLflow run below the run of its training, so that a killed search can be resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import children

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client, Run

SEARCH = "mlops.search"
"""Tag of a trial's run: the search that it belongs to."""
TRIAL = "mlops.trial"
"""Tag of a trial's run, once it has ended: the :class:`Trial`, as JSON."""

_LONGEST_ERROR = 1_000  # characters; a tag holds 8,000


class TrialOutcome(StrEnum):
    """What became of a trial."""

    DONE = "done"
    BEHIND = "behind"
    FAILED = "failed"


@dataclass(frozen=True)
class Trial:
    """The scores of one combination of parameters.

    :param params: the combination.
    :param values: the metric on each fold; None where it is undefined. A trial that fell behind has fewer.
    :param error: why it failed.
    """

    params: Mapping[str, Any]
    outcome: TrialOutcome
    values: tuple[float | None, ...]
    seconds: float
    error: str = ""

    @property
    def value(self) -> float | None:
        """The mean over the folds that have a value."""
        scores = [score for score in self.values if score is not None]
        return sum(scores) / len(scores) if scores else None

    def first(self, folds: int) -> Trial:
        """Return the trial as it was after some folds."""
        return replace(self, values=self.values[:folds])

    def then(self, value: float | None, seconds: float, error: str) -> Trial:
        """Return the trial with the score of one more fold."""
        return replace(
            self,
            outcome=TrialOutcome.FAILED if error else self.outcome,
            values=(*self.values, value),
            seconds=self.seconds + seconds,
            error=error,
        )


@dataclass(frozen=True)
class Store:
    """The trials of one search.

    :param run: of the training.
    :param search: names the search; equal in every try of one training.
    :param metric: name of the metric that the trials' values are of.
    """

    client: Client
    run: Run
    search: str
    metric: str

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Leave no trial running, neither one of a killed process nor one that this process gives up."""
        self._abandon()
        try:
            yield
        except BaseException as error:
            if not getattr(error, "silent", False):
                # The error that ended the search matters more than one of recording it.
                with suppress(RegistryUnavailable):
                    self._abandon()
            raise
        # A request that was repeated may have created a trial's run twice; the second is still running.
        self._abandon()

    def find(self, params: Mapping[str, Any]) -> Trial | None:
        """Return the trial of some parameters that an earlier try has ended, and move its run below the run of this try."""
        former = self._former.get(_key(params))
        if former is None:
            return None
        run_id, trial = former
        children.adopt(self.client, self.run, run_id)
        return replace(trial, params=params)

    @cached_property
    def _former(self) -> dict[str, tuple[str, Trial]]:
        runs = children.find(self.client, self.run, SEARCH, self.search)
        ended = {run.info.run_id: run.data.tags.get(TRIAL) for run in runs}
        trials: dict[str, tuple[str, Trial]] = {}
        for run_id, text in ended.items():
            if text:
                with damage.errors(f"The tag {TRIAL} of MLflow run {run_id}", ModelNotFound):
                    facts = json.loads(text)
                    outcome, values = TrialOutcome(facts["outcome"]), tuple(facts["values"])
                    trial = Trial(facts["params"], outcome, values, facts["seconds"], facts["error"])
                    trials[_key(trial.params)] = run_id, trial
        return trials

    def begin(self, number: int) -> str:
        """Return the id of a new trial's run."""
        return children.begin(self.client, self.run, f"trial {number}", {SEARCH: self.search})

    def end(self, run_id: str, trial: Trial) -> None:
        """Record a trial that has ended."""
        facts = {
            "params": dict(trial.params), "outcome": trial.outcome, "values": trial.values,
            "seconds": round(trial.seconds, 3), "error": trial.error[:_LONGEST_ERROR],
        }  # fmt: skip
        measured = {"seconds": trial.seconds, f"inner/{self.metric}": trial.value}
        if len(trial.values) > 1:
            measured |= {f"fold_{fold}/{self.metric}": value for fold, value in enumerate(trial.values, 1)}
        failed, tags = trial.outcome is TrialOutcome.FAILED, {TRIAL: json.dumps(facts)}
        children.end(self.client, run_id, metrics=measured, params=trial.params, tags=tags, failed=failed)

    def _abandon(self) -> None:
        for run in children.find(self.client, self.run, SEARCH, self.search, running=True):
            children.kill(self.client, run.info.run_id)


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(dict(params), sort_keys=True)
