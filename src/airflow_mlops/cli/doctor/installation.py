"""Whether Airflow has registered the provider and the plugin."""

from __future__ import annotations

from pathlib import Path

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, brief, failed, passed, warned

_PROVIDER = "airflow-mlops"
_PLUGIN = "airflow_mlops"


def look() -> list[Diagnosis]:
    """Look for the provider, the plugin, and files that hide the package."""
    return [provider(), *plugin(), *shadows()]


def provider() -> Diagnosis:
    """Tell whether Airflow lists our provider."""
    from airflow.providers_manager import ProvidersManager

    providers = ProvidersManager().providers  # type: ignore[no-untyped-call]
    if _PROVIDER not in providers:
        return failed(
            "provider",
            f"Airflow does not list {_PROVIDER} among its {len(providers)} providers",
            "The section [mlops] has no defaults, connections of type mlflow and the commands of airflow mlops are missing",
            "pip install airflow-mlops in the environment of every process of Airflow; airflow providers list shows it then",
        )
    return passed("provider", f"Airflow lists {_PROVIDER} {providers[_PROVIDER].version}")


def plugin() -> list[Diagnosis]:
    """Tell whether Airflow has loaded our plugin, and which plugins it could not load."""
    from airflow import plugins_manager

    names = {app.get("name") for app in plugins_manager.get_fastapi_plugins()[0]}
    errors = plugins_manager.get_import_errors()
    others = [
        warned(
            "plugin",
            f"Airflow cannot load the plugin {source}: {brief(message)}",
            "What it adds is missing",
            "mend or remove it; of two plugins of one name only the first is loaded",
        )
        for source, message in errors.items()
    ]
    if _PROVIDER in names:
        return [passed("plugin", "Airflow has loaded the plugin with the pages of reports"), *others]
    return [
        failed(
            "plugin",
            "Airflow has not loaded the plugin airflow_mlops",
            "Reports, which mails and tasks link to, answer 404",
            "pip install airflow-mlops where the API server runs; a plugin of your own must not be called airflow_mlops",
        ),
        *others,
    ]


def shadows() -> list[Diagnosis]:
    """Name files that are imported instead of the package."""
    from airflow import settings

    folders = {folder for folder in (settings.PLUGINS_FOLDER, settings.DAGS_FOLDER) if folder}
    names = (Path(folder) / name for folder in sorted(folders) for name in (f"{_PLUGIN}.py", _PLUGIN))
    return [
        failed(
            "plugin",
            f"{path} has the name of the package",
            "Python imports it instead, so that neither DAG files nor plugins find anything of ours",
            "rename it",
        )
        for path in names
        if path.exists()
    ]
