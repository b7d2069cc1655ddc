from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import ModelRef, TrainedModel
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import Budget, Candidate, Features
from airflow_mlops.exceptions import DigestMismatch, NotEnoughData, TrainingFailed, UntrustedModel
from airflow_mlops.learning.bless.sample import PREDICTION, SAMPLE
from airflow_mlops.learning.models import models, skops_file
from airflow_mlops.stages.train import curve, fitting, train, trials
from airflow_mlops.stages.train.recipe import derive_features
from airflow_mlops.stages.train.split import place_bounds
from airflow_mlops.stores.registry import registration, registry, tracking
from killed_training import MODEL, TRIALS, search
from synthetic import (
    BOOSTING,
    FEATURES,
    LOGISTIC,
    make_client,
    make_dataset,
    make_recipe,
    make_rows,
    make_split,
    make_trained,
)

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

AGAIN = """
import json, sys
from pathlib import Path
import numpy as np
from airflow_mlops.learning.models import skops_file
from airflow_mlops.stages.train import train
from synthetic import BOOSTING, LOGISTIC, make_recipe, make_rows

rows = make_rows()
turned = rows.take(np.random.default_rng(9).permutation(rows.num_rows))
digests = []
for candidate in (LOGISTIC, BOOSTING):
    path = Path(sys.argv[1], candidate.name)
    skops_file.save(train.fit(turned, make_recipe(rows, candidate=candidate), {}), path)
    digests.append(skops_file.digest(path))
print(json.dumps(digests))
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


def versions(client: Any, model: str) -> list[Any]:
    return list(client.search_model_versions(f"name = '{model}'"))


def runs(client: Any, model: str) -> list[Any]:
    return list(client.search_runs([client.get_experiment_by_name(model).experiment_id]))


def changed(rows: pa.Table, name: str, values: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)


def ref_of(trained: TrainedModel) -> ModelRef:
    return ModelRef(
        model=trained.model, version=trained.version, digest=trained.digest, run_id=trained.run_id
    )


def digest_of(model: Any, path: Path) -> str:
    skops_file.save(model, path)
    return skops_file.digest(path)


def fitted(rows: pa.Table, folder: Path, **changes: Any) -> str:
    """Return the digest of what a training on the rows would register."""
    return digest_of(train.fit(rows, make_recipe(rows, **changes), {}), folder / "model.skops")


def at(month: int, day: int = 1) -> datetime:
    return datetime(2013, month, day, tzinfo=UTC)


def test_a_holdout_of_partitions_begins_with_the_first_of_them() -> None:
    rows = make_rows(months=3)
    split = make_split(rows)
    assert (split.cut, split.end) == (at(2), at(3))
    assert split.start == rows["departure"][0].as_py()
    before = pc.sum(pc.less(rows["departure"], at(2))).as_py()
    within = pc.sum(pc.less(rows["departure"], at(3))).as_py() - before
    assert (split.train_rows, split.holdout_rows) == (before, within)


def test_a_holdout_of_a_share_has_about_that_share_of_rows() -> None:
    split = make_split(make_rows(), holdout=0.25)
    total = split.train_rows + split.holdout_rows
    assert split.holdout_rows == pytest.approx(0.25 * total, abs=1)


def test_rows_of_one_time_are_never_torn_apart() -> None:
    times = pa.chunked_array(
        [pa.array([at(1, 5)] * 60 + [at(1, 20)] * 60 + [at(2, 2)] * 10, pa.timestamp("us", "UTC"))]
    )
    split = make_split(pa.table({"departure": times}), holdout=0.2)
    assert (split.cut, split.train_rows, split.holdout_rows) == (at(1, 20), 60, 70)


def test_labels_that_have_not_matured_are_left_out() -> None:
    rows = make_rows()
    split, ripe = make_split(rows, delay=timedelta(days=7)), make_split(rows)
    assert split.end == at(2, 22)
    assert (split.train_rows, split.holdout_rows < ripe.holdout_rows) == (ripe.train_rows, True)


def test_a_window_of_partitions_begins_with_the_first_of_them() -> None:
    assert make_split(make_rows(), window=1).start == at(1)
    assert make_split(make_rows(months=3), window=1).start == at(1)
    assert make_split(make_rows(), window=1, holdout=0.3).start == at(2)


def test_the_holdout_is_the_latest_partition_with_mature_labels() -> None:
    # As of the end of February, labels that take 40 days are known up to the middle of January.
    times = [at(1) - timedelta(days=5)] * 60 + [at(1, 5)] * 60 + [at(2, 5)] * 60
    split = make_split(pa.table({"departure": times}), delay=timedelta(days=40), window=1)
    assert (split.cut, split.train_rows, split.holdout_rows) == (at(1), 60, 60)


@pytest.mark.parametrize(("count", "changes"), [(0, {}), (60, {}), (1000, {"delay": timedelta(days=40)})])
def test_too_few_rows_on_either_side_are_told_with_their_counts(count: int, changes: dict[str, Any]) -> None:
    with pytest.raises(NotEnoughData, match=r"\d+ rows to train on .* \d+ held out .* needs 50"):
        make_split(make_rows(count), **changes)


@pytest.mark.parametrize(
    ("months", "holdout", "changes", "says"),
    [
        (
            1,
            1,
            {},
            "last 1 partition to judge on, of the 1 partition with known labels, 2013-01; 1 more is needed",
        ),
        (
            2,
            3,
            {},
            "last 3 partitions to judge on, of the 2 partitions with known labels, 2013-01 to 2013-02; 2 more are",
        ),
        (
            1,
            1,
            {"delay": timedelta(days=40)},
            "of the 0 partitions with known labels, which take 40 days (labels.delay); 2 more are needed",
        ),
    ],
)
def test_where_partitions_are_missing_it_is_told_how_many(
    months: int, holdout: int, changes: dict[str, Any], says: str
) -> None:
    rows = pa.table({"departure": [at(month, 5) for month in range(1, months + 1)] * 60})
    partition = Partition.parse(f"2013-{months:02}", "month")
    with pytest.raises(NotEnoughData, match=re.escape(says)):
        place_bounds(
            rows["departure"],
            holdout=holdout,
            partition=partition,
            window="all",
            **{"delay": timedelta(), **changes},
        )


def test_features_are_derived_from_the_types_of_columns() -> None:
    features = derive_features(make_dataset(make_rows()), "late")
    assert (features.numeric, features.categorical) == (("distance", "wind", "delay"), ("carrier", "origin"))
    assert features.dates == ()


def test_times_other_than_the_event_time_are_derived_as_dates() -> None:
    rows = make_rows()
    dated = rows.append_column("booked", rows["departure"]).append_column(
        "day", rows["departure"].cast(pa.date32())
    )
    assert derive_features(make_dataset(dated), "late").dates == ("booked", "day")


def test_the_same_data_spec_and_seed_give_the_same_model_in_another_process(tmp_path: Path) -> None:
    tests = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(tests), "PYTHONHASHSEED": "77"}
    again = subprocess.run(
        [sys.executable, "-c", AGAIN, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    ours = [fitted(make_rows(), tmp_path, candidate=candidate) for candidate in (LOGISTIC, BOOSTING)]
    assert json.loads(again.stdout.splitlines()[-1]) == ours


def test_another_seed_or_other_data_give_another_digest(tmp_path: Path) -> None:
    rows = make_rows()
    digests = {
        fitted(rows, tmp_path),
        fitted(rows, tmp_path, seed=1),
        fitted(make_rows(signal=1.9), tmp_path),
    }
    assert len(digests) == 3


def test_only_rows_before_the_cut_are_learnt_from(tmp_path: Path) -> None:
    rows = make_rows()
    late = pc.xor(rows["late"], pc.greater_equal(rows["departure"], at(2)))
    assert fitted(rows, tmp_path) == fitted(changed(rows, "late", late), tmp_path)


def test_rows_without_a_label_are_dropped_and_told(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows = make_rows()
    gaps = pa.array(np.arange(rows.num_rows) % 5 == 0)
    unlabelled = changed(rows, "late", pc.if_else(gaps, pa.scalar(None, pa.bool_()), rows["late"]))
    trained = make_trained(client, unlabelled, "gaps", model="gaps")
    assert int(client.get_run(trained.run_id).data.params["train_rows"]) < trained.split.train_rows
    assert "training rows have no label" in caplog.text


def test_training_again_under_the_same_key_adopts_the_version_and_another_key_makes_another(
    client: Any,
) -> None:
    first = make_trained(client, make_rows(), "one's", model="adopted")
    assert make_trained(client, make_rows(), "one's", model="adopted") == first
    assert len(versions(client, "adopted")) == len(runs(client, "adopted")) == 1
    assert make_trained(client, make_rows(), 'the "other"', model="adopted").version == "2"


@pytest.mark.parametrize("after", ["register", "close"])
def test_a_training_that_is_cancelled_as_it_ends_leaves_no_version(
    client: Any, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    module, name = (registration, "register") if after == "register" else (tracking, "_close")
    called = getattr(module, name)

    def cancel(*given: Any, **named: Any) -> None:
        called(*given, **named)
        assert len(versions(client, after)) == 1
        monkeypatch.undo()
        raise SystemExit("cancelled")

    monkeypatch.setattr(module, name, cancel)
    with pytest.raises(SystemExit):
        make_trained(client, make_rows(), after, model=after, ranked=False)
    assert versions(client, after) == []
    assert [run.info.status for run in runs(client, after)] == ["KILLED"]


def test_a_table_with_far_more_columns_than_rows_is_trained_on_and_told_in_full(
    client: Any, tmp_path: Path
) -> None:
    few, random = make_rows(120), np.random.default_rng(0)
    names = tuple(f"{'long ' * 80}{number}" for number in range(250))  # more than a tag of MLflow takes
    rows = few
    for name in names:
        rows = rows.append_column(name, pa.array(random.normal(size=120)))
    wide: dict[str, Any] = {"model": "wide", "ranked": False, "features": Features(numeric=names)}
    trained = make_trained(client, rows, "wide", **wide)
    assert make_trained(client, rows, "wide", **wide) == trained
    assert registry.training(client, ref_of(trained)).features.numeric == names
    assert Recipe.model_validate_json(
        registry.tags(client, client.get_model_version("wide", "1"))["mlops.recipe"]
    ) == make_recipe(rows, **wide)
    client.log_text(trained.run_id, "{}", "tags/mlops.features.json")
    with pytest.raises(DigestMismatch, match="mlops.features of version 1 .* not what was registered"):
        registry.training(client, ref_of(trained))


def test_a_version_says_what_it_was_made_of(client: Any) -> None:
    trained = make_trained(client, make_rows(), "tags", model="told", tags={"airflow.run_id": "manual"})
    version, run = client.get_model_version("told", trained.version), client.get_run(trained.run_id)
    wanted = {
        "mlops.key": "tags", "mlops.digest": trained.digest, "mlops.candidate": "LogisticRegression",
        "mlops.partition": "2013-02", "mlops.dataset_uri": "file:///data/flights/data", "mlops.dataset_version": "3",
        "mlops.dataset_digest": "d" * 64, "mlops.task": "classification", "mlops.target": "late",
        "mlops.trained_through": "2013-01", "airflow.run_id": "manual",
    }  # fmt: skip
    assert {name: version.tags[name] for name in wanted} == wanted
    assert json.loads(version.tags["mlops.dataset"]) == make_dataset(make_rows()).to_dict()
    assert json.loads(version.tags["mlops.split"]) == trained.split.to_dict()
    assert registry.training(client, ref_of(trained)).features == FEATURES
    assert Recipe.model_validate_json(version.tags["mlops.recipe"]) == make_recipe(make_rows(), model="told")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["inner/roc_auc"] == trained.score
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 36


def test_the_sample_holds_the_predictions_of_the_training_process(client: Any, tmp_path: Path) -> None:
    trained = make_trained(client, make_rows(), "sample", model="sampled")
    sample = pq.read_table(client.download_artifacts(trained.run_id, SAMPLE, str(tmp_path)))
    predicted = models.predict(models.load_version(client, ref_of(trained)), sample, "classification")
    assert sample.num_rows == 200
    assert sample[PREDICTION].to_pylist() == predicted.tolist()


def test_a_regression_is_trained_on_values(client: Any) -> None:
    ridge = Candidate(estimator="sklearn.linear_model.Ridge", search={"alpha": [0.1, 1e6]})
    trained = make_trained(
        client,
        make_rows(),
        "ridge",
        model="delays",
        candidate=ridge,
        task="regression",
        target="delay",
        metric="rmse",
    )
    assert trained.params == {"alpha": 0.1}
    assert trained.score is not None
    assert 0 < trained.score < 15


def test_an_only_candidate_is_fitted_once_and_not_ranked(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    fit = fitting.fit
    monkeypatch.setattr(fitting, "fit", lambda *given: (fitted.append(1), fit(*given))[1])
    trained = make_trained(client, make_rows(), "only", model="only", ranked=False)
    assert (trained.score, len(fitted)) == (None, 1)
    assert "inner/roc_auc" not in client.get_run(trained.run_id).data.metrics


def test_a_search_is_ranked_even_if_nothing_else_is(client: Any) -> None:
    candidate = Candidate(estimator=LOGISTIC.estimator, search={"C": [0.001, 1.0]})
    trained = make_trained(
        client, make_rows(), "search", model="searched", candidate=candidate, ranked=False, folds=2
    )
    assert trained.score is not None
    assert (trained.params["C"] in (0.001, 1.0), trained.trials) == (True, 2)


def test_a_search_that_was_cut_short_is_kept_with_its_trials_and_its_recipe_is_the_same_search(
    client: Any,
) -> None:
    candidate = Candidate(estimator=LOGISTIC.estimator, search={"C": [0.001, 1.0, 10.0]})
    hasty = {"model": "cut", "candidate": candidate, "budget": Budget(seconds=1e-9)}
    trained = make_trained(client, make_rows(), "cut", **hasty)
    assert (trained.trials, client.get_run(trained.run_id).data.params["trials"]) == (1, "1")
    recipe = Recipe.model_validate_json(client.get_model_version("cut", "1").tags["mlops.recipe"])
    assert recipe == make_recipe(make_rows(), **hasty, searched=1)
    patient = recipe.model_copy(update={"budget": Budget()})
    again = train.train(make_rows(), client=client, recipe=patient, key="again", tags={}, pictures=False)
    assert (again.trials, again.params, again.digest) == (1, trained.params, trained.digest)


def test_a_fit_of_the_recipe_is_the_model_that_was_trained(client: Any, tmp_path: Path) -> None:
    candidate = Candidate(
        estimator=BOOSTING.estimator, params={"max_iter": 3}, search={"max_leaf_nodes": [4, 8]}
    )
    trained = make_trained(client, make_rows(), "fit", model="refitted", candidate=candidate)
    recipe = Recipe.model_validate_json(client.get_model_version("refitted", "1").tags["mlops.recipe"])
    again = train.fit(make_rows(), recipe, trained.params)
    assert digest_of(again, tmp_path / "model.skops") == trained.digest


def test_what_a_fit_warns_of_is_a_remark(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    hasty = Candidate(estimator=LOGISTIC.estimator, params={"max_iter": 1})
    trained = make_trained(client, make_rows(), "hasty", model="hasty", candidate=hasty)
    (remark,) = trained.remarks
    assert remark.startswith("lbfgs failed to converge")
    assert sum(remark[:40] in text for text in caplog.messages) == 2, (
        "once in the search, once in the last fit"
    )


def test_a_learning_curve_is_drawn_unless_nobody_wants_it(client: Any) -> None:
    train.train(make_rows(), client=client, recipe=make_recipe(make_rows(), model="drawn"), key="1", tags={})
    (run,) = runs(client, "drawn")
    drawn = [file.path for file in client.list_artifacts(run.info.run_id, "plots")]
    assert "plots/learning_curve.png" in drawn


def test_the_learning_curve_ends_with_the_score_that_the_search_has_measured_on_all_rows(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[float | None] = []
    original = curve.learning_curve

    def noted(fit: Any, data: Any, **settings: Any) -> Any:
        whole.append(settings.pop("whole"))
        drawn = original(fit, data, **settings)
        assert drawn is not None
        # Fitted to all of the rows, the curve's own last point is the same number.
        assert drawn.axes[0].lines[0].get_ydata()[-1] == pytest.approx(whole[-1])
        return drawn

    monkeypatch.setattr(curve, "learning_curve", noted)
    rows = make_rows()
    trained = train.train(
        rows, client=client, recipe=make_recipe(rows, model="whole", folds=2), key="1", tags={}
    )
    assert len(whole) == 1
    assert trained.score != whole[0], "the mean of two folds"


def test_a_picture_that_cannot_be_drawn_is_a_warning(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*given: Any, **named: Any) -> None:
        raise ZeroDivisionError("no room")

    monkeypatch.setattr(curve, "learning_curve", fail)
    train.train(make_rows(), client=client, recipe=make_recipe(make_rows(), model="blank"), key="1", tags={})
    assert len(versions(client, "blank")) == 1
    assert "ZeroDivisionError: no room" in caplog.text


@pytest.mark.slow
def test_a_search_whose_process_was_killed_is_taken_up_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = (tmp_path / name for name in ("broken", "whole"))
    for folder in (broken, whole):
        folder.mkdir()
    client = make_client(broken)
    killed = subprocess.run(
        [sys.executable, "-m", "killed_training", client.tracking_uri, "4"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    ended: list[trials.Trial] = []
    end = trials.Store.end
    monkeypatch.setattr(trials.Store, "end", lambda *given: (ended.append(given[2]), end(*given)))
    ours = search(client)
    assert len(ended) + 4 == TRIALS
    theirs = search(make_client(whole))
    assert (ours.digest, ours.params, ours.score, ours.trials) == (
        theirs.digest, theirs.params, theirs.score, TRIALS,
    )  # fmt: skip
    assert len(versions(client, MODEL)) == 1
    trained = [run for run in runs(client, MODEL) if trials.SEARCH not in run.data.tags]
    assert sorted(run.info.status for run in trained) == ["FINISHED", "KILLED"]
    below = [
        run.data.tags["mlflow.parentRunId"] for run in runs(client, MODEL) if trials.SEARCH in run.data.tags
    ]
    assert below == [ours.run_id] * TRIALS


def test_the_code_of_a_function_is_stored_with_the_model(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from sklearn.linear_model import Ridge\n"
        "from sklearn.compose import make_column_selector, make_column_transformer\n"
        "from sklearn.impute import SimpleImputer\n"
        "from sklearn.pipeline import make_pipeline\n"
        "def make(alpha=1.0):\n"
        "    numbers = make_column_transformer((SimpleImputer(), ['distance', 'wind']))\n"
        "    return make_pipeline(numbers, Ridge(alpha=alpha))\n"
    )
    (tmp_path / "ridges.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    ridge = Candidate(estimator="ridges:make", search={"alpha": [0.1, 1e6]})
    trained = make_trained(
        client,
        make_rows(),
        "function",
        model="coded",
        candidate=ridge,
        task="regression",
        target="delay",
        metric="rmse",
    )
    assert trained.params == {"alpha": 0.1}
    assert models.download(client, trained.run_id, tmp_path, "candidate.py").read_text() == code
    assert client.get_model_version("coded", "1").tags["mlops.function"].startswith("ridges:make@")


def test_a_failed_training_leaves_a_failed_run_and_no_version(client: Any) -> None:
    broken = Candidate(estimator="sklearn.linear_model.LogisticRegression", params={"C": -1})
    with pytest.raises(TrainingFailed, match=r"'LogisticRegression'.*'C' parameter.*-1"):
        make_trained(client, make_rows(), "broken", model="failed", candidate=broken)
    assert [run.info.status for run in runs(client, "failed")] == ["FAILED"]
    assert versions(client, "failed") == []


def test_a_model_of_untrusted_types_is_not_registered(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_estimators.py").write_text(
        "from sklearn.linear_model import LinearRegression\n"
        "class Own(LinearRegression): pass\n"
        "def make(): return Own()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = Candidate(estimator="own_estimators:make")
    with pytest.raises(UntrustedModel, match=r"own_estimators\.Own"):
        make_trained(
            client, make_rows(300), "own", model="untrusted", candidate=own, task="regression", target="delay",
            metric="rmse",
        )  # fmt: skip
    assert [run.info.status for run in runs(client, "untrusted")] == ["FAILED"]
    assert versions(client, "untrusted") == []


def test_labels_of_one_class_do_not_suffice(client: Any) -> None:
    rows = make_rows()
    with pytest.raises(NotEnoughData, match="have the label 1"):
        make_trained(
            client, changed(rows, "late", pa.array([True] * rows.num_rows)), "one class", model="one_class"
        )
