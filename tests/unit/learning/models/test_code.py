from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from airflow_mlops.learning.models import code

CODE = '''"""What this is for."""
from dataclasses import dataclass

HOURS = 6

@dataclass
class Weather:
    """Of an hour."""
    wind: float = 1.5

def prepare(rows, *, factor=(1, 2)):
    """Prepare rows."""
    return [f"{row!r:>{HOURS}}" for row in rows if row]
'''


def test_comments_docstrings_and_layout_do_not_count() -> None:
    other = CODE.replace("Prepare rows.", "Prepare the rows.\n\n    In detail.").replace("(1, 2)", "(1,  2,)")
    other = other.replace("HOURS = 6", "# as the weather service says\nHOURS = 6  # hours\n\n")
    other = other.replace('    """Of an hour."""\n', "").replace('"{row', "'{row").replace('}"', "}'")
    assert other != CODE
    assert code.digest(other) == code.digest(CODE)
    assert code.digest(ast.unparse(ast.parse(CODE))) == code.digest(CODE)


def test_the_digest_is_the_same_from_one_python_to_the_next() -> None:
    # Newer versions add fields to the nodes, and leave empty ones out of ast.dump.
    assert code.digest(CODE)[:12] == "03bad2d94abe"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("HOURS = 6", "HOURS = 6.0"),
        ("HOURS = 6", "HOURS = '6'"),
        ("HOURS = 6", "HOURS = True"),
        ("1.5", "1.5000001"),
        ("!r", "!s"),
        ("if row", "if not row"),
        ("factor=(1, 2)", "factor=(2, 1)"),
        ("return [", "return None; ["),
        ("@dataclass\n", ""),
    ],
)
def test_whatever_does_something_else_has_another_digest(before: str, after: str) -> None:
    assert before in CODE
    assert code.digest(CODE.replace(before, after)) != code.digest(CODE)


def test_imports_from_the_same_folder_are_found_and_those_of_packages_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sibling_module.py").touch()
    (tmp_path / "sibling_package").mkdir()
    (tmp_path / "sibling_package" / "__init__.py").touch()
    (tmp_path / "sibling_namespace").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "import json, sibling_module\nfrom airflow_mlops.stores.tables import tables\nimport pandas.api, nowhere_to_be_found\n"
        "def f():\n    from sibling_package.inner import x\n    import sibling_namespace.y\n    from . import z\n"
    )
    found = {"sibling_module", "sibling_package.inner", "sibling_namespace.y", "."}
    assert set(code.beside(text, "prepare", str(tmp_path / "prepare.py"))) == found
    inside = code.beside(text, "pack.age.prepare", str(tmp_path / "pack" / "age" / "prepare.py"))
    assert set(inside) == found
    package = code.beside(text, "pack.age", str(tmp_path / "pack" / "age" / "__init__.py"))
    assert set(package) == found


def test_an_installed_module_may_import_what_is_installed_beside_it() -> None:
    installed = Path(pytest.__file__).parents[1] / "prepare.py"
    assert not list(code.beside("import pandas, pytest", "prepare", str(installed)))


def test_text_runs_as_a_module_of_its_own() -> None:
    module = code.run("from __future__ import annotations\n" + CODE, "_test_code_run")
    assert module.Weather(2).wind == 2
    assert sys.modules["_test_code_run"] is module
    with pytest.raises(ZeroDivisionError):
        code.run("1 / 0", "_test_code_fails")
    assert "_test_code_fails" not in sys.modules
