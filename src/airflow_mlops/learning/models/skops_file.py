"""Model files: written and read with skops, identified by a digest of their content."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from airflow_mlops.domain.estimators import PACKAGES
from airflow_mlops.exceptions import DigestMismatch, UntrustedModel

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

_OURS = (
    "airflow_mlops.learning.models.least_cost.LeastCost",
    "airflow_mlops.learning.models.outliers.OutlierScore",
    "airflow_mlops.learning.models.recalibrated.Recalibrated",
)
# Beyond the types that skops itself trusts: scikit-learn's estimators and the functions and containers of NumPy and
# SciPy. Trees, splines and boosters hold indices that are followed without checking bounds; they are
# safe here because the digest is checked before anything is loaded.
_SKLEARN = (
    "collections.OrderedDict",
    "functools.partial",  # of functions on this list or on that of skops; histogram gradient boosting holds one
    "numpy.dtype",
    "numpy.ravel",  # between the columns and the words of a text
    "scipy._lib.array_api_compat.numpy._aliases.asarray",  # a fitted SplineTransformer holds it, in its splines
    "scipy.interpolate._bsplines.BSpline",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.ExpSineSquared",
    "sklearn.gaussian_process.kernels.Exponentiation",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.metrics._dist_metrics.BrayCurtisDistance64",
    "sklearn.metrics._dist_metrics.CanberraDistance64",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.HammingDistance64",
    "sklearn.metrics._dist_metrics.HaversineDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.TimeSeriesSplit",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)
_TRUSTED = sorted({*_OURS, *_SKLEARN, *(kind for package in PACKAGES.values() for kind in package.types)})
# Under these names, histogram gradient boosting and LightGBM store how many threads fitted them.
_THREADS = ("n_threads", "num_threads")
_THREADS_TEXT = re.compile(r"\[num_threads: \d+\]")


def trusted_types() -> list[str]:
    """Return the qualified names of the types that a model may hold beyond those that skops trusts."""
    return list(_TRUSTED)


def is_trusted(kind: type) -> bool:
    """Whether fitted estimators of a class can be stored."""
    return kind.__module__.startswith("sklearn.") or f"{kind.__module__}.{kind.__name__}" in _TRUSTED


def check(model: BaseEstimator) -> None:
    """Check that :func:`load` would take an estimator, fitted or not.

    :raises UntrustedModel: if it holds types outside the allow-list, or what skops cannot write.
    """
    with TemporaryDirectory() as folder:
        save(model, Path(folder) / "model.skops")


def save(model: BaseEstimator, path: Path) -> None:
    """Write an estimator as :func:`airflow_mlops.learning.models.models.log` would, so that equal ones have equal digests.

    :raises UntrustedModel: if it holds types outside the allow-list, or what skops cannot write.
    """
    io = skops_io()
    try:
        io.dump(model, path)
        unknown = sorted({*io.get_untrusted_types(file=path)} - {*_TRUSTED})
    except Exception as error:  # skops passes on what any type raises when it is written
        path.unlink(missing_ok=True)
        raise UntrustedModel(f"the model cannot be stored: {type(error).__name__}: {error}") from error
    if unknown:
        path.unlink()
        raise UntrustedModel(
            f"the model holds {', '.join(unknown)}, which cannot be stored: only types and functions of scikit-learn, "
            "LightGBM, XGBoost, NumPy and SciPy can"
        )


def digest(path: Path) -> str:
    """Return a sha256 of what a skops file means: equal for models that were fitted alike.

    skops names objects by their ids, some members at random, and dates them all; none of these counts, nor does the
    number of threads that fitted the model. What counts is the schema in its order (sets sorted) and the bytes of the
    members it refers to.

    Nothing of it is larger than the file: what could unfold into more is refused before it is read.

    :raises DigestMismatch: if the file is torn or compressed, or holds anything that its schema does not account for.
    """
    try:
        with ZipFile(path) as archive:
            _refuse_bomb(archive, path)
            names = sorted(archive.namelist())
            content = _Content(archive)
            text = content.of(json.loads(archive.read("schema.json")))
    except (BadZipFile, OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, DigestMismatch):
            raise
        raise DigestMismatch(f"{path.name} is no whole skops file: {error}") from error
    if names != sorted({"schema.json", *content.members}):
        raise DigestMismatch(f"{path.name} holds members that its schema does not name, or one twice.")
    if any("/" in name or "\\" in name for name in names):
        # skops reads them inside of the archive only, but whoever unpacks it would not.
        raise DigestMismatch(f"{path.name} holds members whose names lead out of it.")
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_bomb(archive: ZipFile, path: Path) -> None:
    members, size = archive.infolist(), path.stat().st_size
    if any(member.compress_type != ZIP_STORED for member in members):
        raise DigestMismatch(f"{path.name} is compressed, which no model that training has stored is.")
    # Members may also lie upon each other.
    if sum(member.file_size for member in members) > size:
        raise DigestMismatch(f"{path.name} claims to hold more than its {size:,} bytes.")


class _Content:
    """Writes a skops schema as text: digests in place of nodes and members, and no ids.

    Loading takes one object for another where their ids are equal, so equal ids must stand for equal content.
    """

    def __init__(self, archive: ZipFile) -> None:
        self.archive = archive
        self.members: set[str] = set()
        self.digests: dict[int, str] = {}

    def of(self, value: Any) -> str:
        if isinstance(value, list):
            return f"[{','.join(map(self.of, value))}]"
        if not isinstance(value, dict):
            return _THREADS_TEXT.sub("", json.dumps(value))
        # A node names its loader in text; a mapping's values, whatever its keys, are nodes.
        return self._node(value) if isinstance(value.get("__loader__"), str) else self._mapping(value)

    def _mapping(self, value: dict[str, Any]) -> str:
        fields = {key: node for key, node in value.items() if not (key in _THREADS and _is_count(node))}
        return f"{{{','.join(f'{json.dumps(key)}:{self.of(node)}' for key, node in fields.items())}}}"

    def _node(self, value: dict[str, Any]) -> str:
        fields = dict(value)
        number, member = fields.pop("__id__", None), fields.pop("file", None)
        # The order of a set of text differs from process to process.
        parts = sorted(map(self.of, fields.pop("content"))) if fields["__loader__"] == "SetNode" else []
        if member is not None:
            self.members.add(member)
            parts.append(self._digest(member))
        content_digest = hashlib.sha256(f"{self._mapping(fields)}{parts}".encode()).hexdigest()
        if number is not None and self.digests.setdefault(number, content_digest) != content_digest:
            raise DigestMismatch(f"Two objects of the model have the id {number}.")
        return f"<{content_digest}>"

    def _digest(self, member: str) -> str:
        member_digest = hashlib.sha256()
        with self.archive.open(member) as content:
            while part := content.read(1 << 20):
                member_digest.update(part)
        return member_digest.hexdigest()


def _is_count(node: Any) -> bool:
    return isinstance(node, dict) and node.get("__loader__") == "JsonNode" and node["content"].isdecimal()


def verify(path: Path, expected: str) -> None:
    """Check a model file against its digest without loading anything of it.

    :raises DigestMismatch: if its content is not what was trained.
    """
    actual = digest(path)
    if actual != expected:
        raise DigestMismatch(f"{path.name} has the digest {actual[:12]}…, but {expected[:12]}… was trained.")


def load(path: Path, digest: str) -> Pipeline:
    """Load a fitted pipeline whose content must have the given digest.

    :raises DigestMismatch: if it has another one; nothing of the file has been loaded then.
    :raises UntrustedModel: if it holds types outside the allow-list.
    """
    io = skops_io()
    from skops.io.exceptions import UntrustedTypesFoundException

    verify(path, digest)
    try:
        return io.load(path, trusted=trusted_types())
    except UntrustedTypesFoundException as error:
        raise UntrustedModel(f"{path.name}: {str(error).splitlines()[0]}") from error
    except ImportError as error:
        raise UntrustedModel(f"{path.name} needs what is not installed here: {error}") from error


def skops_io() -> Any:
    """Return ``skops.io``, imported quietly."""
    # When it is imported, skops looks for the functions of SciPy in every loaded module, and Airflow's modules warn a
    # thousand times that this is deprecated.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("skops.io")
