"""The spec of a model as YAML that a person goes on with: each answer with its reason."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec.defaults import NEWEST
from airflow_mlops.stages.init import plan as plans
from airflow_mlops.stages.init import roles
from airflow_mlops.stages.init.partition_profiles import PartitionProfiles
from airflow_mlops.stages.init.plan import Plan

_WIDTH = 100
_FLOOR = {
    Task.CLASSIFICATION: ("roc_auc: 0.6", "chance has 0.5; raise it to what the model has to reach"),
    Task.REGRESSION: ("r2: 0.0", "as good as the mean; raise it to what the model has to reach"),
}


def text(plan: Plan, profiles: PartitionProfiles, folder: Path) -> str:
    """Return the spec of a plan.

    :param folder: of the files that were written, if any were.
    :raises NotEnoughData: if there are too few rows to train and to judge on.
    """
    sections = (
        _what(plan),
        _when(plan, profiles),
        _source(plan, folder),
        _columns(plan),
        _loop(plan, profiles),
        _suite(plan, profiles),
    )
    return "\n".join(line for section in sections for line in section) + "\n"


def _what(plan: Plan) -> Iterator[str]:
    answers = plan.answers
    yield from _comment(
        f"Written by `airflow-mlops init` from {plan.data.name}, to be changed. `airflow-mlops spec check` checks it, and "
        "`airflow-mlops spec schema` prints a schema for editors."
    )
    yield _key("name", answers.name)
    yield _key("description", f"Predicts {answers.target}, from {plan.data.name}.")
    yield _key("task", plan.task.value)
    yield from _answer("target", answers.target, plan)
    if plan.classes:
        order = (
            "The second class is the one that is looked for." if len(plan.classes) == 2 else "In any order."
        )
        yield from _comment(order)
        yield _key("classes", list(plan.classes))
    yield from _answer("key", list(plan.key), plan)


def _when(plan: Plan, profiles: PartitionProfiles) -> Iterator[str]:
    yield from _answer("event_time", plan.event_time, plan)
    yield from _answer("partition", plan.answers.grain.value, plan)
    keys = list(profiles.rows)
    yield from _comment("These partitions are there. Take `end` away when new ones come.")
    yield _key("start", keys[0])
    yield _key("end", keys[-1])


def _source(plan: Plan, folder: Path) -> Iterator[str]:
    if plan.is_written:
        options = " ".join(_written(plan.data.options).split())
        yield from _comment(
            f"Written from {plan.data.name}{f', read with {options}' if plan.data.options else ''}."
        )
    for note in plan.data.notes:
        yield from _comment(f"{note[0].upper()}{note[1:]}.")
    yield "source:"
    for kind, keys in plans.source(plan, folder).items():
        yield f"  {kind}:"
        for name, value in keys.items():
            yield _key(name, value, 4)
    yield from _answer("labels", {"delay": plan.answers.delay}, plan)


def _columns(plan: Plan) -> Iterator[str]:
    if personal := plan.roles.personal:
        yield from _comment("Personal data is masked in reports, logs and mails.")
        yield _key("pii", list(personal))
    yield "features:"
    for role in plan.roles.roles:
        if not role.use:
            yield from _comment(f"left out: {role.column}, {role.reason}", 2)
    for name in plan.roles.telling:
        yield from _comment(
            f"look at {name}: it alone tells one class from the rest; is it known when a row is scored?", 2
        )
    features = roles.features(plan.roles.roles)
    assert features is not None
    for use, names in features.kinds.items():
        if names:
            yield _key(use, list(names), 2)


def _loop(plan: Plan, profiles: PartitionProfiles) -> Iterator[str]:
    held, why = plans.holdout(profiles, plan.answers.target)
    yield from _comment(
        "When to train and what may serve is decided by these defaults: docs/how-it-decides.md."
    )
    yield _key("defaults", NEWEST)
    yield "train:"
    yield from _comment(f"{why[0].upper()}{why[1:]}.", 2)
    yield _key("holdout", held, 2)
    yield from _comment("Combinations of parameters to try for each candidate; more take longer.", 2)
    yield "  budget: {trials: 4}"
    floor, meaning = _FLOOR[plan.task]
    yield "gates:"
    yield from _comment(f"{meaning[0].upper()}{meaning[1:]}.", 2)
    yield f"  floor: {{{floor}}}"
    if plan.roles.telling:
        yield from _comment(
            f"Off, because it would take {', '.join(plan.roles.telling)} for a copy of the target; see features above.",
            2,
        )
        yield "  leakage: null"
    if (window := plans.window(profiles)) > 1 and len(profiles.rows) > 1:
        yield "monitor:"
        yield from _comment("Partitions are small; so many together are enough to tell drift.", 2)
        yield f"  drift: {{window: {window}}}"


def _suite(plan: Plan, profiles: PartitionProfiles) -> Iterator[str]:
    yield from _comment(
        "Learned from the partitions above: look at each. Rows that break `quarantine` are set aside."
    )
    yield from profiles.suite(
        plan.key, plan.event_time, plan.answers.grain.value, plan.roles.personal, plan.answers.target
    )


def _answer(key: str, value: Any, plan: Plan) -> Iterator[str]:
    names = value if isinstance(value, list) else [value]
    reasons = [plan.added[name] for name in names if isinstance(name, str) and name in plan.added]
    reason = "; ".join(reasons) or plan.reasons.get(key, "")
    if reason:
        yield from _comment(f"{', '.join(map(str, names)) if key != 'labels' else 'delay'}: {reason}")
    yield _key(key, value)


def _comment(sentence: str, indent: int = 0) -> list[str]:
    mark = " " * indent + "# "
    return textwrap.wrap(
        sentence,
        _WIDTH,
        initial_indent=mark,
        subsequent_indent=mark,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _key(name: str, value: Any, indent: int = 0) -> str:
    lines = _written(value).split("\n")
    return "\n".join(
        [f"{' ' * indent}{name}: {lines[0]}", *(f"{' ' * (indent + 2)}{line}" for line in lines[1:])]
    )


def _written(value: Any) -> str:
    """Return a value as YAML, in one line or, if it is long, in several."""
    import yaml

    plain = dict(value) if isinstance(value, Mapping) else value
    written = yaml.safe_dump(
        plain, default_flow_style=True, width=_WIDTH - 10, allow_unicode=True, sort_keys=False
    )
    return written.removesuffix("\n").removesuffix("\n...")
