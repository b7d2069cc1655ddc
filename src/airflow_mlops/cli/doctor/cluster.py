"""The Dask cluster that trials of a search are fitted on: whether it answers, has workers, and these what fits need."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, brief, failed, passed, skipped, warned

_PACKAGES = ("airflow-mlops", "scikit-learn", "pandas", "numpy")
_SECONDS = 10
_STOPPED = "Searches of parameters fail, and are tried again for half an hour"
_SAME = "install the same versions of airflow-mlops, scikit-learn and pandas on the workers"


def look() -> list[Diagnosis]:
    """Reach the scheduler as a search does, and ask each worker for its versions."""
    from airflow_mlops import config
    from airflow_mlops.domain.addresses import shown

    address = config.dask_scheduler()
    if not address:
        return [skipped("Dask", "[mlops] dask_scheduler is empty: trials are fitted in the task")]
    try:
        from distributed import Client
    except ImportError:
        return [
            failed(
                "Dask",
                "[mlops] dask_scheduler names a cluster, and the package distributed is not installed",
                _STOPPED,
                "pip install 'airflow-mlops[dask]', or leave the option empty",
            )
        ]
    place = f"The scheduler at {shown(address)}"
    try:
        with Client(address, timeout=_SECONDS) as client:  # type: ignore[no-untyped-call]
            return [compare(place, client.run(versions))]
    except ImportError as error:
        return [failed("Dask", f"{place} has workers without this package: {brief(error)}", _STOPPED, _SAME)]
    except OSError as error:
        return [
            failed(
                "Dask",
                f"{place} does not answer: {brief(error)}",
                _STOPPED,
                "start it, or correct [mlops] dask_scheduler",
            )
        ]


def versions() -> dict[str, str]:
    """Return the versions of what fits need; workers answer with theirs."""

    def version_of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "missing"

    return {name: version_of(name) for name in _PACKAGES}


def compare(place: str, workers: Mapping[str, Mapping[str, str]]) -> Diagnosis:
    """Hold the versions of workers to those here.

    :param place: the scheduler, as a sentence begins.
    :param workers: versions of packages by address of the worker.
    """
    if not workers:
        return warned(
            "Dask",
            f"{place} answers, and has no worker",
            "Searches wait for one until their time is up",
            "start workers of that scheduler",
        )
    here = versions()
    others = {
        f"{name} {there[name]} (here {here[name]})"
        for there in workers.values()
        for name in here
        if there[name] != here[name]
    }
    if others:
        return warned(
            "Dask",
            f"{place} has workers with {', '.join(sorted(others))}",
            "Fits there may fail, or come to other models than here",
            _SAME,
        )
    return passed(
        "Dask", f"{place} answers, and its {len(workers)} workers have the versions of this machine"
    )
