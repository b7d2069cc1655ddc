"""``airflow mlops tune-policy``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.cli import replay, terminal

if TYPE_CHECKING:
    from argparse import Namespace

    from rich.console import Console
    from rich.table import Table

    from airflow_mlops.domain.facts.tuning import Tried, Tuning

_ROWS = 8
"""Most policies that are shown; the file has all."""


def tune_policy(args: Namespace) -> None:
    """Choose a policy on the model's own history, print what it is worth, and write it to a folder.

    :raises SystemExit: if the model, the grid or the data cannot be read, or a partition cannot be replayed.
    """
    from mlflow.exceptions import MlflowException
    from rich.console import Console
    from sqlalchemy.exc import SQLAlchemyError

    console = Console(stderr=args.json)
    try:
        tuning, folder = _tune(args, console)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error
    except (MlflowException, SQLAlchemyError) as error:
        raise SystemExit(replay.of_own_mlflow(error)) from error
    except KeyboardInterrupt:
        raise SystemExit("Stopped; the same command goes on from here.") from None
    if args.json:
        print(json.dumps(tuning.to_dict(), indent=2))
        return
    _print(console, tuning, folder)


def _tune(args: Namespace, console: Console) -> tuple[Tuning, Path]:
    from airflow_mlops import config
    from airflow_mlops.cli.connect import find_code
    from airflow_mlops.domain.spec import grid as grids
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.hooks.mlflow import configure
    from airflow_mlops.stages.replay.policies import plan_of
    from airflow_mlops.stages.tune import tune

    folders = find_code()
    spec = ModelSpec.load(replay.find_spec(args.model, folders))
    grid = grids.read(Path(args.grid), spec) if args.grid else grids.default(spec)
    jobs = replay.processes(args.jobs)
    output = Path(args.output or f"replay-{spec.name}")
    configure(None)
    cut_short = replay.searched(spec.name, console)
    plan = plan_of(spec, config.storage(), output, args.first, args.last, cut_short)
    with replay.progress(console) as begin:
        tuning = tune.run(
            plan, grid, output, partition=args.choose_until, jobs=jobs, folders=folders, begin=begin
        )
    return tuning, output


def _print(console: Console, tuning: Tuning, folder: Path) -> None:
    from airflow_mlops.stages.tune import policy_file, tune

    room = min(terminal.width() or terminal.PIPE, terminal.WIDE)
    print(
        terminal.wrapped(
            f"{tuning.model}: chosen by {tuning.first[0]} to {tuning.first[-1]}, of {len(tuning.tried)} policies."
        )
    )
    console.print(_first(tuning, room))
    print(terminal.wrapped(f"On the rest, {tuning.rest[0]} to {tuning.rest[-1]}, which had no say in it:"))
    for page in _rest(tuning, room):
        console.print(page)
    for few in policy_file.too_few(tuning):
        print(terminal.wrapped(few))
    print(terminal.wrapped(_advice(tuning)))
    print(f"{folder / tune.POLICY} is the policy, {folder / tune.TUNING} tells all of them.")


def _first(tuning: Tuning, room: int) -> Table:
    """Return the table of the policies that the choice was between: those within noise of the best, and the spec's own."""
    close = [tried for tried in tuning.tried if tried.close]
    close.sort(key=lambda tried: (tried.figures.summary.retrainings, tried.behind or 0.0))
    others = [tried for tried in tuning.tried if not tried.close]
    others.sort(key=lambda tried: (bool(tried.changes), tried.behind is None, tried.behind or 0.0))
    shown = [*close, *others][:_ROWS]
    first = [tuning.of(tuning.best), next(tried for tried in tuning.tried if not tried.changes)]
    shown = [*shown, *(tried for tried in first if tried not in shown)]
    names = ("policy", "trained", f"mean {tuning.metric}", "behind", "noise", "what it changes")
    return terminal.table(names, [_row(tuning, tried) for tried in shown], room=room)


def _row(tuning: Tuning, tried: Tried) -> tuple[str, ...]:
    from airflow_mlops.stages.tune.policy_file import places

    summary = tried.figures.summary
    mark = " *" if tried.name == tuning.chosen else ""
    return (
        f"{tuning.number(tried.name).removeprefix('policy ')}{mark}",
        str(summary.retrainings),
        replay.shown(summary.mean),
        places(tried.behind),
        places(tried.noise),
        _changes(tried) or "nothing",
    )


def _changes(tried: Tried) -> str:
    from airflow_mlops.domain.spec.grid import shown

    lasts = [key.rpartition(".")[2] for key in tried.changes]
    names = {
        key: key if lasts.count(last) > 1 else last for key, last in zip(tried.changes, lasts, strict=True)
    }
    return ", ".join(f"{names[key]} {shown(value)}" for key, value in tried.changes.items())


def _rest(tuning: Tuning, room: int) -> Iterator[Table]:
    """Yield what the chosen policy and the replay's own came to, and the differences between them."""
    from airflow_mlops.stages.tune.policy_file import places, score

    scores = tuple(dict.fromkeys((tuning.metric, tuning.proper)))
    rows = []
    for name, figures in tuning.figures.items():
        summary = figures.summary
        means = (replay.shown(summary.mean), replay.shown(figures.proper))[: len(scores)]
        counts = map(str, (summary.retrainings, summary.refused, summary.alarms))
        rows.append((f"{tuning.number(name)}{' *' if name == tuning.chosen else ''}", *means, *counts))
    names = ("policy", *(f"mean {name}" for name in scores), "trained", "refused", "alarms")
    yield terminal.table(names, rows, room=room)
    gains = [
        (
            beside.policy,
            score(beside.score),
            "–" if beside.gain is None else f"{beside.gain:+.4f}",
            "too few" if beside.interval is None else " to ".join(places(end) for end in beside.interval),
        )
        for beside in tuning.beside
    ]
    if gains:
        yield terminal.table(("* against", "in", "better by", "95 % interval"), gains, room=room)


def _advice(tuning: Tuning) -> str:
    """Return what follows, in a sentence."""
    chosen, current = tuning.of(tuning.chosen), next(tried for tried in tuning.tried if not tried.changes)
    if chosen.name == current.name:
        return "* is the spec as it is: none within noise of the best policy trains less, so there is nothing to change."
    worse = [
        beside
        for beside in tuning.beside
        if beside.policy == current.name and beside.interval and beside.interval[1] < 0
    ]
    if worse:
        return "* was chosen, and is worse than the spec as it is on the rest: keep the spec as it is."
    return "* trains least of those within noise of the best. Its sections are to be taken over by hand; no spec was changed."
