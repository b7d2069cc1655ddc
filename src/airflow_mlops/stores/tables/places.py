"""Places: where the tables and pages of each dataset are, and which names and folders keep them apart."""

from __future__ import annotations

import re

from airflow_mlops.domain.spec.fields import checked_name
from airflow_mlops.exceptions import PlaceRefused

_CUT = {
    "#": "what follows # is cut off, so that all tables would be one",
    "?": "what follows ? is cut off, so that all tables would be one",
    "\\": "some readers take a backslash for a slash",
}


def root(uri: str) -> str:
    """Return a folder's URI, without a slash at its end.

    :raises PlaceRefused: if not all that read and write there would agree on where it is.
    """
    for mark, why in _CUT.items():
        if mark in uri:
            raise PlaceRefused(f"it holds {mark}: {why}; name a folder without it")
    if escape := re.search(r"%[0-9A-Fa-f]{2}", uri):
        raise PlaceRefused(
            f"it holds {escape[0]}, which some readers decode and others do not; name the folder as it is, or one "
            "without such a character"
        )
    if not uri.isprintable():
        raise PlaceRefused("it holds a character that cannot be printed; name a folder without it")
    scheme, _, path = uri.rstrip("/").partition("://")
    parts = path.split("/")
    if {".", ".."} & set(parts):
        raise PlaceRefused("it holds . or .. as a folder; write the path that it leads to")
    if scheme != "file" and "" in parts[:-1]:
        raise PlaceRefused("it holds two slashes in a row, which some readers merge; write one")
    return uri.rstrip("/")


def uri_of(storage: str, name: str, table: str) -> str:
    """Return the URI of one of a dataset's tables, e.g. ``file:///data/flights/predictions``.

    :raises PlaceRefused: if the name or the table is none that a spec could have.
    """
    return f"{storage.rstrip('/')}/{_checked('dataset or model', name)}/{_checked('table', table)}"


def folder_of(storage: str, name: str) -> str:
    """Return the URI of the folder with all tables of a dataset.

    :raises PlaceRefused: if the name is none that a spec could have.
    """
    return f"{storage.rstrip('/')}/{_checked('dataset or model', name)}"


def changes_of(storage: str) -> str:
    """Return the URI of the journal of what became of whole models."""
    return f"{storage.rstrip('/')}/changes"


def page_of(name: str, partition: str, kind: str) -> str:
    """Return the place of a page below the folder of all reports.

    :param name: of a model or a dataset; or of a source that is only checked, such as ``<dag>.<task>``.
    :raises PlaceRefused: if the name is not one folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,250}", name) or name in (".", ".."):
        raise PlaceRefused(f"page: {name!r} is not one folder: use letters, digits and _ . -")
    return f"{name}/{partition}/{kind}.html"


def is_name(folder: str) -> bool:
    """Tell whether a folder of the storage may be that of a dataset."""
    try:
        return bool(checked_name(folder))
    except ValueError:
        return False


def model_of(name: str) -> str:
    """Return the name of a model that was given by hand.

    :raises PlaceRefused: if it is none that a spec could have.
    """
    return _checked("model", name)


def _checked(what: str, name: str) -> str:
    try:
        return checked_name(name)
    except ValueError as error:
        raise PlaceRefused(f"{what}: {error}") from error
