"""The spec that another is compared with: a file, or the same file at a revision of Git, with the code beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mlops.stages.preview.memory import FormerSpec

_CODE = (".py", ".json", ".yaml", ".yml")
"""Ends of the names of files that a spec may need: code, suites, projects of Great Expectations."""
_SECONDS = 60


@contextmanager
def former(against: str, file: Path) -> Iterator[FormerSpec]:
    """Give the former spec.

    :param against: a file, or a revision of Git such as ``HEAD`` or ``origin/main``.
    :param file: of the spec now.
    :raises LookupError: if there is no such file or revision, or the spec was not there.
    :raises SpecError: if the former spec is wrong.
    """
    path = Path(against)
    if path.is_file():
        yield _read(path.resolve(), against)
        return
    root = _root(file, against)
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{against}^{{commit}}")
    if commit is None:
        raise LookupError(f"--against {against}: there is neither such a file nor such a revision in {root}.")
    with TemporaryDirectory(prefix="mlops-plan-") as folder:
        place = file.relative_to(root)
        _extract(root, commit.decode().strip(), place, Path(folder))
        there = Path(folder, place)
        if not there.is_file():
            raise LookupError(f"--against {against}: {place} was not there then; it is new, or was renamed.")
        yield _read(there, f"{place} at {against}")


def _read(path: Path, label: str) -> FormerSpec:
    from airflow_mlops.domain.spec import specs
    from airflow_mlops.stages.preview import functions, meaning
    from airflow_mlops.stages.preview.memory import FormerSpec

    spec = specs.read(path)
    # Suites are read now: they lie beside the former file, which may be gone soon.
    document = meaning.values(spec, path.parent)
    expanded = specs.kind_of(document).from_dict(document)
    return FormerSpec(label, expanded, functions.versions(spec, [path.parent, path.parent.parent]))


def _root(file: Path, against: str) -> Path:
    top = _git(file.parent, "rev-parse", "--show-toplevel")
    if top is None:
        raise LookupError(
            f"--against {against}: there is no such file, and {file.parent} is in no repository of Git, where it could be a "
            "revision."
        )
    return Path(top.decode().strip()).resolve()


def _extract(root: Path, commit: str, place: Path, folder: Path) -> None:
    """Write the spec's folder of a commit, and the one above it where DAG files lie, as far as a spec may need them."""
    import tarfile

    above = place.parent.parent if len(place.parts) > 2 else place.parent
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", above.as_posix())
    names = [name for name in (listed or b"").decode().split("\0") if name.endswith(_CODE)]
    if not names:
        return
    archive = _git(root, "archive", "--format=tar", commit, "--", *(f":(literal){name}" for name in names))
    if archive is None:
        raise LookupError(f"git archive {commit[:12]} fails in {root}.")
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def _git(folder: Path, *words: str) -> bytes | None:
    """Return what Git prints; None if it refuses, or is not there."""
    try:
        answer = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout
