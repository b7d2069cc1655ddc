"""The page of the options of ``[mlops]`` and of the connection to MLflow."""

from __future__ import annotations

from airflow_mlops.get_provider_info import get_provider_info
from tools.reference.markdown import page as page_of
from tools.reference.markdown import table


def page() -> str:
    """Return the page of options and connection fields."""
    info = get_provider_info()
    options = info["config"]["mlops"]["options"]
    (connection,) = info["connection-types"]
    return page_of(
        "Options",
        "What each means for a deployment is said in [Configuration](../configuration.md). An option of the section `[mlops]` is also "
        "read from the environment, as `AIRFLOW__MLOPS__` and its name in capitals.",
        "## `[mlops]`",
        table(
            ["option", "type", "default", "example", "meaning"],
            [
                (
                    f"`{name}`",
                    option["type"],
                    f"`{option['default']}`" if option["default"] else "empty",
                    f"`{option['example']}`",
                    option["description"],
                )
                for name, option in options.items()
            ],
        ),  # fmt: skip
        f"## Connections of type `{connection['connection-type']}`",
        "Host, port, scheme, user name and password are Airflow's own fields. In `extra`:",
        table(
            ["field", "type", "meaning"],
            [
                (
                    f"`{name}`",
                    next(kind for kind in field["schema"]["type"] if kind != "null"),
                    f"{field['label']}. {field.get('description', '')}".strip(),
                )
                for name, field in connection["conn-fields"].items()
            ],
        ),
    )
