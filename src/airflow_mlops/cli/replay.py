"""``airflow mlops replay``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.cli import terminal
from airflow_mlops.domain.facts.results import Action

if TYPE_CHECKING:
    from argparse import Namespace

    from rich.console import Console
    from rich.table import Table

    from airflow_mlops.domain.facts.replay import Rate, Replay, Summary
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.domain.spec.replay import Policy

_REFUSALS = 12
"""Most refusals that are told of a policy."""


def replay(args: Namespace) -> None:
    """Run policies over the recorded partitions, print the summary of each, and write the replay to a folder.

    :raises SystemExit: if the model, a policy or its data cannot be read, or a partition cannot be replayed.
    """
    from airflow.cli.simple_table import AirflowConsole
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    console = AirflowConsole()
    try:
        outcome, folder = _replay(args, console)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error
    except (MlflowException, SQLAlchemyError) as error:
        raise SystemExit(of_own_mlflow(error)) from error
    except KeyboardInterrupt:
        raise SystemExit("Stopped; the same command goes on from here.") from None
    for page in _pages(outcome):
        console.print(page)
    for refusal in _refusals(outcome):
        print(terminal.wrapped(refusal))
    span = f"{outcome.partitions[0]} to {outcome.partitions[-1]}"
    print(f"{outcome.model}, {span}: {folder}/replay.json and {folder}/replay.png tell each partition.")


def of_own_mlflow(error: Exception) -> str:
    """Return what is to be done about an error of the replay's own MLflow."""
    problem = str(error).partition("\n")[0]
    return f"The replay's own MLflow failed: {problem}. To begin anew, remove the folder work-… from the replay's."


def _replay(args: Namespace, console: Console) -> tuple[Replay, Path]:
    from airflow_mlops import config
    from airflow_mlops.cli.connect import find_code
    from airflow_mlops.domain.facts.replay import ORACLE
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.hooks.mlflow import configure
    from airflow_mlops.stages.replay import calibrate
    from airflow_mlops.stages.replay.policies import plan_of, run

    folders = find_code()
    spec = ModelSpec.load(find_spec(args.model, folders))
    policies = _policies(args, spec)
    output = Path(args.output or f"replay-{spec.name}")
    configure(None)
    cut_short = searched(spec.name, console)
    plan = plan_of(spec, config.storage(), output, args.first, args.last, cut_short)
    names = [dataset.partition for dataset in plan.datasets]
    quiet = calibrate.quiet(args.quiet, spec.grain, names) if args.quiet else ()
    jobs, oracle = processes(args.jobs), ORACLE not in args.without
    with progress(console) as begin:
        outcome = run(
            plan, policies, output, oracle=oracle, quiet=quiet, jobs=jobs, folders=folders, begin=begin
        )
    return outcome, output


def searched(model: str, console: Console) -> dict[str, int]:
    """Return how many trials the searches of the model did that time cut short, which a replay does again."""
    from airflow_mlops.exceptions import RegistryUnavailable
    from airflow_mlops.hooks.mlflow import MlflowHook
    from airflow_mlops.stages.train import jobs

    try:
        return jobs.searched(MlflowHook().get_conn(), model)
    except RegistryUnavailable as error:
        console.print(
            f"Searches that train.budget.seconds cut short may come out otherwise: {error}", markup=False
        )
        return {}


def processes(jobs: int | None) -> int:
    """Return how many processes an option ``--jobs`` asks for: as many as there are processors without it.

    :raises ValueError: if it is less than one.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs {jobs}: give a whole number of processes, at least 1")
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return jobs or processors


def find_spec(model: str, folders: Sequence[Path]) -> Path:
    """Return the file of a spec, by its path or by the name of a model whose spec is beside the DAG files.

    :param folders: folders with DAG files.
    :raises LookupError: if there is no such file.
    """
    if Path(model).is_file():
        return Path(model).resolve()
    for folder in folders:
        for path in (folder / "models" / f"{model}.yaml", folder / f"{model}.yaml"):
            if path.is_file():
                return path
    raise LookupError(
        f"There is no spec {model}, nor models/{model}.yaml beside the DAG files; give the path of the model's spec."
    )


def _policies(args: Namespace, spec: ModelSpec) -> list[Policy]:
    from airflow_mlops.domain.facts.replay import ORACLE
    from airflow_mlops.domain.spec.problems import one_of
    from airflow_mlops.domain.spec.replay import BUILT_IN, built_in, read
    from airflow_mlops.exceptions import SpecError

    allowed = (*BUILT_IN, ORACLE)
    for name in args.without:
        if name not in allowed:
            raise SpecError([f"{name!r} is no policy of a replay{one_of(name, allowed)}"], "--without")
    files = [read(Path(path), spec) for path in args.policy]
    names = [policy.name for policy in files]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(
                [f"two files have the name {name}, which names the policy: rename one"], "--policy"
            )
    remaining = [name for name in BUILT_IN if name not in args.without]
    policies = [*files, *(built_in(name, spec) for name in remaining)]
    if not policies:
        raise SpecError(["nothing is left to replay: give a file"], "--policy")
    return policies


@contextmanager
def progress(console: Console) -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Show a progress bar for each kind of work that begins."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def begin(what: str, count: int) -> Callable[[], None]:
            task = progress.add_task(what, total=count)
            return lambda: progress.advance(task)

        yield begin


def _pages(outcome: Replay) -> Iterator[Table]:
    """Yield what each policy did, its alarms, what came of it, what did not pass, and how often it cried in quiet partitions."""
    room = min(terminal.width() or terminal.PIPE, terminal.WIDE)
    did = [_did(summary, len(outcome.partitions)) for summary in outcome.summaries]
    names = ("policy", "asked", "held back", "trained", "refused", "promoted")
    yield terminal.table(names, did, room=room)
    alarms = [
        (summary.name, *map(str, (summary.alarms, summary.drift_alarms, summary.performance_alarms)))
        for summary in outcome.summaries
        if summary.name in outcome.points
    ]
    yield terminal.table(("policy", "alarms", "by drift", "by performance"), alarms, room=room)
    came = [_came(summary) for summary in outcome.summaries]
    mean = f"mean {outcome.metric}"
    yield terminal.table(("policy", mean, "worst", "degraded", "seconds"), came, room=room)
    refused = [
        (summary.name, str(summary.refused), ", ".join(f"{gate} {n}" for gate, n in summary.gates.items()))
        for summary in outcome.summaries
        if summary.refused
    ]
    if refused:
        yield terminal.table(
            ("policy", "not promoted", "how many each gate did not let pass"), refused, room=room
        )
    if outcome.rates:
        of_rates = ("drift policy of", "threshold", "cried in quiet partitions", "rate", "95 % interval")
        yield terminal.table(of_rates, [_rate(rate) for rate in outcome.rates], room=room)


def _did(summary: Summary, partitions: int) -> tuple[str, ...]:
    from airflow_mlops.domain.facts.replay import ORACLE

    promoted = str(summary.promotions)
    if summary.name == ORACLE:
        promoted = f"{summary.promotions} changes"
    taken = f", {summary.rollbacks} taken back" if summary.rollbacks else ""
    taken += f", {summary.dropped} dropped" if summary.dropped else ""
    asked, held, refused = map(str, (summary.asked, summary.held, summary.refused))
    if summary.name == ORACLE:
        asked = held = refused = "–"
    trained = f"{summary.retrainings} in {partitions}"
    return (summary.name, asked, held, trained, refused, f"{promoted}{taken}")


def _came(summary: Summary) -> tuple[str, ...]:
    days = f" ({summary.degraded_days:g} days)" if summary.degraded else ""
    return (
        summary.name,
        shown(summary.mean),
        f"{shown(summary.worst)} ({summary.worst_partition})" if summary.worst_partition else "–",
        "no floor" if summary.degraded is None else f"{summary.degraded} of {summary.served}{days}",
        f"{summary.seconds:.0f}",
    )


def _rate(rate: Rate) -> tuple[str, ...]:
    low, high = rate.interval or (0.0, 1.0)
    share = f"{rate.alarms / rate.judged:.0%}" if rate.judged else "–"
    cried = f"{rate.alarms} of {rate.judged}"
    return rate.policy, f"{rate.threshold:g}", cried, share, f"{low:.0%} to {high:.0%}"


def _refusals(outcome: Replay) -> Iterator[str]:
    """Yield why nothing was promoted, of each policy that has trained and never promoted."""
    for summary in outcome.summaries:
        if summary.promotions or not summary.refused:
            continue
        refused = [
            point for point in outcome.points[summary.name] if point.action in (Action.REFUSED, Action.FAILED)
        ]
        yield f"{summary.name}: nothing was promoted."
        for point in refused[:_REFUSALS]:
            yield f"  {point.partition}: {terminal.printable(point.reason)}"
        if len(refused) > _REFUSALS:
            yield f"  … and {len(refused) - _REFUSALS} more in replay.json."


def shown(value: float | None) -> str:
    """Return a measure with four places."""
    return "–" if value is None else f"{value:.4f}"
