"""Pools: where the trials of a search are fitted side by side."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import ClusterUnavailable
from airflow_mlops.learning import threads

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.stages.train.fitting import Data


def n_threads(dask: str | None, recipe: Recipe) -> int:
    """Return how many threads each fit may use."""
    # A Dask worker already runs as many fits as it has threads, so each fit gets one.
    return 1 if dask else threads.per_fit(recipe.budget.parallel)


@contextmanager
def opened(dask: str | None, data: Data, recipe: Recipe) -> Iterator[Any]:
    """Yield joblib's pool: threads of this process, or a Dask cluster, to which the rows are sent once.

    :raises ClusterUnavailable: if the Dask scheduler does not answer, or is lost on the way, or too many workers are.
    """
    from joblib import Parallel, parallel_config

    side_by_side = recipe.budget.parallel
    if not dask:
        with parallel_config("threading"):
            yield Parallel(side_by_side)
        return
    from distributed import Client, KilledWorker

    try:
        client = Client(dask)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ClusterUnavailable(f"The Dask scheduler at {dask} does not answer: {error}") from error
    with client:
        try:
            with parallel_config("dask", scatter=[data]):
                yield Parallel(side_by_side)
        except (Exception, CancelledError) as error:
            # What a fit raises comes over a client that still has its scheduler.
            if client.status == "running" and not isinstance(error, KilledWorker):
                raise
            raise ClusterUnavailable(
                f"The Dask cluster at {dask} was lost while it fitted ({type(error).__name__}: {error}). Trials that it finished are "
                "kept; see that it runs, and retry."
            ) from error
