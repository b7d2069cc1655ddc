"""The pages behind ``/mlops``: reports, for people who may see plugins."""

from __future__ import annotations

import html
from typing import Annotated
from urllib.parse import quote, urlsplit

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from airflow.sdk import conf
from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import RedirectResponse

from airflow_mlops.runs import report_path

Segment = Annotated[str, Path(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=250)]
"""One name in a path: never empty, never ``.`` or ``..``, and without any separator."""

SCRIPTED = frozenset({"drift"})
"""Kinds of reports that need their scripts: Evidently draws in the browser. All other pages are ours and have none."""

_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # A name that is looked up could carry what a page holds, too.
    "X-DNS-Prefetch-Control": "off",
    "Cache-Control": "private, no-cache",
}
_STALE = "Invalid JWT token"
"""What Airflow answers, with 403, to the cookie of a session that it does not know any more."""

# A report is made from data, which is not trusted: `sandbox` without allow-same-origin keeps it from the cookies and the
# API of Airflow, and the other rules forbid loading from and sending to any place. Evidently's pages carry their scripts,
# styles and fonts inside.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_WITHOUT_SCRIPTS = {**_HEADERS, "Content-Security-Policy": f"sandbox allow-downloads; {_POLICY}"}
_FRAMED = {
    **_HEADERS,
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads; script-src 'unsafe-inline'; "
    f"frame-src 'none'; {_POLICY}",
}
# No rule keeps a page of its own from navigating, and an address can carry away what it shows. In a frame, where frame-src
# allows no address, it has nowhere to go; its own text, being no address, is shown all the same. It inherits the policy.
_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>html, body, iframe {{ display: block; box-sizing: border-box; width: 100%; height: 100%; margin: 0; border: 0 }}</style>
</head>
<body><iframe title="{title}" sandbox="allow-scripts allow-downloads" srcdoc="{page}"></iframe></body>
</html>
"""


def create_app() -> FastAPI:
    """Make the application; every route asks Airflow first whether the user may see plugins."""
    app = FastAPI(
        title="airflow-mlops",
        dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
        openapi_url=None,  # its routes would not be guarded by the dependency
    )
    app.get("/reports/{model}/{partition}/{kind}.html")(report)
    app.exception_handler(HTTPException)(refused)
    return app


async def refused(request: Request, error: HTTPException) -> Response:
    """Lead a person who is not logged in to Airflow's login, and from there back; tell everything else as JSON.

    A link in a mail is opened by a browser that asks for a page. A program has a token, or asks for something else.
    """
    stranger = error.status_code == 401 or (error.status_code, error.detail) == (403, _STALE)
    browser = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if not (stranger and browser) or "authorization" in request.headers:
        return await http_exception_handler(request, error)
    # The path alone: where a person ends up must not depend on what a request calls this server.
    base = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    login = f"{base}/api/v2/auth/login?next={quote(quote(request.scope['path']), safe='')}"
    return RedirectResponse(login, 303, {"Cache-Control": "no-store"})


def report(model: Segment, partition: Segment, kind: Segment) -> Response:
    """Return one report as it was written, without scripts, or in a frame that its scripts cannot leave."""
    try:
        # Someone who can write reports must not read this server's files through a symbolic link.
        page = report_path(f"{model}/{partition}/{kind}.html").read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise HTTPException(404, f"There is no report {model}/{partition}/{kind}.") from None
    if kind not in SCRIPTED:
        return _page(page, _WITHOUT_SCRIPTS)
    title = f"{model} {partition}: {kind}"
    framed = _FRAME.format(title=html.escape(title), page=html.escape(page.decode("utf-8", "replace")))
    return _page(framed.encode(), _FRAMED)


def _page(content: bytes, headers: dict[str, str]) -> Response:
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)
