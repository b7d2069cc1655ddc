"""The checks of ``airflow mlops doctor``: each looks at one thing that a deployment needs."""

from __future__ import annotations
