from __future__ import annotations

import json
import os
import subprocess
import sys
from ast import literal_eval
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import airflow_mlops
from airflow_mlops import config
from airflow_mlops.get_provider_info import get_provider_info
from airflow_mlops.hooks.mlflow import EXTRAS

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

PACKAGE = Path(airflow_mlops.__file__).parent
INFO = get_provider_info()
OPTIONS = INFO["config"]["mlops"]["options"]
LAYERS = ("operators", "sensors", "hooks", "triggers", "notifications")


def listed(layer: str) -> set[str]:
    # Notifiers are listed by class, everything else by module.
    return {
        module
        for entry in INFO.get(layer, [])
        for module in ([entry.rpartition(".")[0]] if isinstance(entry, str) else entry["python-modules"])
    }


def objects(info: Any) -> set[str]:
    """Every dotted path of ours that stands anywhere in the metadata."""
    if isinstance(info, dict):
        return set().union(*map(objects, info.values()))
    if isinstance(info, list):
        return set().union(*map(objects, info))
    return {info} if isinstance(info, str) and info.startswith("airflow_mlops.") else set()


def airflow(*command: str) -> str:
    return python("-m", "airflow", *command)


def python(*arguments: str) -> str:
    # Unit test mode writes to the output.
    environment = os.environ | {"AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_metadata_is_valid_by_airflows_own_schema() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(INFO, schema)


@pytest.mark.parametrize("path", sorted(objects(INFO)))
def test_every_dotted_path_imports(path: str) -> None:
    try:
        import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_of_a_public_layer_is_listed(layer: str) -> None:
    there = {f"airflow_mlops.{layer}.{file.stem}" for file in (PACKAGE / layer).glob("[!_]*.py")}
    assert listed(layer) == there


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_option_has_its_function_and_its_place_in_the_documentation(option: str) -> None:
    page = (PACKAGE.parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert f"`{option}`" in page
    assert (getattr(config, option).__doc__ or "").startswith(f"[mlops] {option}: ")


def test_airflow_lists_the_provider_and_the_plugin() -> None:
    providers = {row["package_name"] for row in json.loads(airflow("providers", "list", "--output", "json"))}
    plugins = {row["name"] for row in json.loads(airflow("plugins", "--output", "json"))}
    assert "airflow-mlops" in providers
    assert "airflow_mlops" in plugins


def test_airflow_shows_the_form_of_the_connection() -> None:
    code = (
        "from airflow.providers_manager import ProvidersManager as P; m = P();"
        "print([w for w in m.connection_form_widgets if w.startswith('extra__mlflow__')]);"
        "print(m.field_behaviours['mlflow']['relabeling']['schema'])"
    )
    widgets, label = python("-c", code).splitlines()[-2:]
    assert {f"extra__mlflow__{name}" for name in EXTRAS} == set(literal_eval(widgets))
    assert label == "Scheme"
