"""Estimators of a spec's candidates: found in the libraries we train with, or built by a function."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.estimators import PACKAGES, EstimatorPackage
from airflow_mlops.domain.spec import outliers
from airflow_mlops.domain.spec.estimator_index import hint
from airflow_mlops.exceptions import TrainingFailed, UntrustedModel
from airflow_mlops.learning.models import aliases, code, routing, skops_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.base import BaseEstimator

    from airflow_mlops.domain.spec.model import Candidate

FILE = "candidate.py"
"""Name, among the artifacts of a logged model, of the code that built its estimator. Not below ``code/``, whose files
MLflow runs by itself."""

_FUNCTION = "a function that returns one can be named instead, as module:function"


def build(
    candidate: Candidate, task: str, seed: int, params: Mapping[str, Any] | None = None, classes: int = 2
) -> BaseEstimator:
    """Build an unfitted estimator.

    :param task: ``classification`` or ``regression``.
    :param seed: ``random_state`` of the estimator, and of each part of what a function returns, unless it is set.
    :param params: parameters that override or join those of the candidate.
    :param classes: number of classes of a classification.
    :raises TrainingFailed: if the estimator or one of its parameters does not exist or does not suit the task, or its
        library is not installed.
    :raises UntrustedModel: if a function returns an estimator that cannot be stored.
    """
    arguments = {**candidate.params, **(params or {})}
    names = {*arguments, *candidate.search}
    if is_function(candidate):
        model = _call(candidate, arguments, names, seed)
    else:
        model = _create(candidate, _class(candidate, task), arguments, names, seed)
    _suits(candidate, model, task, classes)
    return model


def is_function(candidate: Candidate) -> bool:
    """Whether a candidate names a function rather than a class."""
    return ":" in candidate.estimator


def members(candidate: Candidate, params: Mapping[str, Any]) -> list[tuple[Candidate, dict[str, Any]]]:
    """Return the members of an ensemble, each with those of its parameters that a search has chosen.

    :param params: by the names of :attr:`Candidate.space`.
    :raises TrainingFailed: if a member is only named.
    """
    try:
        parts = candidate.members
    except ValueError as error:
        raise _failed(candidate, str(error)) from error
    return [
        (
            member,
            {name: params[key] for name in member.space if (key := f"{member.name}__{name}") in params},
        )
        for member in parts
    ]


def weights_argument(model: BaseEstimator) -> str | None:
    """Return the argument of an estimator's ``fit`` that takes sample weights; None if it cannot take them.

    An estimator that is made of others takes them if each of these does: otherwise scikit-learn would weigh in some of them
    only. Within a pipeline, its last step gets them.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import has_fit_parameter

    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        inner = weights_argument(last)
        return None if inner is None else f"{name}__{inner}"
    kinds = [parameter.kind for parameter in inspect.signature(model.fit).parameters.values()]
    # scikit-learn's estimators that are made of others hand further arguments on.
    hands_on = inspect.Parameter.VAR_KEYWORD in kinds and type(model).__module__.startswith("sklearn.")
    if not (has_fit_parameter(model, "sample_weight") or hands_on):
        return None
    takes = all(weights_argument(part) == "sample_weight" for part in _parts(model))
    return "sample_weight" if takes else None


def against_weights(model: BaseEstimator) -> str:
    """Return why an estimator cannot be fitted with sample weights; "" if it can, by itself or by :mod:`.routing`."""
    if weights_argument(model) is not None or not (part := routing.unweighted(model)):
        return ""
    return (
        f"{part} cannot be fitted with sample weights: linear models, trees, forests and gradient boosting can, of scikit-learn, "
        "LightGBM and XGBoost"
    )


def _parts(model: BaseEstimator) -> Iterator[BaseEstimator]:
    for value in model.get_params(deep=False).values():
        named = value if isinstance(value, list) else [("", value)]
        yield from (
            pair[1]
            for pair in named
            if isinstance(pair, tuple) and len(pair) == 2 and hasattr(pair[1], "fit")
        )


def source(candidate: Candidate) -> code.Function | None:
    """Return the code of the function that builds a candidate, to be stored as :data:`FILE`; None for a class.

    :raises TrainingFailed: if it cannot be imported, or its module needs code that lies beside it.
    """
    if not is_function(candidate):
        return None
    try:
        return code.find(candidate.estimator)
    except ImportError as error:
        raise _failed(candidate, str(error)) from error


def _call(
    candidate: Candidate, arguments: Mapping[str, Any], names: Collection[str], seed: int
) -> BaseEstimator:
    function = source(candidate)
    assert function is not None
    _check_parameters(candidate, names, *_arguments(function.call))
    try:
        model = function.call(**arguments)
    except Exception as error:
        raise _failed(candidate, f"{type(error).__name__}: {error}") from error
    if not (hasattr(model, "fit") and hasattr(model, "predict") and hasattr(model, "get_params")):
        raise _failed(
            candidate,
            f"{candidate.estimator} returned {type(model).__name__}, which is no estimator of scikit-learn",
        )
    unset = {
        name: seed
        for name, value in model.get_params().items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    try:
        skops_file.check(model.set_params(**unset))
    except UntrustedModel as error:
        raise UntrustedModel(f"Candidate {candidate.name!r}: {error}") from error
    return model


def _arguments(function: Callable[..., Any]) -> tuple[str, Collection[str] | None]:
    """Return a function's name and the names of its arguments; None if it takes any."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return function.__name__, None
    return function.__name__, [
        name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_POSITIONAL
    ]


def _class(candidate: Candidate, task: str) -> type[BaseEstimator]:
    from sklearn.base import OutlierMixin

    place, _, name = candidate.estimator.rpartition(".")
    package = place.partition(".")[0]
    if package not in PACKAGES:
        raise _failed(candidate, f"{candidate.estimator} is not part of {', '.join(PACKAGES)}; {_FUNCTION}")
    named = getattr(_module(candidate, place), name, None)
    if isinstance(named, type) and issubclass(named, OutlierMixin):
        # Whether it suits the task is said in words of its own.
        return named
    fitting = classes(_module(candidate, place), task)
    if name not in fitting:
        raise _failed(candidate, f"{place} has no {name!r} for {task}{hint(name, fitting)}")
    return fitting[name]


def classes(module: Any, task: str) -> dict[str, type[BaseEstimator]]:
    """Return the estimators of a module that may be fitted to a task and stored, by name."""
    from sklearn.base import BaseEstimator, ClassifierMixin, OutlierMixin, RegressorMixin

    mixin = (ClassifierMixin, OutlierMixin) if task == "classification" else RegressorMixin
    return {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, mixin) and issubclass(value, BaseEstimator)
        if not inspect.isabstract(value) and skops_file.is_trusted(value)
    }


def _module(candidate: Candidate, place: str) -> Any:
    try:
        return import_module(place)
    except ModuleNotFoundError as error:
        package = place.partition(".")[0]
        if error.name == package:
            raise _failed(
                candidate, f"{package} is not installed: pip install 'airflow-mlops[boosting]'"
            ) from error
        raise _failed(candidate, str(error)) from error
    except (ImportError, OSError) as error:  # OSError: LightGBM without OpenMP on the machine
        raise _failed(candidate, f"{place} cannot be imported: {error}") from error


def _create(
    candidate: Candidate,
    kind: type[BaseEstimator],
    arguments: dict[str, Any],
    names: Collection[str],
    seed: int,
) -> BaseEstimator:
    parameters = parameters_of(kind)
    _check_parameters(candidate, names, kind.__name__, parameters)
    settings: dict[str, Any] = {"random_state": seed} if "random_state" in parameters else {}
    if "novelty" in parameters:
        # Otherwise a local outlier factor scores no rows but those that it was fitted to.
        settings["novelty"] = True
    settings = aliases.but({**settings, **_package(kind).settings}, arguments, _package(kind))
    try:
        return kind(**{**settings, **arguments})
    except (TypeError, ValueError) as error:
        raise _failed(candidate, f"{error}; {_FUNCTION}") from error


def parameters_of(kind: type[BaseEstimator]) -> set[str]:
    """Return the names of the parameters that an estimator takes, other names of them included."""
    package = _package(kind)
    names = set(kind._get_param_names())
    if package.inherits_parameters:
        names |= set(kind().get_params())
    return names.union(*aliases.of(package).values())


def _suits(candidate: Candidate, model: BaseEstimator, task: str, classes: int) -> None:
    from sklearn.base import is_classifier, is_outlier_detector, is_regressor

    name = type(model).__name__
    try:
        tags = model.__sklearn_tags__()
    except AttributeError as error:  # of an estimator that it lacks
        raise _failed(candidate, f"{name} lacks a part with these parameters; {_FUNCTION}") from error
    if is_outlier_detector(model):
        if not hasattr(model, "score_samples"):
            raise _failed(candidate, f"{name} scores no new rows with these parameters; write novelty: true")
        if problem := outliers.unfit(name, task, classes, candidate.calibrate):
            raise _failed(candidate, problem)
        return
    if not (is_classifier(model) if task == "classification" else is_regressor(model)):
        raise _failed(candidate, f"{name} is not for {task}")
    scored = hasattr(model, "predict_proba") or (candidate.calibrate and hasattr(model, "decision_function"))
    if task == "classification" and not scored:
        raise _failed(
            candidate,
            f"{name} with these parameters gives no probabilities; calibrate: sigmoid learns them from its scores"
            if hasattr(model, "decision_function")
            else f"{name} with these parameters gives neither probabilities nor scores",
        )
    if not tags.target_tags.single_output:
        raise _failed(candidate, f"{name} is for several targets at once, and a model has one")


def _check_parameters(
    candidate: Candidate, names: Collection[str], where: str, parameters: Collection[str] | None
) -> None:
    for name in names:
        if parameters is not None and name not in parameters:
            raise _failed(candidate, f"{where} has no parameter {name!r}{hint(name, parameters)}")


def _package(kind: type) -> EstimatorPackage:
    return PACKAGES[kind.__module__.partition(".")[0]]


def _failed(candidate: Candidate, problem: str) -> TrainingFailed:
    return TrainingFailed(f"Candidate {candidate.name!r}: {problem}")
