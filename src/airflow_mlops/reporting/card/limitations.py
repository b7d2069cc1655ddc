"""The warnings of a model card: what a model has not seen, and what its evaluation could not show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.classes import BINARY
from airflow_mlops.reporting.verdicts import subject

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.origin import ForeignOrigin
    from airflow_mlops.domain.facts.results import Evaluation

Row = tuple[Any, ...]

_SHOWN = 40
_RARE = 0.05
_WORD = {
    "tag": "what its tag trained_until says",
    "person": "what a person says",
    "registration": "concluded from the time of its registration",
}
_FEW = 100


def limits(evaluation: Evaluation, seen: Mapping[str, Any], validations: Mapping[str, Row]) -> Iterator[str]:
    """Yield what a reader should know before trusting a model, in sentences."""
    candidate = evaluation.candidate
    split = candidate.split
    yield from _elsewhere(candidate.origin)
    yield (
        f"It has seen nothing from {split.cut:%Y-%m-%d} on. How it does later is for monitoring to say: what holds here "
        f"was measured up to {split.end:%Y-%m-%d}."
    )
    yield from _labels(seen, candidate.classes or BINARY)
    undefined = [name for name, value in evaluation.metrics.items() if value is None]
    if undefined:
        yield f"The holdout does not suffice to measure {', '.join(undefined)}; all its rows may have one label."
    for check in evaluation.checks:
        if check.verdict is Verdict.INCONCLUSIVE:
            yield f"Not shown: {subject(check)}: {check.reason}"
    yield from _rows(evaluation)
    if evaluation.unjudged:
        yield f"Too few rows to judge {evaluation.unjudged}: how it does there is not known."
    yield from (f"While it was fitted: {remark}" for remark in candidate.remarks)
    empty = [name for name, feature in seen.get("features", {}).items() if not feature["values"]]
    constant = [name for name, feature in seen.get("features", {}).items() if feature["values"] == 1]
    if empty:
        yield f"No training row has a value of {_several(empty)}."
    if constant:
        yield f"All training rows have the same value of {_several(constant)}: what another one means is unknown."
    doubtful = [key for key, (verdict, *_) in validations.items() if verdict is not Verdict.PASS]
    aside = sum(count or 0 for _, _, count in validations.values())
    if doubtful:
        yield f"Validation did not pass for {_several(sorted(doubtful))}."
    if aside:
        yield f"{aside:,} rows of its partitions were set aside as broken: it knows nothing of such rows."
    two = candidate.task == "classification" and len(candidate.classes or BINARY) == len(BINARY)
    if two and candidate.decision is None:
        yield "0.5 is where its probabilities are cut for accuracy and f1; another cost of errors needs another cut."


def _elsewhere(origin: ForeignOrigin | None) -> Iterator[str]:
    if origin is not None:
        yield (
            "It was trained elsewhere: nobody here knows on which rows, with which parameters, or chosen among how many. That it has "
            f"not learned from what it is judged on is {_WORD[origin.source]}, and cannot be proved."
        )


def _rows(evaluation: Evaluation) -> Iterator[str]:
    candidate = evaluation.candidate
    if candidate.weights:
        yield f"Each row counts as much as its {candidate.weights} says: in fits, and in every metric here but the pictures."
    if candidate.groups:
        yield (
            f"It is judged on rows of a {candidate.groups} that no earlier row is of: {evaluation.left_out:,} other rows of the "
            "holdout are left out. How it does on those that it knows is for monitoring to say."
        )


def _several(names: list[str]) -> str:
    more = f" and {len(names) - _FEW // 10} more" if len(names) > _FEW // 10 else ""
    return ", ".join(names[: _FEW // 10]) + more


def _labels(seen: Mapping[str, Any], classes: Sequence[str]) -> Iterator[str]:
    target, rows = seen.get("target"), seen.get("rows", 0)
    if not target or not rows:
        return
    if "classes" in target:
        rare = [name for name, count in target["classes"].items() if count < _FEW]
        yield f"Training rows are of {len(target['classes'])} classes." + (
            f" Fewer than {_FEW} have the class {_several(rare)}, so what it says of them is uncertain."
            if rare
            else ""
        )
        return
    if "positives" not in target:
        yield f"Training rows have values of the target from {target['low']:.6g} to {target['high']:.6g}."
        return
    share = target["positives"] / rows
    few = min(target["positives"], rows - target["positives"])
    yield f"{share:.1%} of {rows:,} training rows are of the class {classes[1]}." + (
        f" Only {few:,} are of the rarer one, so what it says of them is uncertain."
        if few < _FEW or min(share, 1 - share) < _RARE
        else ""
    )


def ranges(seen: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for each feature: its least and greatest value in training, how many differ, the share missing."""
    for name, feature in list(seen.get("features", {}).items())[:_SHOWN]:
        low, high = (_value(feature.get(end), feature["kind"]) for end in ("low", "high"))
        count = f"{feature['values']:,}" if feature["kind"] in ("categorical", "text") else ""
        yield name, low, high, count, f"{feature['missing']:.1%}" if feature["missing"] else "none"


def _value(value: float | None, kind: str) -> str:
    if value is None:
        return ""
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M}" if kind == "dates" else f"{value:,.6g}"
