"""One Airflow for all stories: to start one takes half a minute, so each file brings its DAGs to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployment import Deployment, deployed


# It ends with the last story, so as not to take a processor from all tests after them.
@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment")) as found:
        yield found
