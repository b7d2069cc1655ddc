"""Commands about a deployment as a whole."""

from __future__ import annotations

from airflow_mlops.cli.commands.command import Command, argument, command


def operate() -> tuple[Command, ...]:
    """Return the commands about a deployment as a whole."""
    doctor = command(
        "doctor",
        "doctor.doctor",
        "Look at everything that a deployment needs: how it is, what that means, what to do; ends with 1 if something fails",
        argument("--json", action="store_true", help="print it as JSON"),
    )
    return (doctor,)
