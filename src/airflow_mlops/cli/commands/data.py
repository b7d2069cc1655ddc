"""Commands about datasets and rows that were set aside."""

from __future__ import annotations

from airflow_mlops.cli.commands.command import (
    FORCE,
    MODEL,
    NAME,
    OUTPUT,
    PARTITION,
    WHERE,
    Group,
    argument,
    command,
    group,
)


def datasets() -> Group:
    """Return the commands about versions of datasets."""
    return group(
        "datasets",
        "Versions of datasets",
        command(
            "list",
            "datasets",
            "Print the published versions of a dataset, its watermark and its gaps; without a name all datasets",
            argument("name", nargs="?", help="name of the dataset"),
            PARTITION,
            OUTPUT,
            function="show",
        ),
        command(
            "diff",
            "datasets",
            "Print how the columns of two versions differ",
            NAME,
            argument("before", type=int, help="number of the earlier version"),
            argument("after", type=int, nargs="?", help="number of the later version; the latest without it"),
            OUTPUT,
        ),
        command(
            "export",
            "datasets",
            "Write a dataset to a file as it is, or as it was",
            NAME,
            WHERE,
            argument("--version", type=int, help="number of a version"),
            argument(
                "--as-of", help="as it was at this time, such as 2013-03-01 or 2013-03-01T12:00:00+00:00"
            ),
            PARTITION,
            FORCE,
        ),
        command(
            "vacuum",
            "datasets",
            "Remove files of old versions that no live model needs; says which without --delete",
            NAME,
            argument("--days", type=int, default=30, help="keep the versions of so many days (30)"),
            argument("--delete", action="store_true", help="remove them"),
        ),
    )


def quarantine() -> Group:
    """Return the commands about rows that were set aside."""
    return group(
        "quarantine",
        "Rows that were set aside",
        command(
            "list",
            "quarantine",
            "Print how many rows are set aside, by partition and reason",
            MODEL,
            PARTITION,
            OUTPUT,
            function="show",
        ),
        command("export", "quarantine", "Write rows set aside to a file", MODEL, WHERE, PARTITION, FORCE),
        command(
            "release",
            "quarantine",
            "Let rows of a partition pass, as they are or corrected, from its next run on",
            MODEL,
            argument("--partition", required=True, help="key of the partition, such as 2013-01"),
            argument("--reason", required=True, help="why; it is kept with the rows"),
            argument(
                "--file", help="corrected rows, as exported; without it all rows of the partition as they are"
            ),
        ),
    )
