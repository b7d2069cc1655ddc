"""An erasure on a real object store, whose files are reached in another way than those of a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops.local.airflow import free_port
from object_store import BUCKET, serving

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


@pytest.mark.slow
def test_rows_leave_the_files_and_the_log_of_a_bucket(tmp_path: Path) -> None:
    script = ERASE.replace("BUCKET", BUCKET).replace("MLFLOW", str(tmp_path / "mlflow.db"))
    with serving(tmp_path, free_port()) as store:
        assert store.run(script).splitlines()[-5:] == [
            "1 1 0",
            "['a', 'b', 'c']",
            "True True",
            "2",
            "False True",
        ]
