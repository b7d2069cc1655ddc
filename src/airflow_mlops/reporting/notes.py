"""The note of a run in Airflow: what its tasks have to say of it, on one line.

The scheduler writes it, and loads nothing for this: see :mod:`airflow_mlops.plugin.notes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

KEY = "mlops_note"
"""XCom key of what a task has to say of its run: an :func:`entry`."""
TAG = "mlops"
"""Tag of the DAGs whose runs get a note."""
LONGEST = 1000
"""Characters that Airflow keeps of a note."""


def entry(partition: str, sentence: str) -> dict[str, str]:
    """Return what a task has to say of its run, as the value of its XCom; Airflow shows a note as Markdown."""
    from airflow_mlops.reporting.markdown import escape

    return {"partition": str(escape(partition)), "sentence": str(escape(sentence))}


def note(entries: Iterable[Any], partition: str | None, failed: str | None) -> str:
    """Return the note of a run; "" if there is nothing to say.

    :param entries: what its tasks have to say, in the order in which they ended. What is no :func:`entry` is left out.
    :param partition: partition of the run; None if it has none.
    :param failed: the task that failed first, if nothing in ``entries`` says why the run has failed; None for none.
    """
    said = [(part["partition"], part["sentence"]) for part in entries if _is_entry(part)]
    if failed is not None:
        said.append((partition or "", f"failed in {failed}"))
    clauses, subject = [], ""
    for key, sentence in said:
        clauses.append(sentence if key == subject or not key else f"{key}: {sentence}")
        subject = key
    text = "; ".join(clauses)
    # Cut where it may be: not behind the backslash of an escaped sign.
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip(chr(92))}…"


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("partition"), str)
        and isinstance(value.get("sentence"), str)
    )
