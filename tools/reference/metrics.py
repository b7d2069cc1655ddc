"""The page of metrics."""

from __future__ import annotations

from math import isinf

from airflow_mlops.domain.metrics import FAMILIES, METRICS, Family, Metric, of_decisions
from tools.reference.markdown import page as page_of
from tools.reference.markdown import table

# A number that each family has, to ask what holds for all of its names.
_NUMBERS = {"top_K_accuracy": "3", "fB": "2", "pinball_Q": "90"}


def page() -> str:
    """Return the page of all metrics."""
    return page_of(
        "Metrics by name",
        "What each measures is said in [Metrics](../metrics.md). Standard ones are measured everywhere, the others where a spec names "
        "them. A capital stands for a number. Metrics of a decision change with the threshold; those of probabilities do not.",
        table(
            ["metric", "task", "better", "from", "to", "standard", "of"],
            [*map(_row, METRICS.values()), *map(_row, FAMILIES)],
        ),
    )


def _row(metric: Metric | Family) -> tuple[str, ...]:
    if isinstance(metric, Family):
        name, low, standard = metric.form, 0.0, False
        decided = of_decisions(metric.named(_NUMBERS[name]))
    else:
        name, low, standard = metric.name, metric.low, metric.standard
        decided = of_decisions(name)
    kind = "numbers" if metric.task == "regression" else "a decision" if decided else "probabilities"
    better = "high" if metric.greater_is_better else "low"
    return f"`{name}`", metric.task, better, _bound(low), _bound(metric.high), "yes" if standard else "", kind


def _bound(value: float) -> str:
    return "–" if isinf(value) else f"{value:g}"
