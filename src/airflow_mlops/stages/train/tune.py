"""Tune: try the parameters of a candidate on rows that are later than those it is fitted to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.exceptions import NotEnoughData, TrainingFailed
from airflow_mlops.learning import threads
from airflow_mlops.stages.train import fitting, folds, measuring, pools
from airflow_mlops.stages.train.proposals import Proposal, Proposals
from airflow_mlops.stages.train.trials import Trial, TrialOutcome

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.stages.train.folds import Fold
    from airflow_mlops.stages.train.trials import Store

log = logging.getLogger(__name__)


class SearchOutcome(NamedTuple):
    """The best parameters of a search.

    :param params: values of the parameters that were searched for.
    :param score: mean of the metric over the folds; None if nothing was ranked.
    :param trials: how many combinations were tried.
    :param cut: whether the budget's seconds ended it.
    :param remarks: what a person should know of the search.
    :param latest: the metric on the latest fold alone; None if nothing was ranked.
    """

    params: dict[str, Any]
    score: float | None
    trials: int
    cut: bool = False
    remarks: tuple[str, ...] = ()
    latest: float | None = None


def search(
    recipe: Recipe, data: fitting.Data, store: Store | None = None, dask: str | None = None
) -> SearchOutcome:
    """Try combinations of a candidate's parameters on the recipe's folds, within its budget.

    A candidate that searches for nothing has one trial. Of equals, the first wins. A trial that fails is left out with a
    warning. With ``budget.parallel``, so many trials run side by side and are reported together, so that it does not
    matter which of them ends first. A recipe that says how many trials were done is searched by exactly as many.

    :param store: records the trials, and returns those of an earlier try, which are not fitted again; None records none.
    :param dask: address of a Dask scheduler that trials are fitted on; None fits them in threads of this process.
    :raises TrainingFailed: if no combination can be fitted.
    :raises NotEnoughData: if the metric is undefined on the validation rows.
    :raises ClusterUnavailable: if the Dask scheduler does not answer.
    """
    candidate = recipe.candidate
    spans = folds.folds(data, recipe.folds, recipe.task)
    with threads.remarks() as warned, pools.opened(dask, data, recipe) as pool, _opened(store):
        search = _Search(recipe, candidate, data, spans, store, pool, pools.n_threads(dask, recipe))
        with threads.bounded(search.n_threads):
            search.run()
    for remark in warned:
        log.warning("%s, while it was searched: %s", candidate.name, remark)
    return search.outcome()


def _opened(store: Store | None) -> AbstractContextManager[None]:
    return store.opened() if store else nullcontext()


@dataclass
class _Attempt:
    """A trial under way.

    :param trial: its scores so far.
    :param unfitted: None if there is nothing to fit: its parameters cannot be used, or an earlier try has ended it.
    :param fresh: False if an earlier try has ended it.
    :param run_id: of its MLflow run; empty before it has begun.
    """

    number: int
    proposal: Proposal
    trial: Trial
    unfitted: Pipeline | None = None
    fresh: bool = False
    run_id: str = ""

    def begin(self, store: Store) -> None:
        """Open its MLflow run."""
        self.run_id = store.begin(self.number)

    def live(self, folds: int) -> bool:
        """Whether it has not failed or fallen behind, and has folds left."""
        return self.trial.outcome is TrialOutcome.DONE and len(self.trial.values) < folds


class _Search:
    def __init__(
        self,
        recipe: Recipe,
        candidate: Candidate,
        data: fitting.Data,
        spans: Sequence[Fold],
        store: Store | None,
        pool: Any,
        n_threads: int,
    ) -> None:
        self.recipe = recipe
        self.candidate = candidate
        self.data = data
        self.folds = spans
        self.store = store
        self.pool = pool
        self.budget = recipe.budget
        self.n_threads = n_threads
        self.counted = fitting.categories(recipe, data), len(data.classes)
        self.proposals = Proposals(candidate.space, self.budget.trials, recipe.metric, recipe.seed)
        self.ended: list[Trial] = []
        self.best: tuple[int, float, Trial] | None = None
        self.unrecorded: list[Callable[[Store], None]] = []
        """Beginnings and ends of trials that the store has not recorded yet."""
        self.seconds = 0.0
        """Seconds of the batches that have ended, in this process or in an earlier one."""

    def run(self) -> None:
        while not self._over() and (proposals := self.proposals.next(self.budget.parallel)):
            first = len(self.ended) + 1
            self._batch([self._attempt(number, proposal) for number, proposal in enumerate(proposals, first)])
        self._record()

    def _record(self) -> None:
        while self.store and self.unrecorded:
            self.unrecorded.pop(0)(self.store)

    def _over(self) -> bool:
        exactly = self.recipe.searched
        return self._late(0.0) if exactly is None else len(self.ended) >= exactly

    def _late(self, seconds: float) -> bool:
        limited = self.recipe.searched is None and self.best is not None
        return limited and self.seconds + seconds > self.budget.seconds

    def _attempt(self, number: int, proposal: Proposal) -> _Attempt:
        former = self.store.find(proposal.params) if self.store else None
        if former is not None:
            return _Attempt(number, proposal, former)
        attempt = _Attempt(number, proposal, Trial(proposal.params, TrialOutcome.DONE, (), 0.0), fresh=True)
        self.unrecorded.append(attempt.begin)
        try:
            attempt.unfitted = fitting.build(self.recipe, proposal.params, *self.counted)
        except TrainingFailed as error:
            attempt.trial = replace(attempt.trial, outcome=TrialOutcome.FAILED, error=str(error))
        return attempt

    def _batch(self, batch: list[_Attempt]) -> None:
        # Before the clock starts: waiting for MLflow must not take the time of fits.
        self._record()
        began = monotonic()
        for attempt in batch:
            self._repeat(attempt)
        for fold in self.folds:
            live = [attempt for attempt in batch if attempt.unfitted and attempt.live(len(self.folds))]
            if not live:
                break
            if self._late(monotonic() - began):
                # All of the batch counts for nothing: the same number of trials is then the same search.
                self.seconds += monotonic() - began
                return
            self._fold(live, fold)
        before = [attempt.trial.seconds for attempt in batch if not attempt.fresh]
        self.seconds += max([monotonic() - began, *before])
        for attempt in batch:
            self._end(attempt)

    def _repeat(self, attempt: _Attempt) -> None:
        """Report the scores of an earlier try again, fold by fold."""
        for fold in range(1, min(len(attempt.trial.values) + 1, len(self.folds))):
            self.proposals.behind(attempt.proposal, attempt.trial.first(fold))

    def _fold(self, live: list[_Attempt], fold: Fold) -> None:
        from joblib import delayed

        measure = delayed(measuring.on_fold)
        calls = [
            measure(attempt.unfitted, self.data, fold, self.recipe, attempt.proposal.params, self.n_threads)
            for attempt in live
        ]
        numbers = ", ".join(str(attempt.number) for attempt in live)
        what = f"{self.candidate.name}: fitting trial {numbers} of {self.proposals.total}"
        measurements = threads.waited(lambda: self.pool(calls), what)
        for attempt, measurement in zip(live, measurements, strict=True):
            attempt.trial = attempt.trial.then(measurement.value, measurement.seconds, measurement.error)
            if attempt.live(len(self.folds)) and self.proposals.behind(attempt.proposal, attempt.trial):
                attempt.trial = replace(attempt.trial, outcome=TrialOutcome.BEHIND)

    def _end(self, attempt: _Attempt) -> None:
        trial = attempt.trial
        if attempt.fresh:
            self.unrecorded.append(lambda store: store.end(attempt.run_id, trial))
        self.proposals.tell(attempt.proposal, trial)
        self.ended.append(trial)
        if trial.outcome is TrialOutcome.DONE and trial.value is not None:
            sign = 1 if metric_of(self.recipe.metric).greater_is_better else -1
            if self.best is None or sign * trial.value > self.best[1]:
                self.best = attempt.number, sign * trial.value, trial
        self._log(attempt)

    def _log(self, attempt: _Attempt) -> None:
        trial, done, total = attempt.trial, len(self.ended), self.proposals.total
        left = max(0.0, min(self.seconds / done * (total - done), self.budget.seconds - self.seconds))
        best = f", best {self.best[2].value:.4f} (trial {self.best[0]})" if self.best else ""
        params = ", ".join(f"{name}={value}" for name, value in trial.params.items()) or "no search"
        if trial.outcome is TrialOutcome.FAILED:
            log.warning(
                "%s: trial %d of %d failed and is left out: %s",
                self.candidate.name, attempt.number, total, trial.error,
            )  # fmt: skip
            return
        value = "undefined" if trial.value is None else f"{trial.value:.4f}"
        behind = f" on the first {len(trial.values)} of {len(self.folds)} folds, given up"
        log.info(
            "%s: trial %d of %d: %s %s%s%s; %.0f s so far, about %.0f s left; %s",
            self.candidate.name, attempt.number, total, self.recipe.metric, value,
            behind if trial.outcome is TrialOutcome.BEHIND else "", best, self.seconds, left, params,
        )  # fmt: skip

    def outcome(self) -> SearchOutcome:
        """Return the parameters and the score of the best trial.

        :raises TrainingFailed: if all trials failed.
        :raises NotEnoughData: if the metric was undefined in all trials that did not fail.
        """
        failed = [trial for trial in self.ended if trial.outcome is TrialOutcome.FAILED]
        if self.best is None and len(failed) == len(self.ended):
            raise TrainingFailed(failed[0].error)
        if self.best is None:
            rows = self.data.labels.size - self.folds[0].cut
            raise NotEnoughData(f"{self.recipe.metric} is undefined on the {rows} latest training rows.")
        best, trials = self.best[2], len(self.ended)
        remarks = [f"{len(failed)} of {trials} trials failed, the first: {failed[0].error}"] if failed else []
        cut = trials < self.proposals.total and (self.recipe.searched is not None or self._late(0.0))
        if cut:
            remarks.append(
                f"{trials} of {self.proposals.total} trials were done when the {self.budget.seconds:g} s of train.budget.seconds were "
                "over. How many is kept in the recipe; a search that is not told does more or fewer at another speed."
            )
            log.warning("%s: %s", self.candidate.name, remarks[-1])
        return SearchOutcome(
            dict(best.params), best.value, trials, cut, tuple(remarks), latest=best.values[-1]
        )
