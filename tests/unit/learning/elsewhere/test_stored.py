from __future__ import annotations

import pytest
import sklearn
import yaml

from airflow_mlops.exceptions import ModelRefused
from airflow_mlops.learning.elsewhere import stored

NAME = "version 3 of 'notebook'"


def described(**changes: object) -> str:
    flavor = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle", "sklearn_version": "1.9.1"}
    facts = {"flavors": {"python_function": {}, "sklearn": flavor | changes}}
    return yaml.safe_dump(facts | {"signature": {"inputs": '[{"type": "double", "name": "wind"}]'}})


def test_file_format_and_columns_are_read() -> None:
    assert stored.read(described(), NAME) == ("model.pkl", "cloudpickle", "1.9.1", ("wind",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("flavors: [", "MLmodel of version 3 of 'notebook' cannot be read"),
        ("a: 1", "cannot be read"),
        (yaml.safe_dump({"flavors": {"pytorch": {}, "python_function": {}}}), "stored as python_function, pytorch; .*log_model"),
        (described(pickled_model="../../model.pkl"), r"in \.\./\.\./model.pkl, which cannot be read"),
        (described(serialization_format="joblib"), "stored as joblib in model.pkl, which cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_model_of_scikit_learn_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ModelRefused, match=problem):
        stored.read(text, NAME)


def test_a_signature_without_names_names_no_columns() -> None:
    text = yaml.safe_dump(
        yaml.safe_load(described()) | {"signature": {"inputs": '[{"type": "tensor", "tensor-spec": {}}]'}}
    )
    assert stored.read(text, NAME).columns == ()


def test_a_pickle_needs_the_words_of_the_spec_and_the_error_says_what_it_risks() -> None:
    pickled = stored.read(described(sklearn_version=sklearn.__version__), NAME)
    with pytest.raises(
        ModelRefused, match="whoever loads model.pkl runs whatever code is in it.*trust: pickle"
    ):
        stored.refuse(pickled, NAME, "skops")
    stored.refuse(pickled, NAME, "pickle")
    stored.refuse(pickled._replace(format="skops"), NAME, "skops")


def test_another_scikit_learn_is_refused_with_both_versions() -> None:
    other = stored.read(described(sklearn_version="1.2.0"), NAME)._replace(format="skops")
    with pytest.raises(ModelRefused, match=f"scikit-learn 1.2.0, and {sklearn.__version__} is installed"):
        stored.refuse(other, NAME, "skops")
