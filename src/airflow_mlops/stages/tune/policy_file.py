"""The file of a chosen policy: its sections, as short as they can be written, below comments that say why it was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.spec.grid import WINDOW
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.replay import around
from airflow_mlops.stages.tune import choice

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.tuning import Figures, GainOver, Tuning
    from airflow_mlops.domain.spec.replay import Policy

_TRAIN = WINDOW.partition(".")[0]


def text(tuning: Tuning, spec: ModelSpec, policy: Policy, sections: Sequence[str]) -> str:
    """Return the file of a chosen policy, which ``airflow mlops replay --policy`` reads.

    :param spec: the model's own.
    :param sections: those that the grid changes; sections in which the policy is as the spec are left out, unless all are.
    """
    import yaml

    lines = [*reasons(tuning)]
    if policy.spec.gates.shadow is not None and not spec.score.shadow:
        lines.append("A trial in shadow also takes score: {shadow: true} in the spec.")
    comments = "".join(f"# {line}\n" for line in lines)
    values = content(spec, policy, sections)
    return f"{comments}\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}"


def content(spec: ModelSpec, policy: Policy, sections: Sequence[str]) -> dict[str, Any]:
    """Return the sections of a policy in which it differs from the spec, or all if it does not, without what they have by default."""
    changed = [name for name in sections if getattr(policy.spec, name) != getattr(spec, name)]
    return {name: _short(spec, policy.spec, name) for name in changed or sections}


def reasons(tuning: Tuning) -> Iterator[str]:
    """Yield, in sentences, by what a policy was chosen and what it came to where it was not."""
    metric, chosen = tuning.metric, tuning.of(tuning.chosen)
    span = f"{tuning.first[0]} to {tuning.first[-1]}"
    yield f"A policy for {tuning.model}, chosen by airflow mlops tune-policy of airflow-mlops {version('airflow-mlops')}."
    if not chosen.changes:
        yield "It is the policy that the spec has already: nothing needs to be changed."
    yield f"Chosen on {span} among {counted(len(tuning.tried), 'policy', 'policies')}: {_came(chosen.figures, metric)}."
    best = tuning.of(tuning.best)
    if best.name == chosen.name:
        yield "No other policy had a better mean there, and none within noise of it trained less."
    else:
        yield f"The best mean there: {_came(best.figures, metric)}."
        yield (
            f"That is {places(chosen.behind)} better, within one standard error of the difference, {places(chosen.noise)}; none within "
            "it trained less."
        )
    yield f"On {tuning.rest[0]} to {tuning.rest[-1]}, which had no say in the choice:"
    for name, figures in tuning.figures.items():
        label = "this policy" if name == tuning.chosen else name
        yield f"  {label}: {_came(figures, metric)}, {counted(figures.summary.alarms, 'alarm')}"
    for beside in tuning.beside:
        yield f"  against {beside.policy}: {gain(beside)}"
    yield from too_few(tuning)
    yield "Each section takes the place of the spec's own as a whole; of train the window alone."


def places(value: float | None) -> str:
    """Return a difference of means with four places."""
    return "–" if value is None else f"{value:.4f}"


def gain(beside: GainOver) -> str:
    """Return what the chosen policy has over another, in words."""
    if beside.gain is None:
        return f"no partition has {score(beside.score)} of both"
    low, high = beside.interval or (None, None)
    interval = "" if low is None else f" (95 % interval {low:+.4f} to {high:+.4f})"
    return f"{score(beside.score)} better by {beside.gain:+.4f}{interval}"


def score(name: str) -> str:
    """Return the name of a score as differences have it: those of ``rmse`` are squared, as its mean over rows is."""
    return "squared error" if name == "rmse" else name


def too_few(tuning: Tuning) -> Iterator[str]:
    """Yield sentences that say where there are too few partitions to tell a difference from chance."""
    served = tuning.of(tuning.best).figures.summary.served
    if served < choice.NEEDED:
        yield (
            f"It was chosen by {counted(served, 'partition')} with a model, where an interval takes {choice.NEEDED}: with more history "
            "another policy may be chosen."
        )
    lacking = [beside.n for beside in tuning.beside if beside.interval is None]
    if lacking:
        yield (
            f"The rest has {counted(min(lacking), 'partition')} to compare in, and an interval takes {choice.NEEDED}: its differences "
            "may be chance."
        )


def _came(figures: Figures, metric: str) -> str:
    summary = figures.summary
    mean = "no model" if summary.mean is None else f"mean {metric} {summary.mean:.4f}"
    refused = f", {summary.refused} refused" if summary.refused else ""
    return f"{mean}, {counted(summary.retrainings, 'training')}{refused}"


def _short(spec: ModelSpec, chosen: ModelSpec, section: str) -> dict[str, Any]:
    """Return the values of a section without those that it has by default."""
    whole = chosen.to_dict()
    if section == _TRAIN:
        return {"window": whole[section]["window"]}
    values: dict[str, Any] = whole[section]
    for place in _places(values):
        shorter = _without(values, place)
        if _section(spec, section, shorter) == getattr(chosen, section):
            values = shorter
    return values


def _section(spec: ModelSpec, name: str, values: dict[str, Any]) -> Any:
    """Return a section as the rest of a spec has it from values; None if these are too few."""
    whole = {**around(spec), name: values}
    try:
        return getattr(ModelSpec.model_validate(whole, by_alias=True, by_name=False), name)
    except ValidationError:
        return None


def _places(values: Mapping[str, Any], above: Place = ()) -> Iterator[Place]:
    """Yield the places of values, each section before what it holds."""
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, Mapping):
            yield from _places(value, (*above, key))


def _without(values: dict[str, Any], place: Place) -> dict[str, Any]:
    key, *rest = place
    if key not in values:
        return values
    if not rest:
        return {name: value for name, value in values.items() if name != key}
    return {**values, str(key): _without(values[str(key)], tuple(rest))}
