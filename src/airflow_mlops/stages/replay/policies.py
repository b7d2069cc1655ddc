"""Replay policies over the recorded partitions of a model, from its spec to the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.replay import Replay
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.replay import BUILT_IN, Policy, built_in, read
from airflow_mlops.exceptions import SpecError
from airflow_mlops.stages.replay import compare, planning, report, workers
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.train import jobs as jobs_of

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


def replay_policies(
    spec: ModelSpec,
    policies: Sequence[Path | str] = BUILT_IN,
    *,
    storage: str,
    output: Path,
    first: str | None = None,
    last: str | None = None,
    oracle: bool = True,
    quiet: Sequence[str] = (),
    jobs: int = 1,
    folders: Sequence[Path] = (),
    client: Client | None = None,
) -> Replay:
    """Replay policies over the recorded partitions of a model, and write ``replay.json`` and ``replay.png`` to a folder.

    What was computed is kept below the folder, and a replay that was stopped goes on from there.

    :param policies: the path of a policy file, or the name of one that needs no file: ``current``, ``never`` or
        ``every_partition``.
    :param storage: URI under which the model's tables are; they are only read.
    :param output: folder to write to.
    :param first: partition to begin with; None means the first that is published.
    :param last: partition to end with; None means the last.
    :param oracle: whether to train as of each partition, for the best that there was in hindsight.
    :param quiet: partitions in which nothing was wrong, to count false alarms of drift in; none for no count.
    :param jobs: number of processes. More than one import the calling file, so this must stand below ``if __name__ ==
        "__main__"``.
    :param folders: where more than one process imports candidates and transforms from, besides what is installed.
    :param client: of the MLflow with the model's versions: a search of theirs that ``train.budget.seconds`` cut short is
        replayed by as many trials. None leaves each search to its budget.
    :raises SpecError: if a policy cannot be read.
    :raises UnknownPartition: if a key is none of the spec's grain.
    :raises TableMissing: if nothing was published in that span.
    :raises RegistryUnavailable: if the client's MLflow does not answer.
    """
    contenders = [
        read(policy, spec) if isinstance(policy, Path) else built_in(policy, spec) for policy in policies
    ]
    searched = jobs_of.searched(client, spec.name) if client else None
    plan = plan_of(spec, storage, output, first, last, searched)
    return run(plan, contenders, output, oracle=oracle, quiet=quiet, jobs=jobs, folders=folders)


def plan_of(
    spec: ModelSpec,
    storage: str,
    output: Path,
    first: str | None = None,
    last: str | None = None,
    searched: Mapping[str, int] | None = None,
) -> ReplayPlan:
    """Return the plan of a replay that keeps its work below its output folder, as for :func:`replay_policies`.

    :raises SpecError: if the models are trained elsewhere.
    """
    if spec.train.elsewhere:
        problem = (
            f"train.elsewhere: a replay trains models anew, and those of {spec.train.elsewhere} are not trained here; "
            "give it a copy of the spec with candidates"
        )
        raise SpecError([problem], spec.name)
    # One folder a version of this package, because another version may compute other models and metrics.
    folder = output / f"work-{version('airflow-mlops')}"
    return planning.make(spec, storage, folder, first, last, searched)


def run(
    plan: ReplayPlan,
    policies: Sequence[Policy],
    output: Path,
    *,
    oracle: bool = True,
    quiet: Sequence[str] = (),
    jobs: int = 1,
    folders: Sequence[Path] = (),
    begin: compare.Begin = compare.silent,
) -> Replay:
    """Replay policies by a plan and write the report, as :func:`replay_policies` does.

    :param begin: called when a kind of work begins, to show its progress.
    """
    with workers.pool(jobs, [str(folder) for folder in folders]) as pool:
        replay = compare.compare(pool, plan, policies, oracle=oracle, quiet=quiet, begin=begin)
    report.write(replay, output)
    return replay
