"""Commands about models and their specs."""

from __future__ import annotations

from airflow_mlops.cli.commands.command import (
    FILE,
    FORCE,
    MODEL,
    OUTPUT,
    Command,
    Group,
    argument,
    command,
    group,
)


def models() -> tuple[Command | Group, ...]:
    """Return the commands about models."""
    spec = group(
        "spec",
        "Specs of models",
        command(
            "check",
            "spec",
            "Validate a spec, the estimators and functions that it names, and the last file of its sources on this machine; "
            "print every problem",
            FILE,
            argument(
                "--data",
                action="store_true",
                help="look at the last file of its sources wherever it is, and at labels",
            ),
            argument(
                "--no-data",
                action="store_true",
                help="look at no data, and import no estimators: in seconds, in CI",
            ),
        ),
        command("schema", "spec", "Print the JSON Schema of a spec, for editors"),
    )
    suggest = command(
        "suggest",
        "suggest",
        "Learn expectations from published partitions, and write them as YAML to review",
        MODEL,
        argument(
            "--partitions", type=int, help="how many of the latest partitions to learn from; all without it"
        ),
        argument("--output-file", help="file to write; printed without it"),
        FORCE,
    )
    history = command(
        "history",
        "history",
        "Print what became of a model's champion: who or what moved it, when, why, on which evidence",
        MODEL,
        argument("--version", help="version of the registered model: print its whole story"),
        OUTPUT,
    )
    rollback = command(
        "rollback",
        "rollback",
        "Give the champion alias back to an earlier version, at once and without the scheduler",
        MODEL,
        argument("--to", help="version to go back to; without it the one before the champion"),
        argument("--reason", required=True, help="why; it is kept in the ledger"),
    )
    adopt = command(
        "adopt",
        "adopt",
        "Make a version champion or challenger that the ledger does not know, also one that was trained elsewhere, on a person's "
        "responsibility",
        MODEL,
        argument("version", help="version of the registered model"),
        argument(
            "--of", metavar="NAME", help="registered model in MLflow that the version is of; MODEL without it"
        ),
        argument(
            "--from",
            dest="first",
            help="first partition that drift is measured against; of a version trained elsewhere",
        ),
        argument("--to", dest="last", help="last partition that drift is measured against"),
        argument(
            "--trained-until",
            metavar="TIME",
            help="partition, day or time that its training data ends with; without it the version's tag trained_until",
        ),
        argument(
            "--challenger", action="store_true", help="it predicts beside the champion, and is never promoted"
        ),
        argument("--reason", required=True, help="why; it is kept in the ledger"),
    )
    reproduce = command(
        "reproduce",
        "reproduce",
        "Train a version again from the data and the recipe recorded with it, and compare",
        MODEL,
        argument("version", help="version of the registered model"),
    )
    tune_policy = command(
        "tune-policy",
        "tune_policy",
        "Choose a policy by the first part of the recorded partitions, tell what it comes to on the rest, and write it as a file; changes "
        "no spec",
        argument(
            "model",
            help="path of a spec, or name of a model whose models/<name>.yaml lies beside the DAG files",
        ),
        argument(
            "--grid",
            metavar="FILE",
            help="YAML file with a list of values by key, such as retrain.again: [null, growing]; a small grid without it",
        ),
        argument(
            "--choose-until",
            metavar="PARTITION",
            help="last partition to choose by; the first three fifths of them without it",
        ),
        argument("--from", dest="first", help="first partition"),
        argument("--to", dest="last", help="last partition"),
        argument("--jobs", type=int, help="processes; as many as processors without it"),
        argument("--output", help="folder to write; replay-<model> without it"),
        argument("--json", action="store_true", help="print it as JSON"),
        function="tune_policy",
    )
    replay = command(
        "replay",
        "replay",
        "Run retrain policies over the recorded partitions, and compare what each comes to",
        argument(
            "model",
            help="path of a spec, or name of a model whose models/<name>.yaml lies beside the DAG files",
        ),
        argument(
            "--policy",
            action="append",
            default=[],
            metavar="FILE",
            help="YAML file with any of retrain, monitor, gates, train; repeatable",
        ),
        argument(
            "--without",
            action="append",
            default=[],
            metavar="NAME",
            help="leave out current, never, every_partition or oracle; repeatable",
        ),
        argument("--from", dest="first", help="first partition"),
        argument("--to", dest="last", help="last partition"),
        argument("--jobs", type=int, help="processes; as many as processors without it"),
        argument("--output", help="folder to write; replay-<model> without it"),
        argument("--quiet", metavar="FIRST..LAST", help="count false alarms of drift there; or all"),
    )
    return spec, suggest, history, rollback, adopt, reproduce, replay, tune_policy
