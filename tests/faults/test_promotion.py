"""I1, I2 and I4 on a real server: rivals, lost answers, kills, and a registry that is away or refuses."""

from __future__ import annotations

import itertools
from pathlib import Path
from threading import Event, Thread

import pytest
from mlflow import MlflowClient

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import RowKind
from faults import processes
from faults.conftest import BOTH, Stopped
from faults.proxy import Proxy
from faults.server import Server
from faults.stories import Story

pytestmark = pytest.mark.slow

RIVALS = 8
ALIAS = "POST registered-models/alias"
TAG = "POST model-versions/set-tag"
NUMBERS = itertools.count()


@pytest.fixture
def story(direct: MlflowClient, client: MlflowClient, tmp_path: Path) -> Story:
    return Story(direct, f"flights_{next(NUMBERS)}", tmp_path)


class Reader:
    """Reads the champion again and again, as scoring does."""

    def __init__(self, server: Server, model: str) -> None:
        self.seen: list[str | None] = []
        self._client = MlflowClient(server.uri, server.uri)
        self._model = model
        self._stop = Event()
        self._thread = Thread(target=self._read, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _read(self) -> None:
        while not self._stop.is_set():
            self.seen.append(registry.champion_version(self._client, self._model))
            self._stop.wait(0.02)


@pytest.mark.parametrize(
    ("server", "crowned"),
    [pytest.param("sqlite", True, marks=pytest.mark.thorough), ("sqlite", False), ("postgresql", True)],
    ids=["sqlite with a champion", "sqlite for the first time", "postgresql with a champion"],
    indirect=["server"],
)
def test_of_eight_processes_that_promote_at_once_exactly_one_wins_and_no_reader_sees_a_gap(
    server: Server, story: Story, crowned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in tasks: of so many at a time SQLite turns some away, who have to come again.
    for name in ("MAX_RETRIES", "BACKOFF_FACTOR", "BACKOFF_JITTER"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "3" if name == "MAX_RETRIES" else "1")
    champion = story.one if crowned else None
    if crowned:
        story.crown(story.one)
    candidates = [story.twin(f"twin {number}") for number in range(RIVALS)]
    jobs = [
        (server.uri, story.ledger, story.judged(each, champion).model_dump_json(), f"run-{each.version}")
        for each in candidates
    ]
    with Reader(server, story.model) as reader:
        with processes.started(processes.promote, RIVALS, *jobs) as rivals:
            answers = [rival.answer() for rival in rivals]
        last = len(reader.seen)
    assert sorted(answers) == sorted(["promoted", *["PromotionConflict"] * (RIVALS - 1)])
    won = candidates[answers.index("promoted")].version
    assert story.champion == won
    moved = ledger.moves(story.ledger)[-1]
    assert (moved.key, moved.before, moved.after) == (
        f"run-{won}",
        champion.version if champion else None,
        won,
    )
    assert len(ledger.moves(story.ledger)) == 1 + crowned
    # Each version that was seen was seen in one piece: first the former one, then the new one, and nothing between.
    assert [seen for seen, _ in itertools.groupby(reader.seen)] == [
        champion.version if champion else None,
        won,
    ]
    assert last > RIVALS


def test_a_move_whose_every_answer_is_lost_once_is_one_move(
    story: Story, client: MlflowClient, proxy: Proxy
) -> None:
    two = story.twin("two")
    proxy.lossy = True
    assert story.promote(client, two).action is Action.PROMOTED
    assert (story.champion, story.kinds) == (two.version, [RowKind.INTENT, RowKind.DONE])
    assert proxy.count(ALIAS) == proxy.count(TAG) == 2
    assert story.promote(client, two).action is Action.PROMOTED
    assert proxy.count(ALIAS) == 2


@pytest.mark.parametrize("call", [ALIAS, TAG])
def test_a_move_whose_answers_are_all_lost_is_finished_by_its_retry(
    story: Story, client: MlflowClient, proxy: Proxy, call: str
) -> None:
    story.crown(story.one)
    two = story.twin("two")
    proxy.drop(call, times=2)
    with pytest.raises(RegistryUnavailable):
        story.promote(client, two, story.one)
    assert (story.champion, story.kinds[2:]) == (two.version, [RowKind.INTENT])
    assert story.promote(client, two, story.one).before == story.one.version
    assert (story.champion, story.kinds[2:]) == (two.version, [RowKind.INTENT, RowKind.DONE])
    assert proxy.count(ALIAS) == 1 + (call == ALIAS)


@pytest.mark.parametrize(
    ("server", "call", "after", "moved"),
    [
        ("sqlite", ALIAS, False, False), ("sqlite", ALIAS, True, True), ("sqlite", TAG, True, True),
        ("postgresql", ALIAS, True, True),
    ],
    ids=["at its intent", "after the alias", "before it is done", "after the alias on postgresql"],
    indirect=["server"],
)  # fmt: skip
def test_a_promotion_that_is_killed_is_finished_by_its_retry(
    story: Story, client: MlflowClient, proxy: Proxy, call: str, after: bool, moved: bool
) -> None:
    story.crown(story.one)
    two = story.twin("two")
    job = (proxy.uri, story.ledger, story.judged(two, story.one).model_dump_json(), "run")
    victims: list[processes.Process] = []
    (proxy.after if after else proxy.before)(call, lambda: victims[0].kill())
    with processes.started(processes.promote, 1, job) as [victim]:
        victims.append(victim)
        assert victim.ended() == -9
    # What a killed process has sent before it died may still be carried out.
    assert story.kinds[2:] == [RowKind.INTENT]
    assert story.champion == two.version if moved else story.champion in (story.one.version, two.version)
    assert story.promote(client, two, story.one).action is Action.PROMOTED
    assert (story.champion, story.kinds[2:]) == (two.version, [RowKind.INTENT, RowKind.DONE])
    assert len(ledger.moves(story.ledger)) == 2


def test_a_server_that_is_stopped_during_any_call_of_a_promotion_fails_it_and_the_retry_succeeds(
    story: Story, client: MlflowClient, proxy: Proxy, stopped: Stopped
) -> None:
    story.promote(client, story.one, key="first")
    # The first download asks the server once what it can do, and does without an answer.
    calls = [call for call in proxy.kinds() if not call.endswith("server-info")]
    assert {ALIAS, TAG, "GET registered-models/get"} <= set(calls)
    champion = story.one
    for call in calls:
        candidate = story.twin(call)
        with stopped(call), pytest.raises(RegistryUnavailable) as failed:
            story.promote(client, candidate, champion, key=call)
        # Of a download that failed MLflow keeps no more than the text.
        assert failed.value.silent or call.endswith("model.skops"), call
        assert story.promote(client, candidate, champion, key=call).action is Action.PROMOTED
        champion = candidate
        assert (story.champion, story.kinds[-1]) == (champion.version, RowKind.DONE), call
    assert [row.key for row in ledger.moves(story.ledger)] == ["first", *calls]


@BOTH
def test_a_registry_that_only_reads_moves_nothing_and_the_retry_does_once_it_writes(
    server: Server, story: Story, client: MlflowClient, proxy: Proxy
) -> None:
    story.crown(story.one)
    two = story.twin("two")
    with server.read_only():
        with pytest.raises(RegistryUnavailable, match="(?i)read-?only") as failed:
            story.promote(client, two, story.one)
        assert not failed.value.silent
        assert (story.champion, story.kinds[2:]) == (story.one.version, [RowKind.INTENT])
    assert story.promote(client, two, story.one).action is Action.PROMOTED
    assert (story.champion, story.kinds[2:]) == (two.version, [RowKind.INTENT, RowKind.DONE])


def test_a_registry_that_lets_nobody_write_moves_nothing(
    story: Story, client: MlflowClient, proxy: Proxy
) -> None:
    story.crown(story.one)
    proxy.refuse(ALIAS, 403, times=1)
    with pytest.raises(RegistryUnavailable, match="403"):
        story.promote(client, story.twin("two"), story.one)
    assert (story.champion, story.kinds[2:]) == (story.one.version, [RowKind.INTENT])


def test_a_version_that_is_pending_is_neither_promoted_nor_scored_with(
    server: Server, story: Story, client: MlflowClient
) -> None:
    two = story.twin("two")
    server.execute(
        "update model_versions set status = 'PENDING_REGISTRATION' where name = :name and version = :version",
        name=story.model,
        version=int(two.version),
    )
    with pytest.raises(ModelNotFound, match="Version 2 .* is PENDING_REGISTRATION, not READY"):
        story.promote(client, two)
    assert (story.champion, story.kinds) == (None, [])
    registry.set_champion(client, story.model, two.version)
    with pytest.raises(ModelNotFound, match="is PENDING_REGISTRATION, not READY"):
        registry.version(client, story.model, two.version)
