from __future__ import annotations

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.policies.incidents import Incident, lasting, of_signal
from airflow_mlops.domain.spec.model import KofN

VERDICTS = {"p": Verdict.PASS, "F": Verdict.FAIL, "?": Verdict.INCONCLUSIVE}


def found(verdicts: str, rule: KofN, clear: int = 1) -> list[Incident]:
    """Find incidents in verdicts of partitions 01, 02 …, one letter each."""
    series = [(f"{number:02}", VERDICTS[each]) for number, each in enumerate(verdicts, start=1)]
    return of_signal("drift", series, rule, clear)


@pytest.mark.parametrize(
    ("verdicts", "rule", "clear", "expected"),
    [
        ("", KofN(1, 1), 1, []),
        ("pp?", KofN(1, 1), 1, []),
        ("pF", KofN(1, 1), 1, [("02", None)]),
        ("pFFF", KofN(1, 1), 1, [("02", None)]),
        ("pFFp", KofN(1, 1), 1, [("02", "04")]),
        ("FpF", KofN(1, 1), 1, [("01", "02"), ("03", None)]),
        ("F?F", KofN(1, 1), 1, [("01", None)]),
        ("F?p", KofN(1, 1), 1, [("01", "03")]),
        ("FpF", KofN(2, 3), 1, [("03", None)]),
        ("FppF", KofN(2, 3), 1, []),
        ("F?F", KofN(2, 3), 1, [("03", None)]),
        ("FpFpp", KofN(1, 1), 2, [("01", "05")]),
        ("Fp?p", KofN(1, 1), 2, [("01", "04")]),
    ],
)
def test_an_incident_lasts_until_the_signal_was_clear(
    verdicts: str, rule: KofN, clear: int, expected: list[tuple[str, str | None]]
) -> None:
    assert [(each.opened, each.closed) for each in found(verdicts, rule, clear)] == expected


def test_an_incident_is_named_by_its_signal_and_the_partition_that_showed_it() -> None:
    open_now = lasting(found("pF", KofN(1, 1)))
    assert open_now is not None
    assert open_now.id == "drift/02"
    assert lasting(found("pFp", KofN(1, 1))) is None
    assert Incident.from_dict(open_now.to_dict()) == open_now
