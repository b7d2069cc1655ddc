"""Data Docs: the page that Great Expectations itself renders of a validation, readable without a network."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Outcome
from airflow_mlops.reporting.pages import HEAD
from airflow_mlops.reporting.verdicts import appearance, css
from airflow_mlops.stages.validate.findings import MASK, SAMPLES, concerns
from airflow_mlops.stages.validate.gx import quiet
from airflow_mlops.stages.validate.words import text

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

    from airflow_mlops.domain.spec.model import Expectation
    from airflow_mlops.stages.validate.gx import GxAnswer

log = logging.getLogger(__name__)

# The template of Great Expectations loads styles, fonts and scripts from seven hosts. This one replaces it
# around the sections that Great Expectations renders. Sections that its scripts fold or sort are open and in
# order here; charts, which a script draws, are left out.
_PAGE = (
    HEAD
    + """\
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ page_title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --back: #8881; }
{{ tones }}
body { margin: 0 auto; max-width: 80rem; padding: 1.5rem 1rem; font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; } h5 { font-size: 1.1rem; margin: 1.5rem 0 .3rem; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 1rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
.alert { background: var(--back); padding: .1rem .8rem; margin-top: 1rem; }
.badge { background: var(--back); border-radius: 3px; padding: 0 .3rem; }
.text-success { color: var(--good); } .text-danger { color: var(--bad); } .text-warning { color: var(--open); }
.fa-check-circle::before { content: "{{ signs.PASS }}"; } .fa-times::before { content: "{{ signs.FAIL }}"; }
.fa-exclamation-triangle::before { content: "{{ signs.ERROR }}"; }
.cooltip > span, [data-toggle="collapse"] { display: none; }
a { color: inherit; text-decoration: none; pointer-events: none; }
@media (max-width: 40rem) { td { display: block; } }
</style>
</head>
<body>
<h1>{{ page_title }}</h1>
{% for section in sections %}{% set section_loop = loop %}{% include 'section.j2' %}{% endfor %}
<p>Rendered by Great Expectations {{ ge_version }}.</p>
</body>
</html>
"""
)

# The templates of Great Expectations do not escape every value, so characters of markup are replaced
# beforehand.
_MARKUP = str.maketrans({"<": "‹", ">": "›", "&": "＆", '"': "”"})
_COUNTS = frozenset(
    {"element_count", "unexpected_count", "unexpected_percent", "missing_count", "missing_percent"}
    | {"unexpected_percent_total", "unexpected_percent_nonmissing"}
)


def render(
    expectations: Sequence[Expectation],
    answers: Sequence[GxAnswer],
    *,
    dataset: str,
    partition: str,
    pii: Collection[str] = (),
) -> str | None:
    """Return the page of Data Docs; None, with a warning in the log, if Great Expectations cannot render it.

    :param answers: what :func:`airflow_mlops.stages.validate.gx.evaluate` returned for the expectations; no
        page is rendered if it was not run.
    :param pii: columns with personal data, whose values are masked.
    """
    if not answers:
        return None
    entries = [
        (expectation, answer, concerns(expectation, pii))
        for expectation, answer in zip(expectations, answers, strict=True)
    ]
    try:
        return _render(entries, dataset, partition)
    except Exception as error:  # noqa: BLE001 - a page is no reason to fail; the message may hold values
        log.warning("Data Docs of %s %s could not be rendered: %s", dataset, partition, type(error).__name__)
        return None


def _render(entries: Sequence[tuple[Expectation, GxAnswer, bool]], dataset: str, partition: str) -> str:
    with quiet():
        from great_expectations import __version__
        from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
        from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
        from great_expectations.render.view.view import DefaultJinjaPageView
        from jinja2 import DictLoader

        results = [_result(*entry) for entry in entries]
        good = sum(bool(result.success) for result in results)
        suite = ExpectationSuiteValidationResult(
            success=good == len(results),
            results=results,
            suite_name=_plain(dataset),
            statistics={
                "evaluated_expectations": len(results),
                "successful_expectations": good,
                "unsuccessful_expectations": len(results) - good,
                "success_percent": 100 * good / len(results) if results else None,
            },
            meta={
                "great_expectations_version": __version__,
                "run_id": {"run_name": _plain(partition), "run_time": datetime.now(UTC).isoformat()},
                "batch_spec": {"data_asset_name": _plain(dataset)},
            },
        )
        view: Any = DefaultJinjaPageView()
        view.env.loader.loaders.insert(0, DictLoader({"page.j2": _PAGE}))
        document = ValidationResultsPageRenderer().render(suite)
        signs = {outcome.value: appearance(outcome).sign for outcome in Outcome}
        title = _plain(f"Data Docs of {dataset} {partition}")
        return str(view.render(document, page_title=title, tones=css(), signs=signs))


def _result(expectation: Expectation, answer: GxAnswer, masked: bool) -> ExpectationValidationResult:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    details = dict(answer.result.result) if answer.result and answer.error is None else {}
    if "element_count" not in details:
        # The renderer takes every count for a count of rows, and looks for the share of rows beside it.
        details.pop("unexpected_count", None)
    if masked:
        counts = {key: value for key, value in details.items() if key in _COUNTS}
        details = counts | ({"observed_value": MASK} if "observed_value" in details else {})
    message = MASK if masked else (answer.error or "").strip().partition("\n")[0][:200]
    raised = {"raised_exception": True, "exception_message": _plain(message), "exception_traceback": ""}
    return ExpectationValidationResult(
        success=bool(answer.result and answer.result.success and answer.error is None),
        expectation_config=ExpectationConfiguration(
            type=expectation.expectation, kwargs=_clean(expectation.args)
        ),
        result={key: _clean(_few(value)) for key, value in details.items()},
        exception_info=raised if answer.error else None,
    )


def _few(value: Any) -> Any:
    return value[:SAMPLES] if isinstance(value, list) else value


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_plain(str(key)): _clean(element) for key, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(element) for element in value]
    value = value.item() if hasattr(value, "item") else value  # a number of numpy
    return value if value is None or isinstance(value, (bool, int, float)) else _plain(text(value))


def _plain(value: str) -> str:
    return value.translate(_MARKUP)
