"""The spec by which a model was last decided on, or data published, kept beside it, so that a later one can be compared with it."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.spec.specs import kind_of
from airflow_mlops.exceptions import SpecError
from airflow_mlops.stages.preview import functions, meaning
from airflow_mlops.stores import damage
from airflow_mlops.stores.tables import journal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_mlops.domain.spec.dataset import DataSpec

log = logging.getLogger(__name__)

TABLE = "specs"
"""Name of the table: a row for each spec that was another than the one before."""
_COLUMNS = ("partition", "spec", "code")


class FormerSpec(NamedTuple):
    """What a spec is compared with.

    :param label: what it is, in words.
    :param spec: None if there is none.
    :param code: versions of its functions, by place.
    :param why: why there is no former spec; "" if there is one.
    """

    label: str
    spec: DataSpec | None
    code: Mapping[str, str]
    why: str = ""


def remember(uri: str, spec: DataSpec, partition: str, folder: Path | None = None) -> None:
    """Keep a spec, with the versions of its functions, if it is another than the last one.

    If it cannot be kept, the log says so: what is decided holds without it.

    :param uri: URI of the table.
    :param partition: the one that is decided by it, or published where there is no model.
    :param folder: that relative paths of suites begin in.
    """
    facts = {
        "spec": json.dumps(meaning.values(spec, folder), sort_keys=True),
        "code": json.dumps(
            functions.versions(spec, [folder, folder.parent] if folder else []), sort_keys=True
        ),
    }

    def decide(earlier: journal.OrderedRows, at: datetime) -> journal.JournalRow | None:
        last = earlier.rows([len(earlier) - 1])[0] if len(earlier) else {}
        is_same = all(last.get(name) == text for name, text in facts.items())
        return None if is_same else {"at": at, "partition": partition, **facts}

    try:
        journal.append(uri, _COLUMNS, decide)
    except (ValueError, OSError, RuntimeError):
        log.exception(
            "The spec of %s was not kept, and `airflow mlops plan` cannot compare with it", spec.name
        )


def recall(uri: str, model: str) -> FormerSpec:
    """Return the spec by which the last decision was made, as far as the table tells.

    :param uri: URI of the table.
    :param model: its name, which may have been another when the spec was kept.

    :raises TableUnreadable: if the table is damaged.
    """
    rows = journal.read(uri)
    if not len(rows):
        return FormerSpec("nothing", None, {}, "no decision has kept its spec yet")
    row = rows.rows([len(rows) - 1])[0]
    label = f"the spec in force since {row['partition']}"
    with damage.errors(f"The last row of {uri}"):
        document, code = {**json.loads(row["spec"]), "name": model}, json.loads(row["code"])
    try:
        return FormerSpec(label, kind_of(document).from_dict(document), code)
    except SpecError as error:
        return FormerSpec(label, None, {}, f"this release refuses {label}: {error}")
