"""The section ``[mlops]``: whether its options can be used, and what ``preload`` does here."""

from __future__ import annotations

from difflib import get_close_matches

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, failed, passed, skipped, warned


def look() -> list[Diagnosis]:
    """Read every option as a task would, and name those that nobody reads."""
    from airflow_mlops import config
    from airflow_mlops.exceptions import SettingRefused
    from airflow_mlops.get_provider_info import get_provider_info

    options = get_provider_info()["config"][config.SECTION]["options"]
    # An option may rest on another one: reports without a place of their own are below the storage.
    refusals: dict[str, str] = {}
    for option in options:
        try:
            getattr(config, option)()
        except SettingRefused as error:
            refusals.setdefault(str(error), option)
    lines = [
        failed(
            "configuration",
            message,
            "Each task that reads it fails",
            f"correct [mlops] {option}, and restart Airflow",
        )
        for message, option in refusals.items()
    ]
    lines += [_unknown(name, list(options)) for name in _names() if name not in options]
    return lines or [passed("configuration", f"All {len(options)} options of [mlops] can be used")]


def _names() -> list[str]:
    """Return the options of the section, from the file and the environment, without what says where to find a value."""
    from airflow.sdk import conf

    section = conf.getsection("mlops") or {}
    return sorted({name.removesuffix("_cmd").removesuffix("_secret") for name in section})


def _unknown(name: str, options: list[str]) -> Diagnosis:
    close = get_close_matches(name, options, n=1)
    return warned(
        "configuration",
        f"[mlops] {name} is no option",
        "Nothing reads it, and what was meant has its default",
        f"write {close[0]}" if close else f"write one of {', '.join(options)}, or leave it out",
    )


def preload() -> list[Diagnosis]:
    """Tell whether ``[mlops] preload`` is on, and whether the executor here can use it."""
    from airflow.sdk import conf

    from airflow_mlops import config
    from airflow_mlops.plugin.preload import start_method

    executor = conf.get("core", "executor")
    is_local, is_celery = "LocalExecutor" in executor, "CeleryExecutor" in executor
    if not config.preload():
        if not (is_local or is_celery):
            return [skipped("preload", f"[mlops] preload is off, and {executor} could not use it")]
        return [
            passed(
                "preload",
                f"[mlops] preload is off: each task imports its libraries itself, in about ten seconds of CPU. To save "
                f"them, for 350 MB of memory, set it to True for the {'scheduler' if is_local else 'workers'}",
            )
        ]
    if not (is_local or is_celery):
        return [
            warned(
                "preload",
                f"[mlops] preload is on, and the executor is {executor}",
                "Its tasks are not forked from a process that could import anything ahead: the option does nothing",
                "leave it out, or use LocalExecutor or CeleryExecutor",
            )
        ]
    if is_local and (method := start_method()) != "fork":
        return [
            warned(
                "preload",
                f"[mlops] preload is on, and processes are started by {method}",
                "Only forked tasks inherit what is imported: the scheduler does not preload",
                "set [scheduler] mp_start_method = fork",
            )
        ]
    return [passed("preload", f"[mlops] preload is on: tasks of {executor} find their libraries imported")]
