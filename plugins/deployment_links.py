"""Navigation links of this deployment: Browse > MLflow opens the MLflow UI named in the configuration.

A plugin of a deployment, not of the package: copy this file into your own plugins folder, and add what else your
people open (Grafana, a wiki). Its name must not be that of the packaged plugin, nor the file's that of the package.
"""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from airflow_mlops import config


def links() -> list[dict[str, str]]:
    """List the views to link to; without a URL in ``[mlops] mlflow_url`` there is none."""
    url = config.mlflow_url()
    # No url_route: that would show the page in a frame, which MLflow's X-Frame-Options forbids.
    return [{"name": "MLflow", "href": url, "destination": "nav", "category": "browse"}] if url else []


class DeploymentLinks(AirflowPlugin):
    """Add the links to Airflow's navigation bar."""

    name = "deployment_links"
    external_views: ClassVar[list[dict[str, str]]] = links()
