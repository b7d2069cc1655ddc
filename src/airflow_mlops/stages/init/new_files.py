"""New files that are written beside their places first, and moved there together."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_mlops.exceptions import PlaceRefused

_SHOWN = 5


class NewFiles:
    """Write files so that all of them are there, or none.

    :param overwrite: whether files that are there already are replaced.
    """

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._drafts: list[tuple[Path, Path]] = []
        self._folders: list[Path] = []
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not moved to its place."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        for folder in self._made if error is not None else ():
            with suppress(OSError):
                folder.rmdir()

    def refuse(self, paths: Iterable[Path]) -> None:
        """Refuse places where something is already.

        :raises PlaceRefused: naming them.
        """
        there = [] if self._overwrite else [str(path) for path in paths if path.exists()]
        if there:
            more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
            raise PlaceRefused(
                f"{', '.join(there[:_SHOWN])}{more}: already there; name the model otherwise (--name), or add --overwrite"
            )

    def folder(self, place: Path) -> Path:
        """Return a new folder for drafts of files that belong into another one."""
        self._made[:0] = takewhile(lambda folder: not folder.exists(), [place, *place.parents])
        place.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".airflow-mlops-", dir=place))
        self._folders.append(folder)
        return folder

    def add(self, place: Path, draft: Path) -> None:
        """Take a draft for a file."""
        self._drafts.append((place, draft))

    def write(self, place: Path, text: str) -> Path:
        """Write a draft of a file of text, and return where it is."""
        draft = self.folder(place.parent) / place.name
        draft.write_text(text, encoding="utf-8")
        self.add(place, draft)
        return draft

    def move(self) -> list[Path]:
        """Move all drafts to their places, and return these.

        :raises PlaceRefused: if something has come there meanwhile.
        """
        self.refuse(place for place, _ in self._drafts)
        for place, draft in self._drafts:
            os.replace(draft, place)
        return [place for place, _ in self._drafts]
