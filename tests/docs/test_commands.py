"""Every command that README and the pages name is executed: here, one after the other, or where a list says."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from airflow_mlops import config
from airflow_mlops.cli import main
from airflow_mlops.cli.commands.command import Command, Group
from airflow_mlops.cli.commands.everything import everything
from airflow_mlops.testing import LoopLab
from history import rows_of

ROOT = Path(__file__).parents[2]
_OURS = re.compile(r"(?:airflow mlops|airflow-mlops) ")
_PROGRAMS = ("airflow", "airflow-mlops", "curl", "docker", "make", "pip", "python")
MODEL = "flight_delays"
TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"


class Typed(NamedTuple):
    """A command of a page, and what of it stands for something else here.

    :param says: what it prints, or the file that it writes.
    """

    command: str
    says: str
    changes: Mapping[str, str] = {}


ORDERS, FLIGHTS = {"orders": MODEL}, {"flights": MODEL}

TYPED = (
    Typed("airflow mlops spec check FILE", f"{MODEL} is valid", {"FILE": f"models/{MODEL}.yaml"}),
    Typed("airflow mlops spec check FILE --data", f"{MODEL} is valid", {"FILE": f"models/{MODEL}.yaml"}),
    Typed("airflow-mlops spec check FILE --no-data", f"{MODEL} is valid", {"FILE": f"models/{MODEL}.yaml"}),
    Typed("airflow mlops spec check models/flight_delays.yaml", f"{MODEL} is valid"),
    Typed("airflow-mlops spec check models/flight_delays.yaml", f"{MODEL} is valid"),
    Typed("airflow mlops spec check models/parcels.yaml", "is valid", {"parcels": MODEL}),
    Typed("airflow mlops spec schema > spec.schema.json", '"properties"'),
    Typed("airflow mlops suggest flight_delays", "expect_column"),
    Typed("airflow mlops suggest orders", "expect_column", ORDERS),
    Typed("airflow mlops datasets list flight_delays", "Watermark"),
    Typed("airflow mlops datasets list orders", "Watermark", ORDERS),
    Typed("airflow mlops datasets diff orders 1", "digest", ORDERS),
    Typed("airflow mlops datasets export orders --version 3 --output-file orders.parquet", "orders.parquet", {" orders ": f" {MODEL} "}),
    Typed(
        "airflow mlops datasets export orders --as-of 2026-11-21 --partition 2013-01 --output-file orders.csv.gz",
        "orders.csv.gz",
        {" orders ": f" {MODEL} ", "2026-11-21": TOMORROW},
    ),
    Typed("airflow mlops datasets vacuum orders --days 90", "can be removed", ORDERS),
    Typed("airflow mlops datasets vacuum orders --days 90 --delete", "", ORDERS),
    Typed("airflow mlops quarantine list flight_delays", "distance is below 0"),
    Typed("airflow mlops quarantine list orders", "distance is below 0", ORDERS),
    Typed("airflow mlops quarantine export orders --partition 2013-01 --output-file orders.csv", "1 row", {" orders ": f" {MODEL} "}),
    Typed(
        'airflow mlops quarantine release orders --partition 2013-01 --file orders.csv --reason "typing errors at the desk"',
        "Released 1 row",
        {" orders ": f" {MODEL} "},
    ),
    Typed(
        'airflow mlops quarantine release orders --partition 2013-01 --reason "we deliver to France now"',
        "Released 1 row",
        ORDERS | {"2013-01": "2013-02"},
    ),
    Typed("airflow mlops history flight_delays", "promoted"),
    Typed("airflow mlops history <model>", "promoted", {"<model>": MODEL}),
    Typed("airflow mlops history fraud --version 3", "learned from", {"fraud": MODEL, "3": "1"}),
    Typed("airflow mlops reproduce flight_delays 4", "was reproduced", {"4": "1"}),
    Typed('airflow mlops adopt flight_delays 12 --challenger --reason "the one from the workshop"', "challenger", {"12": "1"}),
    Typed('airflow mlops adopt flight_delays 5 --reason "chosen by hand before the first training run"', "champion", {"5": "1"}),
    Typed('airflow mlops adopt flight_delays 5 --reason "…"', "champion", {"5": "2"}),
    Typed('airflow mlops rollback flight_delays --reason "complaints from JFK"', "1"),
    Typed("airflow mlops rollback flight_delays --to 5 --reason …", "2", {"5": "2"}),
    Typed("airflow mlops erase flights --where passenger_id=4711", "Nothing was erased", FLIGHTS | {"passenger_id=4711": "flight=2"}),
    Typed('airflow mlops erase flights --keys people.csv --reason "request 2024-17" --delete', "rased", FLIGHTS),
    Typed("airflow mlops erasures flights", "request 2024-17", FLIGHTS),
    Typed("airflow mlops rename-model flights arrivals", "Nothing was renamed", FLIGHTS),
    Typed('airflow mlops rename-model flights arrivals --reason "it is about both ends" --rename', "arrivals", FLIGHTS),
    Typed("airflow mlops remove-model flights", "Nothing was removed", {"flights": "arrivals"}),
    Typed('airflow mlops remove-model flights --reason "replaced by arrivals" --delete', "emoved", {"flights": "arrivals"}),
)  # fmt: skip
"""In the order in which one can follow the other: what takes away comes last."""

FIRST_HOUR = "tests/packaging/test_first_hour.py::test_airflow_goes_on_with_the_champion_and_comes_to_the_same_by_itself"
START = "tests/e2e/test_start.py::test_history_is_decided_in_order_and_before_the_newest_partition"
INIT = "tests/docs/test_init.py::test_the_commands_of_the_page_print_what_it_says"
DATA = "tests/unit/cli/test_run.py::test_a_spec_of_data_alone_is_read_and_published_without_an_mlflow"
PLAN = "tests/unit/cli/test_plan.py::test_a_plan_changes_nothing_and_its_exit_code_says_what_would"
WALK = "tests/docs/test_walks.py::test_the_first_ten_minutes_end_with_a_champion"
CHURN = "tests/docs/test_walks.py::test_churn_ends_with_a_champion_and_tables_that_have_the_columns_of_the_reference"
ELSEWHERE = {
    "airflow-mlops init parcels.csv": FIRST_HOUR,
    "airflow-mlops run dags/models/parcels.yaml": FIRST_HOUR,
    "airflow-mlops catch-up parcels": FIRST_HOUR,
    "airflow-mlops init parcels.csv --target late --time shipped_at --key parcel_id --partition month --yes": WALK,
    "airflow-mlops spec check dags/models/parcels.yaml": WALK,
    "airflow-mlops run dags/models/churn.yaml --storage store": CHURN,
    "airflow-mlops spec check dags/models/churn.yaml": CHURN,
    "airflow-mlops spec check dags/models/orders.yaml": DATA,
    "airflow-mlops run dags/models/orders.yaml --storage store": DATA,
    "airflow-mlops run dags/models/churn_live.yaml --storage store": (
        "tests/unit/stages/watch/test_watch.py::test_drift_is_judged_against_the_reference"
    ),
    "airflow-mlops plan dags/models/flights.yaml": PLAN,
    "airflow-mlops plan dags/models/flights.yaml --against origin/main --no-data || [ $? -eq 3 ]": PLAN,
    "airflow mlops start --dags dags": START,
    "airflow mlops catch-up flight_delays --from 2013-01 --to 2013-04": START,
    "airflow mlops catch-up flight_delays --from 2013-01 --to 2013-04 --url https://airflow.example.com": (
        "tests/unit/cli/test_catch_up.py::test_history_goes_through_the_dags_of_an_airflow_anywhere"
    ),
    "airflow-mlops run dags/models/flights.yaml --storage store": (
        "tests/unit/cli/test_run.py::test_the_partitions_of_a_folder_go_through_the_loop"
    ),
    "airflow-mlops init iris.csv --yes --as-of 2024-01-31 --drop-duplicates": INIT,
    "airflow-mlops spec check dags/models/iris.yaml": INIT,
    "airflow-mlops init DATA": "tests/unit/cli/test_init.py::test_guesses_are_taken_and_what_follows_is_printed",
    "airflow mlops init --connection shop --table orders": (
        "tests/unit/cli/test_init.py::test_a_table_is_read_where_it_is"
    ),
    "airflow mlops replay churn --policy newer.yaml": (
        "tests/unit/cli/test_replay.py::test_policies_are_replayed_in_processes_and_printed_and_written"
    ),
    "airflow mlops replay flight_delays --policy patient.yaml --policy performance_only.yaml --quiet 2013-03..2013-06": (
        "tests/unit/cli/test_replay.py::test_policies_are_replayed_in_processes_and_printed_and_written"
    ),
    "airflow mlops tune-policy stream": (
        "tests/unit/cli/test_tune_policy.py::test_a_policy_is_chosen_and_printed_and_written_and_the_spec_stays"
    ),
    'airflow mlops adopt flights 1 --of flights_notebook --reason "it has served since March"': (
        "tests/docs/test_elsewhere.py::test_the_script_of_the_page_is_gated_and_adopted"
    ),
    "airflow mlops adopt … --challenger": "tests/unit/cli/test_adopt.py::test_a_version_is_adopted_once",
}
"""What is executed by another test."""


def pages() -> Iterator[str]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        yield page.read_text(encoding="utf-8")


def commands() -> set[str]:
    """Return the commands in blocks and within lines of the pages, without remarks and variables."""
    texts: set[str] = set()
    for page in pages():
        whole = re.sub(r" \\\n\s*", " ", page)
        texts |= set(re.findall(r"^(?:\$ |    )(\S.*)$", whole, re.MULTILINE))
        texts |= set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL)))
    plain = (" ".join(re.sub(r"\s+#\s.*|^\w+=\S+ ", "", text).split()) for text in texts)
    return {text for text in plain if text.startswith(tuple(f"{program} " for program in _PROGRAMS))}


def ours() -> set[str]:
    """Return those of ours that can be typed: with no option alone, and more than a name for any command."""
    return {
        text
        for text in commands()
        if re.match(r"(?:airflow mlops|airflow-mlops) (?!COMMAND|\S+ --\S+$)", text)
    }


def names(command: Command | Group, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the names of commands, with those of their groups before them."""
    if isinstance(command, Command):
        yield " ".join((*above, command.name))
        return
    below = above if command.name == "mlops" else (*above, command.name)
    yield " ".join(below)
    for one in command.commands:
        yield from names(one, below)


def test_each_command_with_arguments_is_executed_here_or_in_a_test_that_there_is() -> None:
    bare = set(names(everything()))
    whole = {text for text in ours() if _OURS.sub("", text) not in bare}
    listed = {typed.command for typed in TYPED} | set(ELSEWHERE)
    assert whole - listed == set(), "name each in TYPED, or in ELSEWHERE with the test that executes it"
    assert listed - whole == set(), "no page has these any more"
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), place


def test_targets_of_make_modules_and_extras_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for text in commands():
        program, *words = text.split()
        if program == "make":
            assert words[0] in targets, text
        elif program == "python" and words[0] == "-m":
            assert find_spec(words[1]), text
            if words[1] == "benchmarks":
                assert find_spec(f"benchmarks.{words[2]}"), text
        elif program == "pip":
            assert all(extra in extras for extra in re.findall(r"airflow-mlops\[(\w+)\]", text)), text


SPEC = {
    "name": MODEL,
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "features": {"numeric": ["distance", "wind"], "categorical": ["carrier", "origin"]},
    "source": {"files": "data/{partition}.parquet"},
    "validate": [{"expect_column_values_to_be_between": {"column": "distance", "min_value": 0, "severity": "quarantine"}}],
    "max_quarantined": 0.1,
    "train": {"candidates": ["sklearn.linear_model.LogisticRegression"]},
    "retrain": {"when": {"every": 1}},
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, mlops: LoopLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with what three months have left: data, rows set aside, two versions of a model, decisions."""
    monkeypatch.chdir(tmp_path)
    for folder in ("models", "data"):
        Path(folder).mkdir()
    Path("models", f"{MODEL}.yaml").write_text(yaml.safe_dump(SPEC))
    Path("people.csv").write_text("flight\n2\n")
    partitions = {}
    for key in ("2013-01", "2013-02", "2013-03"):
        rows = rows_of(key)
        distances = [-1.0, *rows["distance"].to_pylist()[1:]]
        partitions[key] = rows.set_column(
            rows.column_names.index("distance"), "distance", pa.array(distances)
        )
        pq.write_table(partitions[key], f"data/{key}.parquet")
    run = mlops.run_loop(SPEC, partitions)
    for name, value in {
        "STORAGE": run.storage,
        "TRACKING_URI": f"sqlite:///{mlops.folder}/mlflow.db",
    }.items():
        monkeypatch.setenv(f"AIRFLOW__MLOPS__{name}", value)
        getattr(config, name.lower()).cache_clear()
    yield tmp_path
    config.storage.cache_clear()
    config.tracking_uri.cache_clear()


@pytest.mark.slow
@pytest.mark.thorough
def test_the_commands_of_the_pages_do_what_these_say(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = []
    for command, says, changes in TYPED:
        line = command.partition(" > ")[0]
        for written, here in changes.items():
            assert written in line, command
            line = line.replace(written, here)
        code: int | str | None = None
        try:
            main.main(shlex.split(_OURS.sub("", line)))
        except SystemExit as ended:
            code = ended.code
        printed = " ".join(capsys.readouterr().out.split())
        if code or says not in printed:
            problems.append(f"{line}\n{code or printed}")
    assert not problems, "\n\n".join(problems)
