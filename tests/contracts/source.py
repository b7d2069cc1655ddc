"""The source tree as data, for the rules that hold in all of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "airflow_mlops"
HEAVY = (
    "deltalake", "evidently", "great_expectations", "matplotlib", "mlflow", "numpy", "pandas", "pyarrow", "scipy",
    "skops", "sklearn",
)  # fmt: skip


def files(*folders: str) -> list[Path]:
    """List the modules of the package, or of some of its folders."""
    found = [path for folder in folders or (".",) for path in (PACKAGE / folder).rglob("*.py")]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def each_file(*folders: str) -> pytest.MarkDecorator:
    """Run a test once for each module; a folder without one is an error, not a silent pass."""
    paths = files(*folders)
    assert paths, f"no modules in {folders or PACKAGE}"
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(PACKAGE)))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def classes(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef))


def dotted(node: ast.AST) -> str:
    """Spell a chain of names and attributes; anything else is empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""
