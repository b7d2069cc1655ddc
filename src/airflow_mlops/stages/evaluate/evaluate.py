"""Evaluate: judge what a training offers on the holdout, beside the champion and gate by gate."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict, overall
from airflow_mlops.domain.facts.decision import HALF
from airflow_mlops.domain.facts.evidence import AGAIN
from airflow_mlops.domain.facts.results import DatasetVersion, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.policies.gates_rescue import MORE_DATA
from airflow_mlops.domain.policies.gates_rescue import NAME as RESCUE
from airflow_mlops.domain.spec.model import VersusChampion
from airflow_mlops.exceptions import ModelNotFound, NotEnoughData, TrainingFailed
from airflow_mlops.learning.bless.check import blessing_of
from airflow_mlops.learning.labels import groups, labelled, weights
from airflow_mlops.learning.labels.groups import of_new_groups
from airflow_mlops.learning.models import intervals, models, own_metrics, pipeline, thresholds
from airflow_mlops.learning.pictures.pictures import log_evaluation
from airflow_mlops.learning.statistics import measures, paired
from airflow_mlops.learning.statistics.slices import Judged
from airflow_mlops.reporting.verdicts import subject
from airflow_mlops.stages.evaluate import leakage, offers
from airflow_mlops.stages.evaluate.gates import table
from airflow_mlops.stages.evaluate.gates.evidence import Evidence
from airflow_mlops.stages.evaluate.learned import Learned
from airflow_mlops.stages.evaluate.rival import classes_of, predict
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import artifacts, registry, tracking

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.facts.retraining import RetrainDecision
    from airflow_mlops.domain.spec.model import Gates
    from airflow_mlops.learning.statistics.resampling import Blocks
    from airflow_mlops.stores.registry.client import Client

log = logging.getLogger(__name__)

_FILE = "evaluation.json"
_VERDICT = "mlops.verdict"


@own_metrics.scoped(lambda candidates, **_: candidates[0])
def evaluate_candidates(
    candidates: Sequence[TrainedModel],
    *,
    client: Client,
    dataset: DatasetVersion,
    champion: ModelRef | None,
    gates: Gates,
    retrain: RetrainDecision | None = None,
    pictures: bool = True,
    fresh: bool = True,
) -> Evaluation:
    """Read the holdout of the candidates and judge their offers in order beside the champion, each as :func:`evaluate` does.

    The first that passes is the one. If none does, the evaluation is that of the best one that was trained.

    :param dataset: the data as of the partition at which the candidates are judged.
    :raises TrainingFailed: if the candidates were not trained on the same data; and as :func:`evaluate`.
    """
    if offers.differ(candidates):
        raise TrainingFailed(
            f"{dataset.partition}: the candidates were trained on different data; clear all of them."
        )
    first = candidates[0]
    split, group = first.split, first.groups
    of_labels = [*dataset.key, first.target, *([first.weights] if first.weights else [])]
    names = list(dict.fromkeys([*dataset.key, dataset.event_time, *([group] if group else [])]))
    holdout = labelled.read(dataset, since=split.cut, until=split.end)
    seen = labelled.read(dataset, columns=names, until=split.end)

    def judged(offer: Sequence[TrainedModel]) -> Evaluation:
        start = offers.best(offer).split.start
        return evaluate(
            holdout,
            seen=seen,
            client=client,
            candidates=offer,
            champion=champion,
            gates=gates,
            partition=dataset.partition,
            retrain=retrain,
            learned=lambda: labelled.read(dataset, columns=of_labels, since=start, until=split.cut),
            pictures=pictures,
            fresh=fresh,
        )

    evaluations: list[Evaluation] = []
    for offer in offers.in_order(candidates, champion):
        evaluations.append(judged(offer))
        if evaluations[-1].verdict is Verdict.PASS:
            break
    if len(evaluations) == 1:
        return evaluations[0]
    evaluation = offers.chosen(evaluations)
    artifacts.write_json(client, evaluation.candidate.run_id, _FILE, evaluation.to_dict())
    return evaluation


@own_metrics.scoped(lambda holdout, *, candidates, **_: candidates[0])
def evaluate(
    holdout: pa.Table,
    *,
    seen: pa.Table,
    client: Client,
    candidates: Sequence[TrainedModel],
    champion: ModelRef | None,
    gates: Gates,
    partition: str,
    retrain: RetrainDecision | None = None,
    learned: Callable[[], pa.Table] | None = None,
    pictures: bool = True,
    fresh: bool = True,
) -> Evaluation:
    """Judge the candidate with the best inner score on the holdout; log the evaluation to its run.

    Candidate and champion predict the same rows. Rows without a label are left out, and those of groups that earlier rows are
    of: no model may have learned from them. Meanwhile the candidate is loaded
    and predicts in a fresh process. A candidate that is the champion already, because its evaluation was cleared after its
    promotion, is not judged again: its stored evaluation is the evidence for that promotion.

    :param holdout: rows from ``split.cut`` to ``split.end``.
    :param seen: key, event time and group of the rows before the holdout, which prove that it is untouched.
    :param champion: None only if the model surely has none; a champion that cannot be loaded raises.
    :param partition: key of the partition at which the candidates are judged.
    :param retrain: the decision that has led here, which says whether the champion fails; None if it is not known.
    :param learned: reads key, label and weight of the training rows; None if they are not at hand.
    :param pictures: whether to draw pictures of the evaluation.
    :param fresh: whether the candidate is blessed in a fresh process; one that nobody will serve need not be.
    :raises TrainingFailed: if the candidates were not trained on the same data.
    :raises NotEnoughData: if no row of the holdout has a label, or too few are of new groups.
    :raises LeakedRows: if the rows are not those of the holdout.
    :raises SchemaMismatch: if a column is missing that a model or a gate needs.
    :raises MetricFailed: if a metric of one's own cannot be imported or computed.
    :raises DigestMismatch: if the bytes of a model are not those that were trained.
    :raises ModelNotFound: if a model no longer exists.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    best = offers.best(candidates)
    if offers.differ(candidates):
        raise TrainingFailed(
            f"{partition}: the candidates were trained on different data; clear all of them."
        )
    ref = ModelRef(model=best.model, version=best.version, digest=best.digest, run_id=best.run_id)
    champion_ref = champion and champion.model_copy(update={"trained_through": None})
    if champion_ref == ref and (earlier := _judged_before(client, ref)):
        log.info("Version %s is the champion; what it was promoted on stays as it is.", ref.version)
        return earlier
    classes = classes_of(client, best, champion, holdout)
    labelled_rows, _ = pipeline.labelled(holdout, best.target, best.task, classes)
    if not labelled_rows.num_rows:
        raise NotEnoughData(
            f"{partition}: none of the {holdout.num_rows} rows of the holdout has a label. Hold out more (train.holdout), or say in "
            "labels.delay how late labels come."
        )
    rows = of_new_groups(labelled_rows, seen, best.groups, best.dataset.event_time, best.split)
    rows, truth = pipeline.labelled(rows, best.target, best.task, classes)
    weighed = weights.of(rows, best.weights, best.dataset.key, some=True)
    untouched = leakage.untouched(rows, seen, best.dataset, best.split, best.origin)
    blocks = _blocks(gates, best, rows)
    with blessing_of(client, ref, best.task, gates.serving, fresh=fresh) as (path, wait):
        model = models.load(path, ref.digest)
        frame = pipeline.frame(rows, pipeline.features_of(model))
        predicted, bounds = intervals.predict(model, frame, best.task, classes)
        rule = thresholds.of(model, classes, best.decision.costs if best.decision else None)
        judged = Judged(rows, truth, predicted, blocks, rule, weighed)
        rival = predict(client, champion, best, rows, seen, classes) if champion else None
        evidence = Evidence(
            gates, best, judged, classes, rival, untouched, model, frame, path.stat().st_size, wait, bounds,
            retrain=retrain,
            learned=cache(lambda: Learned.of(learned(), best, classes) if learned else None),
        )  # fmt: skip
        checks, unjudged = table.judge(evidence)
    if retrain and (again := retrain.again):
        checks = (
            *checks,
            Check(name=AGAIN, verdict=Verdict.PASS, expected="a former candidate", reason=again),
        )
    verdict, left_out = overall(checks), labelled_rows.num_rows - rows.num_rows
    theirs, their_rule = (rival.predicted, rival.rule) if rival else (None, HALF)
    evaluation = Evaluation(
        model=best.model, partition=partition, candidate=best, champion=champion, metrics=evidence.metrics,
        champion_metrics=rival.metrics(judged, best.task, evidence.named) if rival else {},
        by_class=measures.by_class(truth, judged.predicted, classes, rule=rule, weights=weighed),
        intervals=evidence.intervals, checks=checks, verdict=verdict, unjudged=unjudged,
        reason=_reason(best, checks, verdict, unjudged, left_out),
        leaderboard={candidate.candidate: candidate.score for candidate in candidates},
        left_out=left_out,
    )  # fmt: skip
    _log(client, evaluation)
    if pictures:
        log_evaluation(client, best.run_id, evaluation, model, judged, theirs, their_rule)
    return evaluation


def _judged_before(client: Client, ref: ModelRef) -> Evaluation | None:
    stored = artifacts.read(client, ref.run_id, _FILE)
    if stored is None:
        return None
    with damage.errors(f"{_FILE} of MLflow run {ref.run_id}", ModelNotFound):
        return Evaluation.from_dict(json.loads(stored))


def _blocks(gates: Gates, best: TrainedModel, rows: pa.Table) -> Blocks:
    gate, codes = gates.versus_champion or VersusChampion(), groups.codes_of(rows, best.groups)
    if codes is not None and gate.block == "auto":
        return groups.blocks(codes)
    return paired.blocks(gate, rows[best.dataset.event_time].to_numpy(), best.dataset.grain)


def _reason(
    best: TrainedModel, checks: Sequence[Check], verdict: Verdict, small: str, known_groups: int
) -> str:
    if verdict is Verdict.PASS:
        clauses = [f"{len(checks)} gate{'s' * (len(checks) != 1)} passed"]
        decisive: Iterable[Check] = [
            check for check in checks if check.name.startswith(("versus_champion", RESCUE, MORE_DATA))
        ]
    else:
        clauses, decisive = [], [check for check in checks if check.verdict is verdict]
    clauses += [f"{subject(check)}: {check.reason}" for check in decisive]
    left_out = f"; too few rows to judge {small}" if small else ""
    if known_groups:
        left_out += f"; {known_groups:,} rows of a {best.groups} that came before are left out"
    return f"{best.candidate} (version {best.version}): {'; '.join(clauses)}{left_out}"


def _log(client: Client, evaluation: Evaluation) -> None:
    candidate = evaluation.candidate
    run_id = candidate.run_id
    tracking.log_metrics(client, run_id, "holdout", evaluation.metrics)
    for end, group in enumerate(("holdout_low", "holdout_high")):
        bounds = {name: interval[end] for name, interval in evaluation.intervals.items()}
        tracking.log_metrics(client, run_id, group, bounds)
    artifacts.write_json(client, run_id, _FILE, evaluation.to_dict())
    tracking.tag(client, run_id, _VERDICT, evaluation.verdict.value)
    registry.tag(client, candidate.model, candidate.version, _VERDICT, evaluation.verdict.value)
