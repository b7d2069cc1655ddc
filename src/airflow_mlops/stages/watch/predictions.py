"""Take the predictions of another system from the data into the table of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.classes import BINARY, class_name
from airflow_mlops.domain.facts.results import EXTERNAL, DatasetVersion, ModelRef
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.predictions import (
    DATASET_DIGEST,
    DATASET_VERSION,
    MODEL_DIGEST,
    MODEL_VERSION,
    PREDICTION,
    PROBABILITIES,
    SCORE,
)
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.exceptions import BadRows, SchemaMismatch
from airflow_mlops.stages.score import batches
from airflow_mlops.stores.tables import tables
from airflow_mlops.stores.tables.commits import commit
from airflow_mlops.stores.tables.drafts import Draft

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_ROUNDED = 0.01
"""Share of the rows whose class may be the other one than their probability says, as where that was rounded to two digits."""
_SHOWN = 5


class Taken(NamedTuple):
    """The predictions of a partition.

    :param rows: number of predictions.
    :param without: number of rows that nothing was predicted of.
    :param version: the version that has made most of them; None if there are none.
    """

    rows: int
    without: int
    version: ModelRef | None


def take(spec: MonitoringSpec, dataset: DatasetVersion, uri: str) -> Taken:
    """Write the predictions in a partition of the data to the table of predictions; the same ones again change nothing.

    :param uri: URI of the Delta table of predictions.
    :raises SchemaMismatch: if the data lacks a column of them, or it is of another type.
    :raises BadRows: if a probability is none, a class is none of the spec's, or classes and probabilities contradict each other.
    """
    import pyarrow.compute as pc

    counts: dict[str, int] = {}
    contradictory = 0
    with Draft(uri, dataset.partition) as draft:
        for rows in _read(spec, dataset):
            table, against = _table(spec, dataset, rows)
            contradictory += against
            draft.add(table)
            for version in pc.value_counts(table[MODEL_VERSION]).to_pylist():
                counts[version["values"]] = counts.get(version["values"], 0) + version["counts"]
        total = sum(counts.values())
        if contradictory > _ROUNDED * total:
            raise BadRows(f"{contradictory:,} of {total:,} rows are put in {_contradiction(spec)}.")
        commit(draft, {})
    most = max(counts, key=lambda version: (counts[version], version), default=None)
    return Taken(total, dataset.rows - total, None if most is None else reference_to(spec.name, most))


def reference_to(model: str, version: str) -> ModelRef:
    """Return what stands for a version of another system, of which only the predictions are known."""
    return ModelRef(model=model, version=version, digest=EXTERNAL, run_id="")


def main_version(model: str, partition: str, uri: str) -> ModelRef | None:
    """Return the version that has made most predictions of a partition; None if there are none."""
    import pyarrow.compute as pc

    if not tables.exists(uri):
        return None
    made = tables.read(uri, partition=partition, columns=[MODEL_VERSION, MODEL_DIGEST])
    theirs = made.filter(pc.equal(made[MODEL_DIGEST], EXTERNAL))[MODEL_VERSION]
    counts = {row["values"]: row["counts"] for row in pc.value_counts(theirs).to_pylist()}
    most = max(counts, key=lambda version: (counts[version], version), default=None)
    return None if most is None else reference_to(model, most)


def classes_of(spec: MonitoringSpec) -> tuple[str, ...]:
    """Return the classes that are predicted, in the order of the spec; none for a regression."""
    if spec.task is Task.REGRESSION:
        return ()
    return tuple(map(class_name, spec.classes)) or BINARY


def _read(spec: MonitoringSpec, dataset: DatasetVersion) -> Iterator[pa.Table]:
    """Yield the rows of a partition, after a table without rows, which has the columns."""
    import pyarrow as pa

    there = tables.dataset(dataset.uri, dataset.version).schema.names
    if missing := [name for name in spec.predictions.columns if name not in there]:
        raise SchemaMismatch(
            f"The data has no column {', '.join(missing)}, which predictions names; it has {', '.join(there)}."
        )
    columns = list(dict.fromkeys([*batches.identity(dataset), *spec.predictions.columns]))
    reader = tables.batches(
        dataset.uri, version=dataset.version, partition=dataset.partition, columns=columns
    )
    yield reader.schema.empty_table()
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _table(spec: MonitoringSpec, dataset: DatasetVersion, rows: pa.Table) -> tuple[pa.Table, int]:
    """Return the predictions of some rows, and how many have another class than their probability says."""
    import pyarrow as pa

    named, classes = spec.predictions, classes_of(spec)
    complete = (
        named.columns if named.version is None else [name for name in named.columns if name != named.version]
    )
    rows = rows.filter(_all_valid(rows, complete))
    table = rows.select(batches.identity(dataset))
    contradictory = 0
    if not classes:
        assert named.prediction is not None
        scores = _numbers(rows, named.prediction)
        table = table.append_column(SCORE, pa.array(scores, pa.float64()))
    else:
        codes = None if named.prediction is None else _codes(rows, named.prediction, classes, spec.target)
        chosen, matrix, contradictory = _of_classes(spec, rows, codes, len(classes))
        score = matrix[:, 1] if len(classes) == len(BINARY) else _at(matrix, chosen)
        texts = pa.array([classes[code] for code in chosen.tolist()], pa.string())
        table = table.append_column(SCORE, pa.array(score, pa.float64())).append_column(PREDICTION, texts)
        if len(classes) > len(BINARY):
            table = table.append_column(PROBABILITIES, batches.lists(matrix))
    versions = (
        pa.repeat(pa.scalar(EXTERNAL), rows.num_rows)
        if named.version is None
        else rows[named.version].cast(pa.string()).fill_null(EXTERNAL)
    )
    table = table.append_column(MODEL_VERSION, versions)
    for name, value in {
        MODEL_DIGEST: EXTERNAL,
        DATASET_VERSION: str(dataset.version),
        DATASET_DIGEST: dataset.digest,
    }.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), rows.num_rows))
    return tables.normalise(table), contradictory


def _of_classes(
    spec: MonitoringSpec, rows: pa.Table, codes: np.ndarray | None, count: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the chosen classes, the probability of each class, and how many rows are put in another than these say."""
    import numpy as np

    named = spec.predictions
    if named.probability is not None:
        second = _probabilities(rows, named.probability)
        by_threshold = (second >= named.threshold).astype(int)
        chosen = by_threshold if codes is None else codes
        return chosen, np.c_[1 - second, second], int((chosen != by_threshold).sum())
    if named.probabilities:
        matrix = np.stack(
            [_probabilities(rows, named.probabilities[name]) for name in classes_of(spec)], axis=1
        )
        _refuse_other_sums(matrix)
        chosen = matrix.argmax(axis=1) if codes is None else codes
        # Metrics of classes are measured by the most probable one. Two that are rounded may change places.
        return chosen, matrix, int((matrix.max(axis=1) - _at(matrix, chosen) > _ROUNDED).sum())
    assert codes is not None
    return codes, np.eye(count)[codes], 0


def _at(matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
    import numpy as np

    probabilities: np.ndarray = matrix[np.arange(codes.size), codes]
    return probabilities


def _all_valid(rows: pa.Table, columns: Sequence[str]) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    valid = pa.chunked_array([pa.repeat(pa.scalar(True), rows.num_rows)])
    for name in columns:
        valid = pc.and_(valid, pc.is_valid(rows[name]))
    return valid


def _numbers(rows: pa.Table, name: str) -> np.ndarray:
    """Return a column of predicted numbers.

    :raises SchemaMismatch: if it holds no numbers.
    :raises BadRows: if one is not finite.
    """
    import numpy as np
    import pyarrow as pa

    kind = rows.schema.field(name).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise SchemaMismatch(f"Column {name!r} is to hold predicted numbers, and holds {kind}.")
    numbers: np.ndarray = rows[name].cast(pa.float64()).to_numpy()
    if wrong := int((~np.isfinite(numbers)).sum()):
        raise BadRows(
            f"{wrong:,} rows have a {name!r} that is no finite number; correct them, or set them aside by an expectation."
        )
    return numbers


def _probabilities(rows: pa.Table, name: str) -> np.ndarray:
    numbers = _numbers(rows, name)
    outside = (numbers < 0) | (numbers > 1)
    if outside.any():
        raise BadRows(
            f"{int(outside.sum()):,} rows have a {name!r} that is no probability from 0 to 1; correct them, or set them aside by an "
            "expectation."
        )
    return numbers


def _contradiction(spec: MonitoringSpec) -> str:
    """Say what rows are in that are put in another class than their probabilities say, and what to do."""
    if spec.predictions.probability is None:
        return (
            "another class than the most probable one, by which quality would be measured: leave predictions.prediction or "
            "predictions.probabilities out"
        )
    return (
        f"another class than a probability of {spec.predictions.threshold:g} or more says: write predictions.threshold as your "
        "system has it, or leave one of the two columns out"
    )


def _refuse_other_sums(matrix: np.ndarray) -> None:
    """Refuse probabilities of one row that are not of one another, such as those of a model for each class.

    :raises BadRows: if they sum to more or less than 1 by more than each of them may be rounded by.
    """
    sums = matrix.sum(axis=1)
    apart = abs(sums - 1) > _ROUNDED * matrix.shape[1]
    if apart.any():
        raise BadRows(
            f"{int(apart.sum()):,} rows have predictions.probabilities that do not sum to 1, such as {sums[apart][0]:.3g}: divide "
            "each by their sum, or name the column of the chosen class alone, predictions.prediction."
        )


def _codes(rows: pa.Table, name: str, classes: Sequence[str], target: str) -> np.ndarray:
    """Return the places of the chosen classes.

    :raises BadRows: if one is none of the classes.
    """
    import numpy as np

    encoded = rows[name].combine_chunks().dictionary_encode()
    names = [_class(value) for value in encoded.dictionary.to_pylist()]
    if strange := sorted(set(names) - set(classes))[:_SHOWN]:
        raise BadRows(
            f"{name!r} has {', '.join(map(repr, strange))}, and the classes of {target!r} are {', '.join(classes)}; name them all in "
            "classes."
        )
    places = np.array([classes.index(label) for label in names], dtype=int)
    codes: np.ndarray = places[encoded.indices.to_numpy()]
    return codes


def _class(value: Any) -> str:
    whole = isinstance(value, str) or float(value).is_integer()
    return class_name(value) if whole else repr(value)
