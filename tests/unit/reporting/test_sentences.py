from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.approval import ApprovalOutcome
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.reporting import sentences
from notices import (
    make_answer,
    make_candidate,
    make_check,
    make_decision,
    make_health,
    make_report,
    make_version,
)

BETTER = make_check("versus_champion.roc_auc", observed=0.71234, baseline=0.69)

AGAIN = make_check("again")


@pytest.mark.parametrize(
    ("action", "changes", "sentence"),
    [
        ("promoted", {"checks": (BETTER,)}, "promoted version 5, roc_auc 0.7123 against 0.69"),
        ("promoted", {"before": None, "checks": (make_check("versus_champion.roc_auc", observed=0.66),)},
         "promoted version 5 as the first champion, roc_auc 0.66"),
        ("promoted", {"approval": ApprovalOutcome(answers=(make_answer(),), overridden=True)},
         "promoted version 5, although its gates were not passed"),
        ("refused", {"candidate": "5", "after": "3"}, "refused version 5: why"),
        ("refused", {"candidate": "5", "after": "3", "checks": (AGAIN,)},
         "judged version 5 again, not promoted: why"),
        ("promoted", {"checks": (BETTER, AGAIN)},
         "promoted version 5, judged again, roc_auc 0.7123 against 0.69"),
        ("promoted", {"checks": (make_check("rescue", observed=0.7, baseline=0.5),)},
         "promoted version 5, the better bet than a failing champion, 0.7 against 0.5"),
        ("promoted", {"checks": (make_check("rescue.fallback", observed=0.69, baseline=1.2),)},
         "promoted version 5, a constant in place of a failing champion, 0.69 against 1.2"),
        ("kept", {"after": "3", "reason": "no rule asks for it:\n drift: fine."},
         "not trained: no rule asks for it: drift: fine"),
        ("kept", {"after": "3", "candidate": "3"}, "kept version 3: why"),
        ("failed", {"reason": ""}, "failed"),
        ("rolled back", {"before": "5", "after": "3"}, "rolled back to version 3: why"),
        ("restored", {"after": "3"}, "put the champion back to version 3: why"),
        ("challenging", {"candidate": "5", "after": "3"}, "version 5 is on trial: why"),
        ("dropped", {"candidate": "5", "after": "3"}, "dropped the challenger, version 5: why"),
        ("adopted", {}, "adopted version 5: why"),
        ("recorded", {"candidate": "5", "after": "3"}, "judged version 5 for the record: why"),
        ("beside", {}, "beside: why"),
    ],
)  # fmt: skip
def test_a_decision_is_one_sentence_that_begins_with_what_happened(
    action: str, changes: dict[str, Any], sentence: str
) -> None:
    assert sentences.decided(make_decision(Action(action), **changes)) == sentence


def test_what_is_judged_again_is_said_not_to_be_trained() -> None:
    check = make_check("retrain.again", Verdict.FAIL, reason="by a hair")
    decision = RetrainDecision(
        model="flights", partition="2013-06", retrain=False, checks=(check,), dataset=make_version(), reason="by a hair", version="5"
    )  # fmt: skip
    assert sentences.trains(decision, asks=False) == "judges version 5 again, without a training: by a hair"
    assert "nothing is trained: " in sentences.handed_out(make_candidate())
    assert sentences.judged(make_check("again")).startswith("judged again ✓ PASS")


def test_of_a_champion_that_is_not_well_it_is_said_what_says_so() -> None:
    assert sentences.well(make_health()) == "health ✗ FAIL: drift: drift it is"
    assert sentences.well(make_health(Verdict.PASS, reason="all is well")) == "health ✓ PASS: all is well"


def test_a_partition_that_is_not_as_expected_is_said_to_go_no_further() -> None:
    assert sentences.validated(make_report()) == "✗ FAIL, not published: distance is below 0 in 12 rows"


def test_rows_that_were_set_aside_are_counted_with_those_that_were_published() -> None:
    assert sentences.stored(make_version(), "published", 12) == (
        "published 1,000 rows × 1 column as version 7; 12 set aside"
    )
    assert sentences.stored(make_version(changed=False), "published") == (
        "unchanged, version 7 has the same 1,000 rows × 1 column"
    )


def test_a_check_of_a_part_of_the_data_names_the_part() -> None:
    check = make_check("floor.roc_auc", Verdict.FAIL, slice="origin = JFK", reason="0.5 is not >= 0.6")
    assert sentences.judged(check) == "floor.roc_auc of origin = JFK ✗ FAIL: 0.5 is not >= 0.6"


def test_a_candidate_says_how_it_was_ranked_and_what_it_learned_from() -> None:
    assert sentences.trained(make_candidate()) == (
        "LogisticRegression is version 5: roc_auc 0.71 on inner validation rows, 81,234 rows before 2013-04-01, fitted in 3.0 s"
    )
    assert sentences.trained(make_candidate(score=None)).startswith(
        "LogisticRegression is version 5: not ranked, "
    )
