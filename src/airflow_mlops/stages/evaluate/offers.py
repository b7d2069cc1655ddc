"""Offers: what a training hands to the evaluation, in the order in which it is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.learning.labels import labelled
from airflow_mlops.reporting.verdicts import subject


def in_order(candidates: Sequence[TrainedModel], champion: ModelRef | None) -> list[list[TrainedModel]]:
    """Return the offers of a training in the order in which they are judged, each with the candidates that it is the best of.

    A recalibrated champion comes before what was trained: it changes least, and its inner score says nothing beside the others'.
    A constant comes last: it stands in where nothing else passes.
    Where one offer is the champion already, as the evaluation was cleared after its promotion, it is the only one.
    """
    kept = [[candidate] for candidate in candidates if candidate.keeps]
    fitted = [candidate for candidate in candidates if _ranked(candidate)]
    constants = [[candidate] for candidate in candidates if candidate.constant]
    offers = [*kept, *([fitted] if fitted else []), *constants]
    promoted = [offer for offer in offers if champion and best(offer).version == champion.version]
    return promoted or offers


def best(candidates: Sequence[TrainedModel]) -> TrainedModel:
    """Return the candidate with the best inner score, the first of equals."""
    sign = 1 if metric_of(candidates[0].metric).greater_is_better else -1
    return max(candidates, key=lambda model: -math.inf if model.score is None else sign * model.score)


def chosen(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluation that stands for a training: the last if it has passed, else that of what was trained.

    The others are said in its reason. What adds up over partitions, and who is judged again, is then about a trained candidate.

    :param evaluations: of offers in their order, up to the first that has passed.
    """
    *before, last = evaluations
    if last.verdict is not Verdict.PASS:
        last = next((each for each in evaluations if _ranked(each.candidate)), evaluations[0])
        before = [each for each in evaluations if each is not last]
    leaderboard = {name: score for each in evaluations for name, score in each.leaderboard.items()}
    reason = "; ".join([last.reason, *(f"judged too: {_refusal(each)}" for each in before)])
    return last.model_copy(update={"reason": reason, "leaderboard": leaderboard})


def _refusal(evaluation: Evaluation) -> str:
    candidate, verdict = evaluation.candidate, evaluation.verdict
    decisive = next(check for check in evaluation.checks if check.verdict is verdict)
    return f"{candidate.candidate} (version {candidate.version}), {verdict}: {subject(decisive)}: {decisive.reason}"


def _ranked(candidate: TrainedModel) -> bool:
    """Whether a candidate is one of the spec, which are compared with each other by their inner scores."""
    return not candidate.keeps and not candidate.constant


def differ(candidates: Sequence[TrainedModel]) -> bool:
    """Whether candidates are not those of one training."""
    fitted = [candidate for candidate in candidates if _ranked(candidate)]
    others = [candidate for candidate in candidates if not _ranked(candidate)]
    # A recalibrated champion begins with its own rows, a constant with those of the longest window.
    return any(_rows_of(candidate) != _rows_of(fitted[0]) for candidate in fitted) or any(
        _shared(candidate) != _shared(other) for candidate in others for other in candidates
    )


def _rows_of(candidate: TrainedModel) -> tuple[Any, ...]:
    """Return the data of a candidate and its rows, unless it has chosen a window of them."""
    if candidate.window is None:
        return labelled.content(candidate.dataset), candidate.split
    return _shared(candidate)


def _shared(candidate: TrainedModel) -> tuple[Any, ...]:
    """Return what candidates of one training share that begin with different rows."""
    dataset, split = candidate.dataset, candidate.split
    # The digest of labels is that of the rows it begins with.
    same = labels = dataset.labels
    if labels is not None:
        same = labels.model_copy(update={"digest": None})
    return dataset.model_copy(update={"labels": same}), split.cut, split.end
