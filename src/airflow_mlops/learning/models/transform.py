"""Feature preparation: one function, identified by its code, that training and serving share."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import DigestMismatch, TransformFailed
from airflow_mlops.learning.models import code, models
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, Split
    from airflow_mlops.stores.registry.client import Client

FILE = "transform.py"
"""Name of the code among the artifacts of a logged model. Not below ``code/``, whose files MLflow runs by itself."""
VERSION_TAG = "mlops.transform"
"""Tag of runs and versions: the function that prepared the features, ``module:function@digest``; absent without one."""
DIGEST_TAG = "mlops.transform_digest"
"""Tag of versions: sha256 of :data:`FILE`."""

_PROBED = 8


class Transform(code.Function):
    """A function that prepares the features of rows, each row by itself.

    It takes a ``pyarrow.Table`` and returns one, or a ``pandas.DataFrame``, with a row for each.
    """

    def __call__(self, rows: pa.Table, partition: Partition | None = None) -> pa.Table:
        """Return the prepared rows, as many and in the same order.

        A few of the rows are prepared a second time, by themselves and in reverse order, and must come out the same:
        what depends on neighbours or on a mean of the batch cannot be computed for one row when it is served.

        :param partition: partition of the rows, for messages; None means unknown.
        :raises TransformFailed: if the function fails, or breaks this promise.
        """
        import numpy as np

        where = f"{self.version}, partition {partition.key}" if partition else self.version
        prepared = self._run(rows, where)
        if rows.num_rows > 1:
            # Never all of them: a mean of the batch would be the same again.
            count = min(_PROBED, rows.num_rows // 2)
            chosen = np.linspace(rows.num_rows - 1, 0, count).astype("int64")
            again = self._run(rows.take(chosen), where)
            _compare(prepared.take(chosen).to_pylist(), again.to_pylist(), chosen, where)
        return prepared

    def _run(self, rows: pa.Table, where: str) -> pa.Table:
        try:
            prepared = _table(self.call(rows))
        except Exception as error:
            raise TransformFailed(f"{where} failed: {type(error).__name__}: {error}") from error
        if prepared.num_rows != rows.num_rows:
            raise TransformFailed(
                f"{where} made {prepared.num_rows:,} rows of {rows.num_rows:,}; each row is prepared by itself, so none may "
                "be left out or added: filter in the source, or by expectations"
            )
        if len(set(prepared.column_names)) < len(prepared.column_names):
            raise TransformFailed(f"{where} returned columns of one name: {', '.join(prepared.column_names)}")
        return prepared


def _table(rows: Any) -> pa.Table:
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        return rows
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        return pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
    raise TypeError(f"it returned {type(rows).__name__}, not a pyarrow.Table or a pandas.DataFrame")


def _compare(
    rows: list[dict[str, Any]], again: list[dict[str, Any]], positions: np.ndarray, where: str
) -> None:
    for position, first, second in zip(positions, rows, again, strict=True):
        if first.keys() != second.keys():
            raise TransformFailed(
                f"{where} made other columns of other rows: {sorted(first)}, then {sorted(second)}"
            )
        for name, value in first.items():
            if not _same(value, second[name]):
                raise TransformFailed(
                    f"{where} does not prepare each row by itself: {name!r} of row {position:,} is {value!r:.80} among "
                    f"all rows and {second[name]!r:.80} among {len(rows)}"
                )


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float | int):
        # The last bits may differ with the number of values that a processor takes at once.
        return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-12) or (one != one and two != two)
    return bool(one == two)


def load(function: str) -> Transform:
    """Import a function that prepares features; a module beside the DAG file is found as that file would import it.

    :param function: ``module:function``. The module may import installed packages, but no module that lies beside it,
        because only its own code is versioned and stored with a model.
    :raises TransformFailed: if it cannot be imported, or its module needs code that lies beside it.
    """
    try:
        imported = code.find(function)
    except ImportError as error:
        raise TransformFailed(str(error)) from error
    return Transform(imported.version, imported.source, imported.call)


def of_training(dataset: DatasetVersion, split: Split) -> Transform | None:
    """Return the function that prepared all rows of a training, as it is now; None if none did.

    :raises TransformFailed: if partitions were prepared by different code, or the code has changed since.
    """
    since, versions = Partition.containing(split.start, dataset.grain).key, {dataset.partition: dataset}
    for version in tables.versions(dataset.uri):
        if version.version <= dataset.version and since <= version.partition <= dataset.partition:
            versions.setdefault(version.partition, version)
    if other := next(
        (versions[key] for key in sorted(versions) if versions[key].transform != dataset.transform), None
    ):
        raise TransformFailed(
            f"Partition {other.partition} of {dataset.name!r} was prepared by {other.transform or 'nothing'}, "
            f"{dataset.partition} by {dataset.transform or 'nothing'}: a model cannot learn from both. Ingest the earlier "
            "ones again."
        )
    if dataset.transform is None:
        return None
    current = load(dataset.transform.partition("@")[0])
    if current.version != dataset.transform:
        raise TransformFailed(
            f"{dataset.name!r} was prepared by {dataset.transform}, which is {current.version} now. Ingest it again, or put "
            "the former code back."
        )
    return current


def check_scoring(client: Client, dataset: DatasetVersion, champion: ModelRef) -> None:
    """Refuse rows whose features were prepared by other code than those that a model learned from.

    :raises TransformFailed: naming both.
    """
    learned = registry.short_tags(client, champion).get(VERSION_TAG)
    if learned != dataset.transform:
        raise TransformFailed(
            f"Partition {dataset.partition} of {dataset.name!r} was prepared by {dataset.transform or 'nothing'}, but "
            f"version {champion.version} learned from what {learned or 'nothing'} prepared, so its predictions would mean "
            "nothing. Train on the new features, or ingest the partition again with the former code."
        )


def of_model(client: Client, ref: ModelRef) -> Transform | None:
    """Load the function that prepared the rows a model learned from, to prepare others alike; None if none did.

    This runs the stored code, after its digest was compared with that of the model version.

    :raises DigestMismatch: if the code is not what was stored, or the version has no digest of it; nothing has run
        then.
    :raises ModelNotFound: if the version or its code does not exist.
    :raises TransformFailed: if it cannot be imported here.
    """
    tags = registry.short_tags(client, ref)
    if VERSION_TAG not in tags:
        return None
    with TemporaryDirectory() as folder:
        content = models.download(client, ref.run_id, Path(folder), FILE).read_bytes()
    if hashlib.sha256(content).hexdigest() != tags.get(DIGEST_TAG):
        raise DigestMismatch(
            f"{FILE} of version {ref.version} of {ref.model!r} is not the code that was stored with it."
        )
    function, source = tags[VERSION_TAG].partition("@")[0], content.decode()
    try:
        # Under a name of its own: the module itself may be installed here too, in another version.
        module = code.run(source, f"_mlops_transform_{tags[DIGEST_TAG][:12]}")
        prepare = getattr(module, function.partition(":")[2])
    except Exception as error:
        raise TransformFailed(f"{function} cannot be run here: {type(error).__name__}: {error}") from error
    return Transform(code.version(function, source), source, prepare)
