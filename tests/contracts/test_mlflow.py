"""MLflow is asked by functions of ``stores/registry``: who is handed a client hands it on, and calls no method of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from contracts.source import dotted, each_file, tree

# learning/models and learning/provenance.py log models and datasets in MLflow's own terms.
ROOMS = (
    "stages", "reporting", "domain", "operators", "sensors", "learning/bless", "learning/labels", "learning/pictures",
    "learning/statistics", "learning/summaries",
)  # fmt: skip


@each_file(*ROOMS)
def test_no_method_of_a_client_is_called(path: Path) -> None:
    assert not [f"line {call.lineno}: {ast.unparse(call)}" for call in _client_calls(tree(path))]


@pytest.mark.parametrize(
    "code",
    [
        "client.get_run(run_id)",
        "self.client.set_tag(run_id, 'a', 'b')",
        "tags = subject.client.get_model_version(model, number).tags",
        "any(file.path == path for file in client.list_artifacts(run_id))",
        "plan.client().search_experiments()",
        "MlflowHook().get_conn().search_experiments()",
    ],
)
def test_a_call_of_a_clients_method_is_recognised(code: str) -> None:
    assert len(_client_calls(ast.parse(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "registry.champion_version(client, model)",
        "registry.champion_version(self.client, model)",
        "tracking.errors(plan.client())",
        "client(uri)",
        "where = client.tracking_uri",
    ],
)
def test_a_client_that_is_handed_on_is_no_call_of_its_methods(code: str) -> None:
    assert not _client_calls(ast.parse(code))


def _client_calls(module: ast.AST) -> list[ast.Call]:
    """Find what has the form ``client.method(…)``, wherever the client comes from."""
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Attribute) and _is_client(call.func.value)]


def _is_client(node: ast.expr) -> bool:
    # One that a function or a hook has just made is one, too.
    owner = dotted(node.func if isinstance(node, ast.Call) else node)
    return owner.rpartition(".")[2] in ("client", "get_conn")
