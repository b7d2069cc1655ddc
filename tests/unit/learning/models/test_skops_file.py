from __future__ import annotations

import importlib
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

from airflow_mlops.exceptions import DigestMismatch, UntrustedModel
from airflow_mlops.learning.models import skops_file
from airflow_mlops.learning.models.least_cost import LeastCost
from airflow_mlops.learning.models.outliers import OutlierScore
from airflow_mlops.learning.models.recalibrated import Recalibrated


def make_file(path: Path, value: Any = None) -> Path:
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 2))
    skops.io.dump(LogisticRegression().fit(features, features[:, 0] > 0) if value is None else value, path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write a file again with members that are changed, under the same name in another folder."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    target = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def test_ids_and_dates_do_not_count_in_the_digest(tmp_path: Path) -> None:
    one, two = make_file(tmp_path / "one.skops"), make_file(tmp_path / "two.skops")
    assert one.read_bytes() != two.read_bytes()
    assert skops_file.digest(one) == skops_file.digest(two)


def test_the_order_of_a_set_does_not_count_in_the_digest(tmp_path: Path) -> None:
    # 0 and 8 fall into the same place of a small hash table, so the first to come is the first in the set.
    assert list({0, 8}) != list({8, 0})
    one, two = make_file(tmp_path / "one.skops", {0, 8}), make_file(tmp_path / "two.skops", {8, 0})
    assert skops_file.digest(one) == skops_file.digest(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([1, 2], [2, 1]),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.array([1.0]), np.array([1.0 + 1e-15])),
        (np.array(["a"], dtype=object), np.array(["b"], dtype=object)),
        ({"file": 1, "__id__": 2, "__loader__": 3}, {"file": 1, "__id__": 3, "__loader__": 3}),
    ],
)
def test_whatever_loads_as_something_else_has_another_digest(tmp_path: Path, one: Any, two: Any) -> None:
    first, second = make_file(tmp_path / "one.skops", one), make_file(tmp_path / "two.skops", two)
    assert skops_file.digest(first) != skops_file.digest(second)


def test_a_model_with_another_number_in_it_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "model.skops")

    def change(members: dict[str, bytes]) -> None:
        name = max((name for name in members if name.endswith(".npy")), key=lambda name: len(members[name]))
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])

    with pytest.raises(DigestMismatch, match="was trained"):
        skops_file.load(rewrite(path, change), skops_file.digest(path))


def test_a_model_with_a_stray_member_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "model.skops")
    with pytest.raises(DigestMismatch, match="members that its schema does not name"):
        skops_file.load(rewrite(path, lambda members: members.update(extra=b"")), skops_file.digest(path))


def test_a_model_that_passes_one_object_off_as_another_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "model.skops", {"first": [1, 2], "second": [3, 4]})

    def change(members: dict[str, bytes]) -> None:
        schema = json.loads(members["schema.json"])
        schema["content"]["second"]["__id__"] = schema["content"]["first"]["__id__"]
        members["schema.json"] = json.dumps(schema).encode()

    changed = rewrite(path, change)
    assert skops.io.load(changed)["second"] == [1, 2]
    with pytest.raises(DigestMismatch, match="have the id"):
        skops_file.digest(changed)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04]\x94."])
def test_a_torn_file_or_a_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    with pytest.raises(DigestMismatch, match=r"model\.skops is no whole skops file"):
        skops_file.load(path, "0" * 64)


def test_a_type_outside_the_allow_list_is_refused_by_name(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(os.path.join), LinearRegression())
    path = make_file(tmp_path / "model.skops", model)
    with pytest.raises(UntrustedModel, match=r"model\.skops.*posixpath\.join"):
        skops_file.load(path, skops_file.digest(path))


LIBRARIES = {"sklearn", "scipy", "numpy", "lightgbm", "xgboost", "functools", "collections"}


OURS = {f"{kind.__module__}.{kind.__qualname__}" for kind in (LeastCost, OutlierScore, Recalibrated)}


def test_every_trusted_type_is_one_of_the_libraries_we_train_with_or_stands_around_an_estimator() -> None:
    for name in skops_file.trusted_types():
        module, _, attribute = name.rpartition(".")
        assert name.partition(".")[0] in LIBRARIES or name in OURS
        assert callable(getattr(importlib.import_module(module), attribute)), name


def random_rows(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    features = random.normal(size=(count, 3))
    return features, (features[:, 0] + random.normal(size=count) > 0).astype(int)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0),
        lambda: lightgbm.LGBMClassifier(
            n_estimators=5, deterministic=True, force_col_wise=True, verbosity=-1
        ),
        lambda: xgboost.XGBClassifier(n_estimators=5),
        lambda: StackingClassifier(
            [("one", HistGradientBoostingClassifier(max_iter=5, random_state=0))], cv=2
        ),
    ],
)
def test_the_number_of_threads_that_fitted_a_model_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]
) -> None:
    import lightgbm.sklearn

    files = []
    for threads in (1, 2):
        # LightGBM counts processors itself.
        monkeypatch.setattr(lightgbm.sklearn, "_LGBMCpuCount", lambda only_physical_cores, n=threads: n)
        with threadpool_limits(threads, "openmp"):
            model = make().fit(*random_rows())
        files.append(make_file(tmp_path / f"{threads}.skops", model))
    assert skops_file.digest(files[0]) == skops_file.digest(files[1])


def test_only_a_number_passes_for_a_number_of_threads(tmp_path: Path) -> None:
    one = make_file(tmp_path / "one.skops", {"n_threads": "one"})
    two = make_file(tmp_path / "two.skops", {"n_threads": ["two"]})
    assert skops_file.digest(one) != skops_file.digest(two)


@pytest.mark.parametrize(
    "make", [lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, xgboost.XGBClassifier, xgboost.XGBRFRegressor]
)
def test_boosters_are_stored_and_predict_the_same(tmp_path: Path, make: Callable[..., Any]) -> None:
    features, labels = random_rows()
    model = make(n_estimators=5).fit(features, labels)
    path = tmp_path / "model.skops"
    skops_file.save(model, path)
    found = skops_file.load(path, skops_file.digest(path))
    assert np.array_equal(found.predict(features), model.predict(features))


def test_what_cannot_be_stored_is_refused_by_name_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    with pytest.raises(UntrustedModel, match=r"the model holds posixpath\.join, which cannot be stored"):
        skops_file.save(FunctionTransformer(os.path.join), path)
    with pytest.raises(UntrustedModel, match="cannot be stored: "):
        skops_file.save(FunctionTransformer(kw_args={"lines": iter([1])}), path)
    assert not path.exists()


def test_a_model_of_a_library_that_is_not_here_says_so(tmp_path: Path) -> None:
    path = make_file(tmp_path / "model.skops")
    absent = rewrite(
        path,
        lambda members: members.update(
            {
                "schema.json": members["schema.json"]
                .replace(b'"sklearn.linear_model._logistic"', b'"lightgbm.absent"')
                .replace(b'"LogisticRegression"', b'"Booster"')
            }
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skops_file, "_TRUSTED", (*skops_file._TRUSTED, "lightgbm.absent.Booster"))
        with pytest.raises(
            UntrustedModel, match=r"needs what is not installed here: No module named 'lightgbm\.absent'"
        ):
            skops_file.load(absent, skops_file.digest(absent))


def test_what_unfolds_into_more_than_its_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    plain = make_file(tmp_path / "plain.skops", np.zeros(4_000_000))
    with zipfile.ZipFile(plain) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    bomb, overlapping = tmp_path / "bomb.skops", tmp_path / "overlapping.skops"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert bomb.stat().st_size < 100_000
    with zipfile.ZipFile(overlapping, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        # Two entries of the directory for the same bytes, the large ones.
        archive.filelist.append(archive.filelist[0])
    for path, problem in ((bomb, "is compressed"), (overlapping, "claims to hold more than its")):
        tracemalloc.start()
        with pytest.raises(DigestMismatch, match=problem):
            skops_file.digest(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 20


def test_a_digest_takes_little_memory(tmp_path: Path) -> None:
    path = make_file(tmp_path / "large.skops", np.zeros(4_000_000))
    tracemalloc.start()
    skops_file.digest(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20 < path.stat().st_size
