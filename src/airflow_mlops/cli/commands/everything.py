"""All commands: ``airflow mlops`` shows them in Airflow, and ``airflow-mlops`` without loading more of it than they need."""

from __future__ import annotations

from airflow_mlops.cli.commands.begin import begin
from airflow_mlops.cli.commands.command import Group
from airflow_mlops.cli.commands.data import datasets, quarantine
from airflow_mlops.cli.commands.local import local
from airflow_mlops.cli.commands.models import models
from airflow_mlops.cli.commands.operate import operate
from airflow_mlops.cli.commands.privacy import privacy
from airflow_mlops.cli.commands.work import work


def everything() -> Group:
    """Return the group of all commands."""
    commands = (begin(), *work(), *local(), *models(), *operate(), *privacy(), datasets(), quarantine())
    return Group("mlops", "Continuous training of models", commands)
