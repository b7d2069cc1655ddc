"""An erasure on a real object store, whose files are reached in another way than those of a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops.local.airflow import free_port
from object_store import BUCKET, Store, serving

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

ERASE = """
import pyarrow as pa
from airflow_mlops.stages.erase import erase
from airflow_mlops.stores.registry.client import connect, probe
from airflow_mlops.stores.tables import delta, tables, versions

def publish(key, names):
    at = pa.array([f"{key}-05T00:00:00Z"] * len(names)).cast(pa.timestamp("us", "UTC"))
    rows = pa.table({"id": names, "at": at})
    return tables.publish(uris["data"], rows, name="flights", grain="month", partition=key, key=["id"],
                          event_time="at", source="test", run="test")

uris = {table: tables.uri_of("s3://BUCKET", "flights", table) for table in erase.TABLES}
publish("2013-01", ["a", "zz-the-person"])
before = publish("2013-02", ["b", "c"])
tables.open_table(uris["data"]).create_checkpoint()
client = connect("sqlite:///MLFLOW")
probe(client)
planned, theirs = erase.plan(client, "flights", uris, ["id"], [["zz-the-person"]])
done = erase.erase(planned, theirs, uris, record=tables.uri_of("s3://BUCKET", "flights", "erasures"),
                   by="me", reason="asked for it")
print(done.rows, done.files, done.young)
print(tables.read(uris["data"])["id"].to_pylist())
after = versions.published(uris["data"], "2013-02")
print(after.digest == before.digest, after.version > before.version)
print(tables.read(uris["data"], version=after.version, partition="2013-02").num_rows)
files = delta.filesystem(uris["data"])
import pyarrow.fs as pafs
texts = [files.open_input_stream(info.path).read() for info in files.get_file_info(pafs.FileSelector("", recursive=True)) if info.is_file]
print(any(b"zz-the-person" in text for text in texts), len(texts) > 3)
print("end")
"""
MOVE = """
import pyarrow as pa
from airflow_mlops.stores.tables import folders, tables, versions

rows = pa.table({"id": ["a"], "at": pa.array([0], pa.timestamp("us", "UTC"))})
tables.publish("s3://BUCKET/flights/data", rows, name="flights", grain="month", partition="1970-01", key=["id"],
               event_time="at", source="test", run="test")
folders.move("s3://BUCKET/flights", "s3://BUCKET/arrivals")
versions.rename("s3://BUCKET/arrivals/data", "arrivals", "test")
version = versions.published("s3://BUCKET/arrivals/data", "1970-01")
print(version.name, version.uri, tables.read(version.uri, version=version.version).num_rows)
print(folders.content("s3://BUCKET/flights").files, folders.content("s3://BUCKET/arrivals").tables)
folders.delete("s3://BUCKET/arrivals")
print("end")
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with serving(tmp_path_factory.mktemp("moto"), free_port()) as store:
        yield store


@pytest.mark.slow
def test_rows_leave_the_files_and_the_log_of_a_bucket(store: Store, tmp_path: Path) -> None:
    script = ERASE.replace("BUCKET", BUCKET).replace("MLFLOW", str(tmp_path / "mlflow.db"))
    assert store.run(script).splitlines()[-5:] == [
        "1 1 0",
        "['a', 'b', 'c']",
        "True True",
        "2",
        "False True",
    ]


@pytest.mark.slow
def test_a_folder_of_a_bucket_is_moved_and_deleted_as_a_whole(store: Store) -> None:
    assert store.run(MOVE.replace("BUCKET", f"{BUCKET}/moved")).splitlines() == [
        f"arrivals s3://{BUCKET}/moved/arrivals/data 1",
        "0 {'data': 1}",
    ]
    assert store.keys("moved/") == []
