from __future__ import annotations

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.local.decisions import PartitionStory, sentences
from notices import make_check, make_decision, make_health, make_warning


def test_a_story_tells_what_was_wrong_and_ends_with_the_decision() -> None:
    gates = (make_check("versus_champion.roc_auc", observed=0.71, baseline=0.69),)
    decision = make_decision(Action.PROMOTED, checks=gates)
    story = PartitionStory("2013-06", 988, make_warning(), make_health(Verdict.FAIL), decision)
    assert list(sentences(story)) == [
        "Data: 12 rows set aside.",
        "Drift: drift it is.",
        "Promoted version 5, roc_auc 0.71 against 0.69.",
    ]


def test_of_a_partition_where_all_went_well_only_the_decision_is_told() -> None:
    decision = make_decision(Action.KEPT, after="3", reason="no rule asks for it.")
    story = PartitionStory("2013-06", 1000, None, make_health(Verdict.PASS), decision)
    assert list(sentences(story)) == ["Not trained: no rule asks for it."]
