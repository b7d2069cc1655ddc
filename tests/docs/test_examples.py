"""What the documentation shows is run: specs are loaded, DAG files are imported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import BundleDagBag

from airflow_mlops import load_spec

ROOT = Path(__file__).parents[2]
MARKED = re.compile(r"<!-- test: (spec|dag) -->\n```\w+\n(.*?)```", re.DOTALL)


def examples() -> list[tuple[str, str, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [(page.name, kind, text) for page in pages for kind, text in MARKED.findall(page.read_text())]


def test_there_are_examples_of_both_kinds() -> None:
    assert {kind for _, kind, _ in examples()} == {"spec", "dag"}


@pytest.mark.parametrize("text", [text for _, kind, text in examples() if kind == "spec"])
def test_every_spec_in_the_documentation_loads(text: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    assert load_spec(tmp_path / "spec.yaml").name


@pytest.mark.parametrize("page", sorted({page for page, kind, _ in examples() if kind == "dag"}))
def test_every_dag_file_in_the_documentation_imports(page: str, tmp_path: Path) -> None:
    # Specs of the same page stand where its DAG files look for them.
    for where, kind, text in examples():
        if where == page and kind == "spec":
            (tmp_path / "models").mkdir(exist_ok=True)
            name = re.search(r"^name: (\w+)$", text, re.MULTILINE)
            (tmp_path / "models" / f"{name[1] if name else 'unnamed'}.yaml").write_text(text)
    for number, text in enumerate(text for name, kind, text in examples() if (name, kind) == (page, "dag")):
        (tmp_path / f"example_{number}.py").write_text(text)
    bag = BundleDagBag(
        dag_folder=str(tmp_path), bundle_path=tmp_path, bundle_name="docs", load_op_links=False
    )
    assert bag.import_errors == {}
    assert bag.dags
