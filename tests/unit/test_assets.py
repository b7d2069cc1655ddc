from __future__ import annotations

from airflow.sdk import Asset, BaseOperator

from airflow_mlops import assets
from airflow_mlops.domain.facts.results import PromotionDecision
from contexts import Run
from history import make_decision


def emit(run: Run, outlets: list[Asset], asset: Asset) -> None:
    task = BaseOperator(task_id="task", dag=run.dag, outlets=outlets)
    assets.emit(run.context(task), asset, decision=make_decision("2013-01"), report=None)


def test_each_stage_of_a_model_has_an_asset_of_its_own() -> None:
    stages = (assets.data, assets.predictions, assets.health, assets.champion)
    found = [stage(model) for model in ("flights", "parcels") for stage in stages]
    assert len({asset.name for asset in found}) == len({asset.uri for asset in found}) == 8
    assert assets.data("flights") == assets.data("flights")
    assert (assets.data("flights").name, assets.data("flights").uri) == (
        "flights/data",
        "mlops://flights/data",
    )


def test_facts_travel_in_the_event_under_one_key_and_are_read_back() -> None:
    run, asset = Run(), assets.champion("flights")
    emit(run, [assets.champion("flights")], asset)
    facts = run.facts(asset)
    assert list(facts) == ["decision"]
    assert PromotionDecision.from_dict(facts["decision"]) == make_decision("2013-01")


def test_a_task_without_the_outlet_emits_nothing() -> None:
    run = Run()
    emit(run, [assets.data("flights")], assets.champion("flights"))
    assert len(run.outlet_events) == 0
