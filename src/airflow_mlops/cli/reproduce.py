"""``airflow mlops reproduce``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mlops.cli import terminal

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from rich.console import Console

    from airflow_mlops.domain.checks import Check
    from airflow_mlops.stages.reproduce.reproduce import Reproduction


_ELSEWHERE = (
    "; packages and code do not. Values may have been changed in an earlier partition than the last, whose digest alone is "
    "known, or another kind of processor computes other last bits"
)


def reproduce(args: Namespace) -> None:
    """Train a version again, print what is the same and what differs, and exit with 0 only if the model is the same.

    :raises SystemExit: if the training cannot be repeated, or if it gives another model or other metrics.
    """
    from airflow.cli.simple_table import AirflowConsole

    from airflow_mlops.cli import connect
    from airflow_mlops.stages.reproduce import reproduce as engine

    console = AirflowConsole()
    folders = connect.find_code()
    try:
        with _progress(console) as tell:
            reproduction = engine.reproduce(connect.mlflow(), args.model, args.version, tell, folders)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error
    _print(console, reproduction)
    what = f"{args.model} version {args.version}"
    if not reproduction.reproduced:
        differing = _failed(reproduction.environment)
        hint = f"; it was trained with other {_names(differing)}" if differing else _ELSEWHERE
        raise SystemExit(f"{what} was not reproduced: {_names(_failed(reproduction.outcome))} differs{hint}.")
    print(f"{what} was reproduced: the same model, in {reproduction.seconds:.1f} s.")


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Show each step as it begins, with the time that it takes."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from airflow_mlops.reporting.verdicts import appearance

    done = appearance("success").sign
    columns = (SpinnerColumn(finished_text=done), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def end() -> None:
            for task in progress.tasks:
                progress.update(task.id, total=1, completed=1)

        def tell(step: str) -> None:
            end()
            progress.add_task(step, total=None)

        yield tell
        end()


def _print(console: Console, reproduction: Reproduction) -> None:
    from airflow_mlops.domain.checks import Verdict
    from airflow_mlops.reporting.verdicts import appearance

    words = {Verdict.PASS: "same", Verdict.FAIL: "differs", Verdict.INCONCLUSIVE: "unknown"}
    checks = (*reproduction.environment, *reproduction.outcome)
    looks = ((check, appearance(check.verdict)._replace(word=words[check.verdict])) for check in checks)
    cells = ((check.name, look, check.reason) for check, look in looks)
    console.print(terminal.table(("what", "", "found"), cells))


def _failed(checks: Iterable[Check]) -> list[Check]:
    from airflow_mlops.domain.checks import Verdict

    return [check for check in checks if check.verdict is Verdict.FAIL]


def _names(checks: Iterable[Check]) -> str:
    return ", ".join(check.name for check in checks)
