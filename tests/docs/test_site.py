"""The documentation is built as `make docs` builds it, where a warning is an error, and reads without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "zensical.toml"
PAGES = sorted(page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md"))


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFIGURATION, folder)
    command = "import sys; from zensical.main import cli; sys.exit(cli())"
    return subprocess.run(
        [sys.executable, "-c", command, "build", "--strict"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    answer = build(folder)
    assert answer.returncode == 0, re.sub(r"\x1b\[[\d;]*m", "", answer.stderr)
    return folder / "site"


def menu(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
        return
    for below in part.values() if isinstance(part, dict) else part:
        yield from menu(below)


class Loads(HTMLParser):
    """Addresses that a browser loads by itself when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag != "a" and values.get("rel") not in {"next", "prev"}:
            self.addresses += [
                values[name] or "" for name in ("src", "srcset", "href", "data") if name in values
            ]


def test_every_page_is_in_the_menu_once() -> None:
    nav = tomllib.loads(CONFIGURATION.read_text())["project"]["nav"]
    assert sorted(menu(nav)) == PAGES, "nav of zensical.toml"


def test_every_page_is_built(site: Path) -> None:
    for page in PAGES:
        assert (site / page).with_suffix(".html").exists()


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        parser = Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        # Where pages are read is not known, so the page of what is missing has absolute paths; these stay here too.
        assert not [address for address in parser.addresses if re.match(r"(https?:)?//", address)], page
        # The page of what is missing has no place of its own.
        missing = {
            address for address in parser.addresses if not (page.parent / address.partition("?")[0]).exists()
        }
        assert not missing or page.name == "404.html", f"{page.name}: {missing}"
        # The theme's script brings diagrams from a server.
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), page


def test_search_needs_no_server_and_has_every_page(site: Path) -> None:
    index = json.loads(
        (site / "search.js").read_text(encoding="utf-8").removeprefix("var __index = ").rstrip(";\n")
    )
    pages = {item["location"].partition("#")[0] for item in index["items"]}
    assert {re.sub(r"\.md$", ".html", page) for page in PAGES} <= {page or "index.html" for page in pages}


def test_broken_links_are_errors(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    links = ("index.md#here", "nowhere.md", "index.md#nowhere", "../README.md")
    text = "# Home\n\n## Here\n\n" + "".join(f"- [there]({link})\n" for link in links)
    (tmp_path / "docs" / "index.md").write_text(text)
    answer = build(tmp_path)
    assert answer.returncode == 1
    assert "3 issues found" in answer.stderr


def test_links_of_readme_and_changelog_lead_somewhere(site: Path) -> None:
    for name in ("README.md", "CHANGELOG.md"):
        links = re.findall(
            r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", (ROOT / name).read_text(encoding="utf-8")
        )
        assert links
        for path, anchor in links:
            assert (ROOT / path).exists(), f"{name}: {path}"
            if anchor:
                page = (site / path.removeprefix("docs/")).with_suffix(".html")
                assert f'id="{anchor}"' in page.read_text(encoding="utf-8"), f"{name}: {path}#{anchor}"
