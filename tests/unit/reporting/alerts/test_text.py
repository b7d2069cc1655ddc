from __future__ import annotations

import pytest

from airflow_mlops.reporting import words
from airflow_mlops.reporting.alerts import text
from airflow_mlops.reporting.alerts.notice import Passage
from airflow_mlops.reporting.alerts.validation import validation
from notices import make_notice, make_report, make_run, make_version

EXPECTED = """\
✗ FAIL

flights 2013-03: validation failed
==================================

distance is below 0 in 12 rows

Name:         flights
Partition:    2013-03
Rows:         1,000
Expectations: 1 of 2 not met
Failed:       validate
Dataset:      flights, version 7 of the table staging
DAG:          flights.ingest
Run:          scheduled__2013-04-01T00:00:00+00:00

Open the run:
  https://airflow.example.com/team/dags/flights.ingest/runs/scheduled__2013-04-01T00%3A00%3A00%2B00%3A00
Open the report:
  https://airflow.example.com/team/mlops/reports/flights/2013-03/validation.html
Open the dataset's asset:
  https://airflow.example.com/team/assets?name_pattern=flights%2Fdata

Expected and observed
---------------------

1. distance: ✗ FAIL: expect_column_values_to_be_between
   expected:  at least 0
   observed:  12 rows: -3 to 4,983 (1.2 % of the rows)
   such as:   -3, -2

What happened to the data
-------------------------

It was not published, and nothing downstream runs for it. What was published
before stays as it is, and so does the champion of a model.

What to do
----------

Correct the data, its source or the expectation, then clear the run: it
reads the source again. To clear validate alone judges the rows once more
that were read before.

    airflow dags clear flights.ingest --partition-key 2013-03 --yes

Sample rows (3)
---------------

- id = F0, email = •••, distance = -0
  > distance is below 0
- id = F1, email = •••, distance = -1
  > distance is below 0
- id = F2, email = •••, distance = -2
  > distance is below 0

The report is attached: flights-2013-03-validation.html
"""


def test_a_failed_validation_reads_well_as_text() -> None:
    notice = validation(
        make_run(),
        make_report(),
        failed=["validate"],
        dataset=make_version(),
        page="flights/2013-03/validation.html",
    )
    assert text.render(notice, "The report is attached: flights-2013-03-validation.html") == EXPECTED


def test_lines_are_short_and_addresses_whole() -> None:
    url = "https://airflow.example.com/" + "x" * 200
    notice = make_notice(summary=("word " * 100, url))
    lines = text.render(notice).splitlines()
    assert max(len(line) for line in lines if "https" not in line) <= 76
    assert url in lines


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0.0 %"),
        (0.0001, "< 0.1 %"),
        (0.012, "1.2 %"),
        (0.9995, "> 99.9 %"),
        (1.0, "100.0 %"),
    ],
)
def test_some_rows_are_never_none_and_never_all(share: float, said: str) -> None:
    assert words.percent(share) == said


def test_a_command_stays_on_its_line() -> None:
    told = text.render(make_notice(passages=(Passage(heading="h", text="t", commands=("a\nb",)),)))
    assert "    a b\n" in told
