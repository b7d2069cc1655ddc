"""What the plugin adds to Airflow."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

from airflow_mlops.plugin import notes

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send


class Pages:
    """Serve the pages of the plugin; they are made at the first request.

    Every process of Airflow loads plugins, and only the API server has any use for FastAPI.
    """

    @cached_property
    def app(self) -> FastAPI:
        """The application that serves the pages."""
        from airflow_mlops.plugin.pages import create_app

        return create_app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as an ASGI application."""
        await self.app(scope, receive, send)


class MlopsPlugin(AirflowPlugin):
    """Show reports at ``/mlops/reports/<model>/<partition>/<kind>.html``, and write the notes of runs."""

    name = "airflow_mlops"
    listeners: list[Any] = [notes]  # noqa: RUF012
    fastapi_apps: list[Any] = [{"app": Pages(), "url_prefix": "/mlops", "name": "airflow-mlops"}]  # noqa: RUF012
