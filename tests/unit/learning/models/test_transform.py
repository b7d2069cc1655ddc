from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, TransformFailed
from airflow_mlops.learning.models import models, transform
from airflow_mlops.stores.registry import tracking
from airflow_mlops.stores.tables import tables
from history import History
from registry_builders import make_ref
from synthetic import make_client, make_dataset, make_rows, make_split, make_trained

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

JANUARY = Partition.parse("2013-01", "month")
ROWS = pa.table({"id": ["a", "b", "c"], "x": [3.0, 1.0, 2.0], "n": [1, None, 3]})
HALF = """import pyarrow.compute as pc

def prepare(rows):
    return rows.append_column("half", pc.divide(rows["wind"], 2))
"""
Writer = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a module beside the DAG files, as they find it, and return the dotted path of its function."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit within a second would not be seen
    names: set[str] = set()

    def written(text: str, name: str = "my_features") -> str:
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        names.add(name)
        return f"{name}:prepare"

    yield written
    for name in names:
        sys.modules.pop(name, None)


def prepare(write: Writer, body: str, rows: pa.Table = ROWS) -> pa.Table:
    text = f"import pandas as pd\nimport pyarrow as pa\nimport pyarrow.compute as pc\n\ndef prepare(rows):\n    {body}\n"
    return transform.load(write(text))(rows, JANUARY)


@pytest.mark.parametrize(
    "body",
    [
        "return rows.append_column('y', pc.add(rows['x'], 1))",
        "return rows.to_pandas().assign(y=lambda f: f.x + 1, n=lambda f: f.n.fillna(0))",
        "return rows.to_pandas().set_index('id', drop=False).assign(y=lambda f: f.x + 1)",
    ],
)
def test_a_table_or_a_frame_with_a_row_for_each_is_taken(write: Writer, body: str) -> None:
    found = prepare(write, body)
    assert found["y"].to_pylist() == [4, 2, 3]
    assert found["id"].to_pylist() == ["a", "b", "c"]
    assert found.schema.metadata is None


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_are_prepared_too(write: Writer, rows: int) -> None:
    found = prepare(write, "return rows.append_column('y', rows['x'])", ROWS.slice(0, rows))
    assert (found.num_rows, found.column_names) == (rows, ["id", "x", "n", "y"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return rows.slice(1)", "made 2 rows of 3"),
        ("return pa.concat_tables([rows, rows])", "made 6 rows of 3"),
        ("return rows.sort_by('x')", "does not prepare each row by itself: 'id' of row 2 is 'a' among all"),
        ("return rows.to_pandas().sort_values('x')", "does not prepare each row by itself"),
        ("return rows.set_column(1, 'x', pc.subtract(rows['x'], pc.mean(rows['x']).as_py() * len(rows)))", "of row"),
        ("return rows.to_pandas().assign(x=lambda f: f.x.shift().fillna(0))", "'x' of row 2 is 1.0 among all"),
        ("return rows.append_column('y', pc.random(len(rows)))", "'y' of row 2"),
        ("return rows.append_column('y', pa.array(range(len(rows)))).drop_columns(['id', 'x', 'n'])", "'y' of row"),
        ("return rows.append_column('x', rows['x'])", "columns of one name: id, x, n, x"),
        ("return {'x': [1, 2, 3]}", "failed: TypeError: it returned dict, not a pyarrow.Table"),
        ("return rows['wind']", "failed: KeyError: .*wind"),
    ],
)  # fmt: skip
def test_a_function_that_breaks_its_promise_is_named_with_partition_and_cause(
    write: Writer, body: str, told: str
) -> None:
    with pytest.raises(TransformFailed, match=rf"^my_features:prepare@\w{{12}}, partition 2013-01 .*{told}"):
        prepare(write, body)


def test_columns_that_depend_on_the_values_of_a_batch_are_refused(write: Writer) -> None:
    rows = pa.table({"id": [str(number) for number in range(100)]})
    with pytest.raises(TransformFailed, match="other columns of other rows"):
        prepare(write, "return pd.get_dummies(rows.to_pandas())", rows)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("no_such_module:prepare", "no_such_module:prepare cannot be imported: ModuleNotFoundError"),
        ("my_features:other", "AttributeError: .*other"),
        ("my_features:sleep", "is not a function of that module"),
        ("my_features:HOURS", "is not a function of that module"),
        ("time:sleep", "the code of time:sleep cannot be read"),
    ],
)
def test_what_is_no_function_is_named(write: Writer, function: str, told: str) -> None:
    write("from time import sleep\nHOURS = 6\n" + HALF)
    with pytest.raises(TransformFailed, match=told):
        transform.load(function)


def test_a_module_that_needs_another_one_beside_it_is_refused(write: Writer) -> None:
    write("FACTOR = 2", "my_helpers")
    with pytest.raises(TransformFailed, match="imports my_helpers, which is stored with no model"):
        transform.load(write("from my_helpers import FACTOR\n" + HALF))


def test_only_code_that_does_something_else_is_another_version(write: Writer) -> None:
    version = transform.load(write(HALF)).version
    assert re.fullmatch(r"my_features:prepare@[0-9a-f]{12}", version)
    assert transform.load(write(f"# half the wind\n\n{HALF}\n")).version == version
    assert transform.load(write(HALF.replace("2", "3"))).version != version


# ------------------------------------------------------------------------------------------------ with a model


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return make_client(tmp_path)


def dataset_by(rows: pa.Table, version: str | None) -> DatasetVersion:
    return make_dataset(rows).model_copy(update={"transform": version})


def trained_on(client: Any, write: Writer, text: str = HALF) -> tuple[ModelRef, transform.Transform]:
    used = transform.load(write(text))
    rows = make_rows()
    return make_ref(make_trained(client, rows, "key", dataset=dataset_by(rows, used.version))), used


def artifact(client: Any, ref: ModelRef) -> Path:
    model_id = client.get_run(ref.run_id).outputs.model_outputs[0].model_id
    place = client.get_logged_model(model_id).artifact_location
    return Path(place.removeprefix("file://")) / transform.FILE


def test_a_service_builds_the_features_with_the_code_that_the_model_learned_from(
    client: Any, write: Writer
) -> None:
    ref, used = trained_on(client, write, "# café\n" + HALF)
    write("raise RuntimeError('the code of today')")
    found = transform.of_model(client, ref)
    assert found is not None
    assert found.version == used.version
    assert found.source == used.source
    rows = make_rows(50)
    assert found(rows).equals(used(rows))
    assert len(models.predict(models.load_version(client, ref), found(rows), "classification")) == 50


def test_mlflow_names_data_and_code(client: Any, write: Writer) -> None:
    ref, used = trained_on(client, write)
    version = client.get_model_version(ref.model, ref.version).tags
    run = client.get_run(ref.run_id).data.tags
    for tags in (version, run):
        assert tags[transform.VERSION_TAG] == used.version
        assert tags["mlops.dataset_version"] == "3"
    assert version[transform.DIGEST_TAG] == used.digest


def test_a_model_without_a_transform_has_none_and_says_nothing_of_it(client: Any) -> None:
    ref = make_ref(make_trained(client, make_rows(), "key"))
    assert transform.of_model(client, ref) is None
    assert not any("transform" in tag for tag in client.get_model_version(ref.model, ref.version).tags)
    assert not artifact(client, ref).exists()
    assert (artifact(client, ref).parent / tracking.MODEL_FILE).exists()


def test_code_that_is_not_what_was_stored_does_not_run(client: Any, write: Writer, tmp_path: Path) -> None:
    ref, _ = trained_on(client, write)
    mark = tmp_path / "it ran"
    artifact(client, ref).write_text(f"open({str(mark)!r}, 'w')\n{HALF}")
    with pytest.raises(DigestMismatch, match=r"transform\.py of MLflow run .* is not the file"):
        transform.of_model(client, ref)
    # Older releases have not stored the digests of all files.
    client.delete_logged_model_tag(tracking.outputs(client, ref.run_id)[-1], tracking.FILES)
    with pytest.raises(DigestMismatch, match=r"transform\.py of version 1 of 'flights' is not the code"):
        transform.of_model(client, ref)
    assert not mark.exists()
    artifact(client, ref).unlink()
    with pytest.raises(ModelNotFound):
        transform.of_model(client, ref)


def test_code_that_does_not_run_here_is_named(
    client: Any, write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, _ = trained_on(client, write, "import os\nassert 'NO_SERVICE' not in os.environ\n" + HALF)
    monkeypatch.setenv("NO_SERVICE", "1")
    with pytest.raises(TransformFailed, match="my_features:prepare cannot be run here: Assertion"):
        transform.of_model(client, ref)


def test_training_refuses_data_that_the_code_of_today_did_not_prepare(client: Any, write: Writer) -> None:
    former = transform.load(write(HALF)).version
    now = transform.load(write(HALF.replace("2", "3"))).version
    rows = make_rows()
    with pytest.raises(TransformFailed, match=f"prepared by {former}, which is {now} now"):
        make_trained(client, rows, "key", dataset=dataset_by(rows, former))
    assert not client.search_registered_models()


def publish(history: History, key: str, version: str | None) -> DatasetVersion:
    """Publish a partition as one that was prepared."""
    found = history.publish(key)
    return found.model_copy(update={"transform": version})


@pytest.mark.parametrize(("since", "refused"), [("2013-01", True), ("2013-02", False)])
def test_partitions_that_different_code_prepared_are_not_learned_from_together(
    tmp_path: Path, write: Writer, monkeypatch: pytest.MonkeyPatch, since: str, refused: bool
) -> None:
    history, used = History(tmp_path), transform.load(write(HALF)).version
    known = [
        publish(history, "2013-01", None),
        publish(history, "2013-02", used),
        publish(history, "2013-03", used),
    ]
    later = publish(history, "2013-02", "other@0")
    monkeypatch.setattr(
        tables, "versions", lambda uri: iter([later.model_copy(update={"version": 9}), *known[::-1]])
    )
    start = Partition.parse(since, "month").start
    split = make_split(make_rows()).model_copy(update={"start": start})
    if refused:
        with pytest.raises(
            TransformFailed, match=f"2013-01 of 'flights' was prepared by nothing, 2013-03 by {used}"
        ):
            transform.of_training(known[-1], split)
    else:
        assert transform.of_training(known[-1], split) is not None


@pytest.mark.parametrize(
    ("of_rows", "told"),
    [(None, "prepared by nothing, but version 1 learned"), ("m:f@0123", "prepared by m:f@0123")],
)
def test_features_of_other_code_are_not_scored(
    client: Any, write: Writer, of_rows: str | None, told: str
) -> None:
    ref, used = trained_on(client, write)
    transform.check_scoring(client, dataset_by(make_rows(), used.version), ref)
    with pytest.raises(TransformFailed, match=f"{told}.*{used.version}"):
        transform.check_scoring(client, dataset_by(make_rows(), of_rows), ref)


def test_a_model_that_learned_from_rows_as_they_come_scores_only_such(client: Any) -> None:
    ref = make_ref(make_trained(client, make_rows(), "key"))
    transform.check_scoring(client, make_dataset(make_rows()), ref)
    with pytest.raises(TransformFailed, match="learned from what nothing prepared"):
        transform.check_scoring(client, dataset_by(make_rows(), "m:f@0123"), ref)
