"""Skew: compare a partition with the data that the champion was trained on, before it predicts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops import exceptions
from airflow_mlops.domain.checks import Outcome, Severity
from airflow_mlops.domain.facts.results import Action, DatasetVersion, TrainingData
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.learning.summaries.categories import jensen_shannon, together
from airflow_mlops.learning.summaries.summary import Column, ColumnKind
from airflow_mlops.stores.registry import champions, ledger
from airflow_mlops.stores.tables import delta, tables

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.dataset as ds

    from airflow_mlops.domain.spec.model import Skew

log = logging.getLogger(__name__)

SAMPLE = 50_000
"""Maximum number of rows of each side that are compared, spread evenly over all rows."""

MIN_ROWS = 500
"""Minimum number of values that a feature must have on each side to be judged."""

NULLS = 0.2
"""Change of the share of missing values that counts as skew: a model that imputes them is far off by then."""


class SkewReference(NamedTuple):
    """The training data that a partition is compared with.

    :param version: the champion's version.
    :param data: the data that this version was trained on.
    """

    version: str
    data: TrainingData


class _Side(NamedTuple):
    """One feature of one side: the number of sampled rows, and the finite numbers or texts in them."""

    rows: int
    values: np.ndarray | pa.ChunkedArray

    @property
    def missing(self) -> float:
        return 1 - len(self.values) / self.rows if self.rows else 0.0


def check(dataset: DatasetVersion, policy: Skew, *, ledger_uri: str) -> list[ExpectationResult]:
    """Compare a partition with the training data of its champion; there are no results without a champion.

    If the comparison fails, the error is one result, and the other checks of the report still count. The
    champion is the one that the ledger has now: ingesting does not wait for the decision on the partition
    before.

    :param ledger_uri: URI of the model's ledger, which need not exist yet.
    """
    try:
        trained = reference(ledger_uri, dataset.partition)
        return [] if trained is None else compare(dataset, trained, policy)
    except Exception as error:  # noqa: BLE001 - data that can be checked without it must not be stopped by it
        # Messages of other libraries may quote a value, which may be personal; messages of our own errors do
        # not.
        ours = type(error).__module__ == exceptions.__name__
        detail = f": {error}" if ours else ""
        log.warning(
            "Skew of %s %s cannot be computed: %s%s",
            dataset.name,
            dataset.partition,
            type(error).__name__,
            detail,
        )
        return [
            ExpectationResult(
                expectation="skew",
                severity=policy.severity,
                outcome=Outcome.ERROR,
                expected="as far from the champion's training data as is allowed",
                observed=f"could not be computed: {type(error).__name__}{detail}",
            )
        ]


def reference(ledger_uri: str, partition: str) -> SkewReference | None:
    """Return the training data of a partition's champion, as its promotion has recorded it in the ledger.

    :return: None if there is no champion yet, or the ledger does not name its training data.
    """
    rows = ledger.rows(ledger_uri)
    version = ledger.champion_as_of(rows, partition)
    if version is None:
        return None
    # A model that was deleted and is trained again has another version of that number.
    digest = champions.digest_as_of(rows, version, partition)
    for move in reversed(ledger.moves(rows)):
        same = (move.after, move.digest) == (version, digest)
        if move.action is Action.PROMOTED and same and move.evidence.trained_on:
            return SkewReference(version, move.evidence.trained_on)
    return None


def compare(dataset: DatasetVersion, trained: SkewReference, policy: Skew) -> list[ExpectationResult]:
    """Compare columns, types, feature preparation and the values of each feature.

    A feature that is missing or has another type blocks: the champion cannot predict with it. Numbers are
    compared by the Wasserstein distance in units of the training data's standard deviation, other features by
    the Jensen-Shannon distance (natural logarithm, 0 to 0.83) of the categories that drift distinguishes. Of a text that
    is used by its words, the length in characters is compared, and an empty one is missing. A feature whose share of missing or infinite values has changed by a fifth is skewed too.

    :param dataset: the partition, staged or published.
    :param trained: the training data of the champion.
    :raises TableMissing: if the partition or the training data is gone.
    """
    features, then, now = trained.data.features, trained.data.dataset.columns, dataset.columns
    missing = [name for name in features if name not in now]
    kept = [name for name in features if name in now and name in then]
    # A column without any value has no type so far.
    typed = [name for name in kept if "null" not in (now[name], then[name])]
    changed = [name for name in typed if _kind(now[name]) != _kind(then[name])]
    widened = [name for name in typed if name not in changed and now[name] != then[name]]
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
    """Return what a column of an Arrow type holds: number, time or text, else the type itself."""
    starts = {
        "number": ("int", "uint", "float", "halffloat", "double", "decimal"),
        "time": ("timestamp", "date", "time", "duration"),
        "text": ("string", "large_string", "dictionary"),
    }
    return next((kind for kind, prefixes in starts.items() if type_.startswith(prefixes)), type_)


def _distributions(
    dataset: DatasetVersion, trained: SkewReference, names: Sequence[str], policy: Skew
) -> list[ExpectationResult]:
    import pyarrow.compute as pc

    data = trained.data
    time = pc.field(data.dataset.event_time)
    before = _sample(data.dataset, names, (time >= data.start) & (time < data.cut))
    now = _sample(dataset, names, pc.field(tables.PARTITION) == dataset.partition)
    sides = {name: (_lengths if name in data.texts else _side) for name in names}
    return [
        _distribution(name, side(before[name]), side(now[name]), trained.version, policy)
        for name, side in sides.items()
    ]


def _distribution(name: str, before: _Side, now: _Side, version: str, policy: Skew) -> ExpectationResult:
    few = [
        f"{len(side.values):,} values {where}"
        for side, where in ((before, "in training"), (now, "here"))
        if len(side.values) < MIN_ROWS
    ]
    gap = min(before.rows, now.rows) >= MIN_ROWS and abs(now.missing - before.missing) >= NULLS
    clauses = [f"{now.missing:.1%} missing, {before.missing:.1%} in training"] if gap else []
    distance = None
    if few:
        clauses.append(f"not judged: {' and '.join(few)}, {MIN_ROWS} are needed")
    else:
        distance = _distance(before.values, now.values)
        constant = "another value than the only one in training"
        clauses.insert(0, constant if distance is None else f"{distance:.2f} from the training data")
    skewed = not few and (distance is None or distance > policy.threshold)
    return ExpectationResult(
        expectation="skew.distribution",
        column=name,
        severity=policy.severity,
        outcome=Outcome.FAIL if skewed or gap else Outcome.PASS,
        expected=f"distance at most {policy.threshold:g} to the training data of version {version}",
        observed="; ".join(clauses),
    )


def _distance(before: np.ndarray | pa.ChunkedArray, now: np.ndarray | pa.ChunkedArray) -> float | None:
    import pyarrow as pa

    if isinstance(before, pa.ChunkedArray) or isinstance(now, pa.ChunkedArray):
        return jensen_shannon(*together(_counted(before), _counted(now))[1:])
    return _wasserstein(before, now)


def _wasserstein(before: np.ndarray, now: np.ndarray) -> float | None:
    """Return the distance in standard deviations; None if training saw a single other number."""
    import numpy as np
    from scipy.stats import wasserstein_distance

    spread = float(np.std(before))
    # A constant's computed deviation may be a rounding error.
    if spread > 1e-9 * float(np.abs(before).max()):
        return float(wasserstein_distance(before, now)) / spread
    return 0.0 if np.allclose(now, before[0]) else None


def _counted(values: pa.ChunkedArray) -> Column:
    import pyarrow.compute as pc

    labels, counts = (array.to_numpy(zero_copy_only=False) for array in pc.value_counts(values).flatten())
    return Column(ColumnKind.CATEGORICAL, len(values), 0, 0, labels, counts)


def _side(column: pa.ChunkedArray) -> _Side:
    import numpy as np
    import pyarrow as pa

    if _kind(str(column.type)) == "number":
        numbers = column.cast(pa.float64(), safe=False).to_numpy()
        return _Side(len(column), numbers[np.isfinite(numbers)])
    return _Side(len(column), column.cast(pa.string()).drop_null())


def _lengths(column: pa.ChunkedArray) -> _Side:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.utf8_length(column.cast(pa.large_string())).drop_null().to_numpy()
    return _Side(len(column), lengths[lengths > 0].astype(float))


def _sample(dataset: DatasetVersion, names: Sequence[str], condition: ds.Expression) -> pa.Table:
    """Take every n-th row; n doubles while rows are read, so that memory does not grow with the table."""
    import pyarrow as pa

    reader = delta.scan(tables.dataset(dataset.uri, dataset.version), names, condition)
    kept: list[pa.Table] = []
    seen, step = 0, 1
    for batch in reader:
        kept.append(pa.Table.from_batches([batch]).take(list(_multiples(seen, batch.num_rows, step))))
        seen += batch.num_rows
        while sum(sample.num_rows for sample in kept) > 2 * SAMPLE:
            whole = pa.concat_tables(kept)
            kept = [whole.take(list(range(0, whole.num_rows, 2)))]
            step *= 2
    whole = pa.concat_tables(kept) if kept else reader.schema.empty_table()
    rows = whole.num_rows
    return whole if rows <= SAMPLE else whole.take([row * rows // SAMPLE for row in range(SAMPLE)])


def _multiples(start: int, count: int, step: int) -> Iterator[int]:
    """Yield the positions in a batch of the rows whose number is a multiple of ``step``."""
    return iter(range(-start % step, count, step))
