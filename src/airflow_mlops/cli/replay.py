"""``airflow mlops replay``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace

    from rich.console import Console

    from airflow_mlops.domain.facts.replay import Replay, Summary
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.domain.spec.replay import Policy


def replay(args: Namespace) -> None:
    """Run policies over the recorded partitions, print what each comes to, and write it to a folder.

    :raises SystemExit: if the model, a policy or its data cannot be read, or a partition cannot be replayed.
    """
    from airflow.cli.simple_table import AirflowConsole
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    console = AirflowConsole()
    try:
        found, folder = _replay(args, console)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error
    except (MlflowException, SQLAlchemyError) as error:
        told = str(error).partition("\n")[0]
        raise SystemExit(
            f"The replay's own MLflow failed: {told}. To begin anew, remove the folder work-… from the replay's."
        ) from error
    except KeyboardInterrupt:
        raise SystemExit("Stopped; the same command goes on from here.") from None
    console.print(_policies_page(found))
    if found.rates:
        console.print(_rates_page(found))
    span = f"{found.partitions[0]} to {found.partitions[-1]}"
    print(f"{found.model}, {span}: {folder}/replay.json and {folder}/replay.png tell each partition.")


def _replay(args: Namespace, console: Console) -> tuple[Replay, Path]:
    from airflow_mlops import config
    from airflow_mlops.cli.connect import find_code
    from airflow_mlops.domain.facts.replay import ORACLE
    from airflow_mlops.hooks.mlflow import configure
    from airflow_mlops.stages.replay import calibrate
    from airflow_mlops.stages.replay.policies import plan_of, run

    folders = find_code()
    spec = _spec(args.model, folders)
    policies = _policies(args, spec)
    output = Path(args.output or f"replay-{spec.name}")
    configure(None)
    plan = plan_of(spec, config.storage(), output, args.first, args.last)
    names = [each.partition for each in plan.datasets]
    quiet = calibrate.quiet(args.quiet, spec.partition, names) if args.quiet else ()
    jobs, oracle = _jobs(args.jobs), ORACLE not in args.without
    with _progress(console) as begin:
        outcome = run(
            plan, policies, output, oracle=oracle, quiet=quiet, jobs=jobs, folders=folders, begin=begin
        )
    return outcome, output


def _jobs(asked: int | None) -> int:
    if asked is not None and asked < 1:
        raise ValueError(f"--jobs {asked}: give a whole number of processes, at least 1")
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return asked or there


def _spec(model: str, folders: Sequence[Path]) -> ModelSpec:
    """Read the spec at a path, or that of a model whose file lies beside the DAG files.

    :raises LookupError: if there is none.
    """
    from airflow_mlops.domain.spec.model import ModelSpec

    if Path(model).is_file():
        return ModelSpec.load(Path(model).resolve())
    for folder in folders:
        for path in (folder / "models" / f"{model}.yaml", folder / f"{model}.yaml"):
            if path.is_file():
                return ModelSpec.load(path)
    raise LookupError(
        f"There is no spec {model}, nor models/{model}.yaml beside the DAG files; give the path of the model's spec."
    )


def _policies(args: Namespace, spec: ModelSpec) -> list[Policy]:
    from airflow_mlops.domain.facts.replay import ORACLE
    from airflow_mlops.domain.spec import replay as spec_replay
    from airflow_mlops.domain.spec.problems import one_of
    from airflow_mlops.exceptions import SpecError

    known = (*spec_replay.BUILT_IN, ORACLE)
    for name in args.without:
        if name not in known:
            raise SpecError([f"{name!r} is no policy of a replay{one_of(name, known)}"], "--without")
    files = [spec_replay.read(Path(path), spec) for path in args.policy]
    names = [policy.name for policy in files]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(
                [f"two files have the name {name}, which names the policy: rename one"], "--policy"
            )
    built_in = [each for each in spec_replay.BUILT_IN if each not in args.without]
    found = [*files, *(spec_replay.built_in(each, spec) for each in built_in)]
    if not found:
        raise SpecError(["nothing is left to replay: give a file"], "--policy")
    return found


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Show a bar for each kind of work, as it begins."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def begin(what: str, count: int) -> Callable[[], None]:
            task = progress.add_task(what, total=count)
            return lambda: progress.advance(task)

        yield begin


def _policies_page(found: Replay) -> Any:
    from airflow.cli.simple_table import SimpleTable

    page = SimpleTable(show_header=True)  # type: ignore[no-untyped-call]
    for name in (
        "policy",
        "trained",
        "promoted",
        "alarms",
        f"mean {found.metric}",
        "worst",
        "degraded",
        "seconds",
    ):
        page.add_column(name)
    for each in found.summaries:
        page.add_row(*_row(each, len(found.partitions)))
    return page


def _row(found: Summary, partitions: int) -> tuple[str, ...]:
    from airflow_mlops.domain.facts.replay import ORACLE

    alarms = f"{found.alarms} (drift {found.drift_alarms}, performance {found.performance_alarms})"
    promoted = f"{found.promotions} of {found.retrainings}"
    if found.name == ORACLE:
        promoted = f"{found.promotions} changes"
    taken = f", {found.rollbacks} taken back" if found.rollbacks else ""
    days = f" ({found.degraded_days:g} days)" if found.degraded else ""
    return (
        found.name,
        f"{found.retrainings} in {partitions}",
        f"{promoted}{taken}",
        alarms,
        _shown(found.mean),
        f"{_shown(found.worst)} ({found.worst_partition})" if found.worst_partition else "–",
        "no floor" if found.degraded is None else f"{found.degraded} of {found.served}{days}",
        f"{found.seconds:.0f}",
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _rates_page(found: Replay) -> Any:
    from airflow.cli.simple_table import SimpleTable

    page = SimpleTable(show_header=True)  # type: ignore[no-untyped-call]
    for name in ("drift policy of", "threshold", "cried in quiet partitions", "rate", "95 % interval"):
        page.add_column(name)
    for each in found.rates:
        low, high = each.interval or (0.0, 1.0)
        rate = f"{each.alarms / each.judged:.0%}" if each.judged else "–"
        cried = f"{each.alarms} of {each.judged}"
        page.add_row(each.policy, f"{each.threshold:g}", cried, rate, f"{low:.0%} to {high:.0%}")
    return page
