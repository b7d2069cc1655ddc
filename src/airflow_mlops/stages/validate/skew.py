"""Skew: how far a partition is from the data that the champion was trained on, before anything is predicted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops import exceptions
from airflow_mlops.domain.checks import Outcome, Severity
from airflow_mlops.domain.facts.results import Action, DatasetVersion, TrainingData
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.learning.summaries.distance import jensen_shannon, together
from airflow_mlops.learning.summaries.summary import Column, ColumnKind
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import delta, tables

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.dataset as ds

    from airflow_mlops.domain.spec.model import Skew

log = logging.getLogger(__name__)

SAMPLE = 50_000
"""Rows a side that are compared at most, spread evenly over all of them."""

MIN_ROWS = 500
"""Values a side without which a feature is not judged."""

NULLS = 0.2
"""Change of the share of missing values from which it counts as skew: a model that imputes them is far off by then."""


class SkewReference(NamedTuple):
    """What a partition is compared with.

    :param version: the champion's version.
    """

    version: str
    data: TrainingData


class _Side(NamedTuple):
    """One feature on one side: a sample of rows, its finite numbers or its texts in them."""

    rows: int
    values: np.ndarray | pa.ChunkedArray

    @property
    def missing(self) -> float:
        return 1 - len(self.values) / self.rows if self.rows else 0.0


def check(dataset: DatasetVersion, policy: Skew, *, ledger_uri: str) -> list[ExpectationResult]:
    """Compare a partition with the training data of its champion; nothing without a champion.

    What cannot be compared is told as one result, and keeps nothing else of a report back. The champion is the one that is known by now: ingesting does not wait for the decision on the partition before.

    :param ledger_uri: URI of the model's ledger, which may not be there yet.
    """
    try:
        found = reference(ledger_uri, dataset.partition)
        return [] if found is None else compare(dataset, found, policy)
    except Exception as error:  # noqa: BLE001 - data that can be checked without it must not be stopped by it
        # The text of an error may quote a value, which may be personal; not that of ours.
        ours = type(error).__module__ == exceptions.__name__
        said = f": {error}" if ours else ""
        log.warning(
            "Skew of %s %s cannot be computed: %s%s",
            dataset.name,
            dataset.partition,
            type(error).__name__,
            said,
        )
        return [
            ExpectationResult(
                expectation="skew",
                severity=policy.severity,
                outcome=Outcome.ERROR,
                expected="as far from the champion's training data as is allowed",
                observed=f"could not be computed: {type(error).__name__}{said}",
            )
        ]


def reference(ledger_uri: str, partition: str) -> SkewReference | None:
    """Return what the champion of a partition was trained on, from what promotion has recorded.

    :return: None if there is no champion yet, or the ledger does not say what it was trained on.
    """
    version = ledger.champion_as_of(ledger_uri, partition)
    if version is None:
        return None
    for move in reversed(ledger.moves(ledger_uri)):
        if move.action is Action.PROMOTED and move.after == version and move.evidence.trained_on:
            return SkewReference(version, move.evidence.trained_on)
    return None


def compare(dataset: DatasetVersion, trained: SkewReference, policy: Skew) -> list[ExpectationResult]:
    """Compare columns, types, feature preparation and the values of each feature.

    A missing feature and one of another type block: the champion cannot predict with them. Numbers are compared by
    the Wasserstein distance in units of the training data's standard deviation, all else by the Jensen-Shannon
    distance (natural logarithm, 0 to 0.83) of the categories that drift tells apart. A feature whose share of missing or infinite values has
    changed by a fifth is skewed too.

    :param dataset: the partition, staged or published.
    :raises TableMissing: if the partition or the training data is gone.
    """
    features, then, now = trained.data.features, trained.data.dataset.columns, dataset.columns
    missing = [name for name in features if name not in now]
    kept = [name for name in features if name in now and name in then]
    changed = [name for name in kept if _kind(now[name]) != _kind(then[name])]
    widened = [name for name in kept if name not in changed and now[name] != then[name]]
    extra = [name for name in now if name not in then]
    of = f"version {trained.version}"
    results = [
        _columns("missing", Severity.BLOCK, f"the {len(features)} features of {of}", _listed(missing)),
        _columns("type", Severity.BLOCK, f"types as {of} was trained on", _types(changed, now, then)),
        _columns("extra", Severity.WARN, f"only columns that {of} was trained on", _listed(extra)),
    ]
    if widened:
        problem = _types(widened, now, then)
        results.append(_columns("precision", Severity.WARN, f"types as {of} was trained on", problem))
    if (dataset.transform, trained.data.dataset.transform) != (None, None):
        results.append(_transform(dataset.transform, trained.data.dataset.transform, of))
    judged = [name for name in kept if name not in changed and _kind(now[name]) != "time"]
    return results + (_distributions(dataset, trained, judged, policy) if judged else [])


def _columns(name: str, severity: Severity, expected: str, problem: str) -> ExpectationResult:
    return ExpectationResult(
        expectation=f"skew.{name}",
        severity=severity,
        outcome=Outcome.FAIL if problem else Outcome.PASS,
        expected=expected,
        observed=problem or "it holds",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _types(names: Sequence[str], now: dict[str, str], then: dict[str, str]) -> str:
    return _listed([f"{name} is {now[name]}, was {then[name]}" for name in names])


def _transform(now: str | None, then: str | None, of: str) -> ExpectationResult:
    problem = "" if now == then else f"prepared by {now or 'nothing'}"
    expected = f"prepared by {then or 'nothing'}, as the data of {of}"
    return _columns("transform", Severity.WARN, expected, problem)


def _kind(type_: str) -> str:
    """Tell what a column holds from its Arrow type as text."""
    starts = {
        "number": ("int", "uint", "float", "halffloat", "double", "decimal"),
        "time": ("timestamp", "date", "time", "duration"),
        "text": ("string", "large_string", "dictionary"),
    }
    return next((kind for kind, known in starts.items() if type_.startswith(known)), type_)


def _distributions(
    dataset: DatasetVersion, trained: SkewReference, names: Sequence[str], policy: Skew
) -> list[ExpectationResult]:
    import pyarrow.compute as pc

    data = trained.data
    time = pc.field(data.dataset.event_time)
    before = _sample(data.dataset, names, (time >= data.start) & (time < data.cut))
    now = _sample(dataset, names, pc.field(tables.PARTITION) == dataset.partition)
    return [
        _distribution(name, _side(before[name]), _side(now[name]), trained.version, policy) for name in names
    ]


def _distribution(name: str, before: _Side, now: _Side, version: str, policy: Skew) -> ExpectationResult:
    few = [
        f"{len(side.values):,} values {where}"
        for side, where in ((before, "in training"), (now, "here"))
        if len(side.values) < MIN_ROWS
    ]
    gap = min(before.rows, now.rows) >= MIN_ROWS and abs(now.missing - before.missing) >= NULLS
    told = [f"{now.missing:.1%} missing, {before.missing:.1%} in training"] if gap else []
    distance = None
    if few:
        told.append(f"not judged: {' and '.join(few)}, {MIN_ROWS} are needed")
    else:
        distance = _distance(before.values, now.values)
        told.insert(
            0, "another value than the only one in training" if distance is None else f"{distance:.2f}"
        )
    skewed = not few and (distance is None or distance > policy.threshold)
    return ExpectationResult(
        expectation="skew.distribution",
        column=name,
        severity=policy.severity,
        outcome=Outcome.FAIL if skewed or gap else Outcome.PASS,
        expected=f"distance at most {policy.threshold:g} to the training data of version {version}",
        observed="; ".join(told),
    )


def _distance(before: np.ndarray | pa.ChunkedArray, now: np.ndarray | pa.ChunkedArray) -> float | None:
    import pyarrow as pa

    if isinstance(before, pa.ChunkedArray) or isinstance(now, pa.ChunkedArray):
        return jensen_shannon(*together(_counted(before), _counted(now))[1:])
    return _wasserstein(before, now)


def _wasserstein(before: np.ndarray, now: np.ndarray) -> float | None:
    """Return a distance; None if it has no finite one, because training saw a single number and this is another."""
    import numpy as np
    from scipy.stats import wasserstein_distance

    spread = float(np.std(before))
    # A constant's computed deviation may be a rounding error.
    if spread > 1e-9 * float(np.abs(before).max()):
        return float(wasserstein_distance(before, now)) / spread
    return 0.0 if np.allclose(now, before[0]) else None


def _counted(values: pa.ChunkedArray) -> Column:
    import pyarrow.compute as pc

    labels, counts = (each.to_numpy(zero_copy_only=False) for each in pc.value_counts(values).flatten())
    return Column(ColumnKind.CATEGORICAL, len(values), 0, 0, labels, counts)


def _side(column: pa.ChunkedArray) -> _Side:
    import numpy as np
    import pyarrow as pa

    if _kind(str(column.type)) == "number":
        numbers = column.cast(pa.float64(), safe=False).to_numpy()
        return _Side(len(column), numbers[np.isfinite(numbers)])
    return _Side(len(column), column.cast(pa.string()).drop_null())


def _sample(dataset: DatasetVersion, names: Sequence[str], condition: ds.Expression) -> pa.Table:
    """Take every n-th row, n being found out on the way, so that memory does not grow with the table."""
    import pyarrow as pa

    reader = delta.scan(tables.dataset(dataset.uri, dataset.version), names, condition)
    kept: list[pa.Table] = []
    seen, step = 0, 1
    for batch in reader:
        kept.append(pa.Table.from_batches([batch]).take(list(_multiples(seen, batch.num_rows, step))))
        seen += batch.num_rows
        while sum(each.num_rows for each in kept) > 2 * SAMPLE:
            whole = pa.concat_tables(kept)
            kept = [whole.take(list(range(0, whole.num_rows, 2)))]
            step *= 2
    whole = pa.concat_tables(kept) if kept else reader.schema.empty_table()
    rows = whole.num_rows
    return whole if rows <= SAMPLE else whole.take([row * rows // SAMPLE for row in range(SAMPLE)])


def _multiples(start: int, count: int, step: int) -> Iterator[int]:
    """Yield the positions in a batch of the rows whose number is a multiple of ``step``."""
    return iter(range(-start % step, count, step))
