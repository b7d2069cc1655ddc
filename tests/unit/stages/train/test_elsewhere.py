from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.spec.gates import Gates
from airflow_mlops.exceptions import ModelNotFound, ModelRefused, NotEnoughData, NotReproduced, SchemaMismatch
from airflow_mlops.learning.models import models
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.train import elsewhere as stage
from airflow_mlops.stages.train.split import split_of
from airflow_mlops.stores import retention
from airflow_mlops.stores.registry import elsewhere, registry
from foreign_models import fitted, frame_of, register, save
from history import MODEL, ROWS, History, rows_of

pytestmark = pytest.mark.slow  # fits, and processes that load

QUESTION = Question(target="late", task="classification", metric="roc_auc")
UNTIL = {"trained_until": "2013-01"}


@pytest.fixture
def history(tmp_path: Path) -> History:
    history = History(tmp_path)
    history.publish("2013-01")
    history.publish("2013-02")
    return history


def foreign(history: History, number: str) -> elsewhere.ForeignVersion:
    return elsewhere.version(history.client, "notebook", number)


def taken(history: History, number: str, key: str = "a", **changes: Any) -> Any:
    dataset = changes.pop("dataset", None) or history.publish("2013-02")
    intake = {"model": MODEL, "question": QUESTION, "trust": "pickle"} | changes.pop("intake", {})
    arguments: dict[str, Any] = {
        "client": history.client, "dataset": dataset, "split": split_of(dataset, 1, "all", timedelta(0)), "key": key, "tags": {},
    }  # fmt: skip
    return stage.take_in(stage.Intake(**intake), foreign(history, number), **arguments | changes)


@pytest.fixture
def number(history: History) -> str:
    model = fitted(rows_of("2013-01"))
    return register(history.client, save(model, history.folder / "one", "cloudpickle"), tags=UNTIL)


def test_a_version_of_a_notebook_becomes_one_that_everything_here_can_work_with(
    history: History, number: str
) -> None:
    trained = taken(history, number)
    assert (trained.version, trained.candidate, trained.score) == ("1", "notebook 1", None)
    assert (trained.origin.model, trained.origin.version, trained.origin.source) == ("notebook", "1", "tag")
    assert taken(history, number) == trained  # the same key
    ref = registry.version(history.client, MODEL, "1")
    assert (ref.digest, ref.trained_through) == (trained.digest, "2013-01")
    expected = fitted(rows_of("2013-01")).predict_proba(frame_of(ROWS))[:, 1]
    loaded = models.load_version(history.client, ref)
    assert models.predict(loaded, ROWS, "classification") == pytest.approx(expected, abs=1e-12)
    evaluation = evaluate.evaluate_candidates(
        [trained],
        client=history.client,
        dataset=trained.dataset,
        champion=None,
        gates=Gates(),
        pictures=False,
    )
    assert evaluation.verdict is Verdict.PASS, evaluation.reason
    checks = {check.name: check for check in evaluation.checks}
    assert checks["blessing"].n == 200
    assert "trained elsewhere, on rows that nobody here knows: before 2013-02-01 00:00, as its tag" in (
        checks["leakage.rows"].reason
    )
    with pytest.raises(
        NotReproduced, match="was trained elsewhere, as notebook/1, and cannot be trained again"
    ):
        reproduce.reproduce(history.client, MODEL, "1")
    named = f"version 1 of {MODEL!r}"
    assert list(retention.learned_from(history.client, history.uri("data"))) == [named]
    assert retention.keeping_rows(history.client, [named]) == {}
    neighbours = "sklearn.neighbors._classification.KNeighborsClassifier"
    history.client.set_model_version_tag(MODEL, "1", elsewhere.ESTIMATORS, json.dumps([neighbours]))
    assert retention.keeping_rows(history.client, [named]) == {named: neighbours}


def test_versions_of_ours_are_not_those_of_others(history: History, number: str) -> None:
    taken(history, number)
    history.client.create_model_version("notebook", "file:///nowhere", tags={"mlops.digest": "f" * 64})
    newest = elsewhere.newest(history.client, "notebook")
    assert newest is not None
    assert newest.number == number
    assert elsewhere.newest(history.client, MODEL) is None
    assert elsewhere.taken_in(history.client, MODEL, newest) == {"1"}
    assert not elsewhere.is_foreign(history.client, MODEL, "1")
    with pytest.raises(ModelRefused, match="was registered by airflow-mlops itself"):
        elsewhere.version(history.client, MODEL, "1")


def test_a_version_of_a_model_that_was_registered_again_was_not_judged_yet(
    history: History, number: str
) -> None:
    taken(history, number)
    first = foreign(history, number)
    assert elsewhere.taken_in(history.client, MODEL, first) == {"1"}
    history.client.delete_registered_model("notebook")
    again = register(history.client, save(fitted(rows_of("2013-02")), history.folder / "again"), tags=UNTIL)
    second = foreign(history, again)
    assert (second.origin, elsewhere.taken_in(history.client, MODEL, second)) == (first.origin, set())
    assert taken(history, again).version == "2"
    assert elsewhere.taken_in(history.client, MODEL, second) == {"2"}


def test_a_pickle_is_not_even_fetched_unless_the_spec_says_so(history: History, number: str) -> None:
    with pytest.raises(
        ModelRefused, match=r"version 1 of 'notebook' is stored as cloudpickle.*trust: pickle"
    ):
        taken(history, number, intake={"trust": "skops"})
    skops = register(history.client, save(fitted(rows_of("2013-01")), history.folder / "two"), tags=UNTIL)
    assert taken(history, skops, intake={"trust": "skops"}).origin.format == "skops"


def test_code_in_a_pickle_runs_without_the_settings_of_the_worker(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgresql://anna:secret@db/x")
    folder = save(fitted(rows_of("2013-01")), history.folder / "evil", "pickle")
    told = history.folder / "told"
    code = f"__import__('pathlib').Path({str(told)!r}).write_text(str(dict(__import__('os').environ)))"
    (folder / "model.pkl").write_bytes(f"cbuiltins\nexec\n(S{code!r}\ntR.".encode())
    number = register(history.client, folder, tags=UNTIL)
    with pytest.raises(ModelRefused, match="it is a NoneType, and no estimator"):
        taken(history, number)
    assert "PATH" in told.read_text()
    assert "secret" not in told.read_text()
    assert registry.alias_version(history.client, MODEL, "champion") is None
    assert elsewhere.taken_in(history.client, MODEL, foreign(history, number)) == set()


def test_what_it_may_have_learned_from_is_not_judged(history: History) -> None:
    folder = save(fitted(rows_of("2013-01")), history.folder / "one")
    until = register(history.client, folder, tags={"trained_until": "2013-02-14"})
    trained = taken(history, until)
    assert f"{trained.split.cut:%Y-%m-%d}" == "2013-02-15"
    said_nothing = register(history.client, folder)
    with pytest.raises(NotEnoughData, match="0 of the holdout.*are later.*trained_until"):
        taken(history, said_nothing, "b")


def test_labels_that_a_model_does_not_know_are_told(history: History) -> None:
    labels = ["yes" if late else "no" for late in rows_of("2013-01")["late"].to_pylist()]
    folder = save(fitted(rows_of("2013-01"), labels=labels), history.folder / "named")
    with pytest.raises(SchemaMismatch, match="tells apart no, yes, and 'late' of the data is also 0, 1"):
        taken(history, register(history.client, folder, tags=UNTIL))


def test_a_version_without_files_is_told(history: History, number: str) -> None:
    (history.folder / "one" / "model.pkl").unlink()
    with pytest.raises(
        ModelNotFound, match=r"Version 1 of 'notebook' has no file model.pkl at file://.*log the model again"
    ):
        taken(history, number)
