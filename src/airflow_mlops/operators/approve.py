"""Ask a person before a promotion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.results import Evaluation

if TYPE_CHECKING:
    from airflow.sdk import Context


class PromotionApprovalOperator(ApprovalOperator):
    """Wait for a person's word on a candidate that passed its gates; ask nobody about one that did not.

    A rejection skips the tasks after it, and so does nothing else. A time-out fails.

    :param evaluation: what :class:`EvaluateOperator` returned.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "evaluation")
    ui_color = "#e0f2f1"

    def __init__(self, *, evaluation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.evaluation = evaluation

    def execute(self, context: Context) -> Any:
        """Ask, unless the gates have decided already."""
        evaluation = Evaluation.from_dict(self.evaluation)
        if evaluation.verdict is Verdict.PASS:
            return super().execute(context)
        self.log.info("nobody is asked: %s: %s", evaluation.verdict, evaluation.reason)
        return None
