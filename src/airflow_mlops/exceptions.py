"""Every error of the package, on plain built-in bases; each says whether a retry can help."""

from __future__ import annotations

from pathlib import Path


class SpecError(ValueError):
    """A model spec is wrong. A retry cannot help: correct the file.

    :param problems: one line a problem, each with its place in the file.
    :param source: the file, or what else the spec came from.
    """

    def __init__(self, problems: list[str], source: str | Path = "spec") -> None:
        self.problems = tuple(problems)
        self.source = str(source)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__("\n".join([f"{self.source}: {count}", *(f"  {problem}" for problem in problems)]))


class PlaceRefused(ValueError):
    """A name or a folder would not keep tables apart from others. A retry cannot help: choose another one."""


class SettingRefused(ValueError):
    """An option, a connection or an address cannot be used as it is. A retry cannot help: correct it."""


class SourceMissing(FileNotFoundError):
    """The data of a partition is not there.

    A retry can help: it may still arrive; else correct the path or the query.
    """


class SourceUnreadable(ValueError):
    """The data of a partition is there but cannot be read.

    A retry can help only if it was still being written: correct the file that is named, or how the spec's source
    reads it.
    """


class SourceChanging(OSError):
    """The data of a partition changed while it was read. A retry can help: it may be complete by then."""


class UnknownPartition(ValueError):
    """A run names no partition, or one that does not exist. A retry cannot help: trigger it with another key."""


class OtherPartitions(ValueError):
    """A dataset has partitions of another length or time zone.

    A retry cannot help: correct the spec, or name another model.
    """


class EmptyPartition(ValueError):
    """A source answered with no rows. A retry can help only if the rows come late: look at the path or the query."""


class SchemaMismatch(ValueError):
    """Columns or types differ from what the model or the table expects.

    A retry cannot help: correct the source, or give a dataset that has changed for good another name.
    """


class BadRows(ValueError):
    """Rows break what a dataset promises: unique keys, event times in the partition.

    A retry cannot help: correct the rows that are named, or the spec's ``key`` and ``event_time``.
    """


class TransformFailed(ValueError):
    """The function that prepares features cannot be imported, fails, or breaks its promise.

    A retry cannot help: correct the function.
    """


class MetricFailed(ValueError):
    """A metric of one's own cannot be imported, fails, or returns no number.

    A retry cannot help: correct its function.
    """


class FutureJoin(ValueError):
    """A point-in-time join would look at what was not known yet. A retry cannot help: correct the join."""


class SuiteUnreadable(ValueError):
    """A suite of expectations is missing, damaged, or not the one that was pinned.

    A retry cannot help: correct the file, or its path or digest in the spec.
    """


class OtherValue(ValueError):
    """A value that a person wrote is none that its column can hold. A retry cannot help: write another one."""


class ReleaseRefused(ValueError):
    """Quarantined rows cannot be released as asked. A retry cannot help: name other rows, or correct the file."""


class ValidationFailed(ValueError):
    """Data broke an expectation that blocks. A retry cannot help: correct the data or the expectation."""


class ValidationErrored(RuntimeError):
    """An expectation could not be evaluated at all. A retry cannot help: correct the expectation."""


class TableMissing(FileNotFoundError):
    """A table that a stage reads does not exist yet. A retry can help: the task that writes it may have run by then."""


class TableUnreadable(RuntimeError):
    """A Delta table cannot be read, or its last commit is torn. A retry cannot help: restore the table."""


class StoreUnavailable(OSError):
    """A disk is full, read-only, or closed to this user. A retry can help: somebody may have made room by then."""


class WriteConflict(RuntimeError):
    """Another writer changed the same rows at the same time.

    A retry can help: it works on what the other has written.
    """


class UnsafeStore(RuntimeError):
    """A store takes a key that it holds already, so that rows would be lost. A retry cannot help: name another store."""


class ErasureRefused(ValueError):
    """Rows to erase, or a model to remove, are named in a way that fits nothing. A retry cannot help: name others."""


class NotEnoughData(ValueError):
    """There are too few rows or classes to train or judge on. A retry cannot help: more data can."""


class TrainingFailed(RuntimeError):
    """An estimator could not be built or fitted. A retry cannot help: correct the candidate."""


class RegistryUnavailable(ConnectionError):
    """MLflow cannot be reached, or answers with an error of its own.

    A retry can help: look at its server and the connection.

    :param silent: True if it gave no answer at all, so that to ask again at once would only take as long again.
    """

    def __init__(self, message: str, *, silent: bool = False) -> None:
        self.silent = silent
        super().__init__(message)


class ModelNotFound(LookupError):
    """A registered model, version or alias does not exist.

    A retry cannot help: name one that MLflow has, or train it.
    """


class DigestMismatch(ValueError):
    """A model's bytes are not the bytes that were trained. A retry cannot help: roll back to a version that is whole."""


class UntrustedModel(ValueError):
    """A model holds types outside the allow-list, so it is not loaded.

    A retry cannot help: build it of scikit-learn, LightGBM, XGBoost, NumPy and SciPy, or install what the message names.
    """


class ModelRefused(ValueError):
    """A model that was trained elsewhere cannot be taken in.

    A retry cannot help: log it again, train it otherwise, or allow it in the spec, as the message says.
    """


class BlessingFailed(RuntimeError):
    """A candidate does not load, or does not predict the same, in a fresh process.

    A retry cannot help: install what the message names, or make the candidate one that another process can load.
    """


class MachineBusy(TimeoutError):
    """A machine under load missed a limit of time, which says nothing about what was to be done.

    A retry can help: run fewer tasks at a time on the machine.
    """


class PromotionConflict(RuntimeError):
    """The alias moved while a promotion was under way. A retry cannot help: decide again on the new champion."""


class PromotionRefused(ValueError):
    """A promotion was asked for a candidate whose verdict is not PASS.

    A retry cannot help: see which gate it was, and why.
    """


class LeakedRows(ValueError):
    """Rows that a model is judged on are among those that it learned from. A retry cannot help: correct the data."""


class ApprovalMissing(PermissionError):
    """The people who have to approve have not, or one answered twice.

    A retry cannot help: clear the task to ask again.
    """


class NotReproduced(ValueError):
    """A training cannot be repeated.

    A retry cannot help: the message names the data, the package or the seed that is not there any more.
    """


class NoDecision(TimeoutError):
    """The decision on an earlier partition did not come in time. A retry can help: it waits as long again."""


class ClusterUnavailable(ConnectionError):
    """A Dask scheduler that trials are fitted on does not answer, or was lost on the way.

    A retry can help: look at ``[mlops] dask_scheduler``.
    """


class MailUndelivered(ConnectionError):
    """The mail server did not take a mail, which stays in the outbox. A retry can help: look at the SMTP connection."""


class OutputUnavailable(ConnectionError):
    """A database that predictions go to does not answer, or gave up.

    A retry can help: look at the connection that it names.
    """


RETRYABLE: tuple[type[Exception], ...] = (
    ClusterUnavailable,
    MachineBusy,
    NoDecision,
    OutputUnavailable,
    SourceMissing,
    SourceChanging,
    StoreUnavailable,
    TableMissing,
    WriteConflict,
    RegistryUnavailable,
    MailUndelivered,
)
"""Errors that time may heal; every other error of this module fails its task at once."""
