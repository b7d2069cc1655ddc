"""The pages behind ``/mlops``: reports, for people who may see plugins."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, HTTPException, Path, Response

from airflow_mlops.runs import report_path

Segment = Annotated[str, Path(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=250)]
"""One name in a path: never empty, never ``.`` or ``..``, and without any separator."""

HEADERS = {
    # A report is made from data, which is not trusted: `sandbox` without allow-same-origin keeps its scripts from the
    # cookies and the API of Airflow, and the other rules forbid loading from and sending to any place. Evidently's pages
    # carry their scripts, styles and fonts inside.
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}


def create_app() -> FastAPI:
    """Make the application; every route asks Airflow first whether the user may see plugins."""
    app = FastAPI(
        title="airflow-mlops",
        dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
        openapi_url=None,  # its routes would not be guarded by the dependency
    )
    app.get("/reports/{model}/{partition}/{kind}.html")(report)
    return app


def report(model: Segment, partition: Segment, kind: Segment) -> Response:
    """Return one report as it was written."""
    try:
        # Someone who can write reports must not read this server's files through a symbolic link.
        page = report_path(f"{model}/{partition}/{kind}.html").read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise HTTPException(404, f"There is no report {model}/{partition}/{kind}.") from None
    return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)
