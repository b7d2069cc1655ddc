"""Labels and predictions of one version as arrays that can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from airflow_mlops.domain.classes import BINARY, union
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import of_decisions, of_one_class
from airflow_mlops.domain.predictions import PROBABILITIES, SCORE
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels import weights
from airflow_mlops.learning.models import classes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.facts.question import Question
    from airflow_mlops.domain.spec.costs import CostMatrix, Costs

TRUTH = "_truth"
"""Column of the label; null while it is not known, or if labels contradict each other."""


class Coding(NamedTuple):
    """How the labels of a target are compared with what one version has predicted.

    :param task: ``classification`` or ``regression``.
    :param own: classes of the version, in the order of its probabilities; none for a regression.
    :param judged: classes that labels may have: the version's, and others that the spec names.
    :param decision: from which probability on the version calls a row positive, and what mistakes cost by the spec.
    :param weights: column of the data that says how much each row counts; None means that all count alike.
    :param probabilities: False if scores are 1 or 0, as only the chosen classes are known.
    """

    target: str
    task: str
    own: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()
    decision: DecisionRule = HALF
    weights: str | None = None
    probabilities: bool = True

    @classmethod
    def of(cls, question: Question, own: tuple[str, ...], decision: DecisionRule = HALF) -> Self:
        """Return how a question's labels are compared with the predictions of a version.

        :param own: classes of the version; none if they are not known, as of one that was deleted.
        :param decision: of the version; mistakes cost what the question says now.
        """
        if question.task != "classification":
            return cls(question.target, question.task, weights=question.weights)
        own = own or question.classes or BINARY
        rule = decision.counting(question.costs_of(own))
        judged = union(own, question.classes)
        return cls(
            question.target, question.task, own, judged, rule, question.weights, question.probabilities
        )

    def widened(self, rows: pa.Table) -> Self:
        """Return the same with the classes that labels have besides; of 0 and 1 there are none.

        What was predicted of such a row is wrong, whatever it is.

        :raises SchemaMismatch: if a label is no class.
        """
        if self.own in ((), BINARY):
            return self
        there = classes.in_order(rows[TRUTH].drop_null().to_numpy(zero_copy_only=False), self.target)
        strange = [name for name in there if name not in self.judged] if rows.num_rows else []
        return self._replace(judged=union(self.judged, strange))

    def comparable(
        self, metrics: Mapping[str, float], costs: Costs | CostMatrix | None = None
    ) -> dict[str, float]:
        """Return the metrics of an earlier evaluation that mean the same: none of one class, if there are more by now.

        :param costs: what mistakes cost then; a cost by others is left out.
        """
        same = self.many == (len(self.own) > len(BINARY))
        left_out = {name for name in metrics if not same and of_one_class(name)}
        if costs != self.decision.costs:
            left_out.add(COST)
        return {name: value for name, value in metrics.items() if name not in left_out}

    def measurable(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of some metrics that can be measured: without probabilities, the ones of chosen classes alone."""
        return tuple(
            name
            for name in names
            if self.probabilities or self.task != "classification" or of_decisions(name)
        )

    @property
    def many(self) -> bool:
        """Whether there are more than two classes, so that each row has a probability for each."""
        return len(self.judged) > len(BINARY)

    def arrays(self, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Return labels and predictions of labelled rows, in the form that the measures take.

        :raises SchemaMismatch: if a label is neither of two classes, or there are other classes than the version's.
        """
        return self.labels(rows), self.predictions(rows)

    def weights_of(self, rows: pa.Table, key: Sequence[str] = ()) -> np.ndarray | None:
        """Return how much each row counts; None if all count alike.

        :param key: columns that identify a row, for messages.
        :raises SchemaMismatch: if a weight is missing, negative or not finite.
        """
        return weights.of(rows, self.weights, key) if rows.num_rows else None

    def labels(self, rows: pa.Table) -> np.ndarray:
        """Return the labels of labelled rows: codes of classes, or values; errors as for :meth:`arrays`."""
        values: np.ndarray = rows[TRUTH].to_numpy()
        return classes.coded(values, self.judged, self.target) if self.judged else values

    def predictions(
        self, rows: pa.Table, score: str = SCORE, probabilities: str = PROBABILITIES
    ) -> np.ndarray:
        """Return predictions: values, probabilities of the second of two classes, or of each of more.

        :param score: column of the score.
        :param probabilities: column of the probabilities of each class.
        """
        import numpy as np
        import pyarrow.compute as pc

        if self.own == self.judged and not self.many:
            values: np.ndarray = rows[score].to_numpy()
            return values
        if len(self.own) == len(BINARY):
            second = rows[score].to_numpy()
            matrix = np.c_[1 - second, second]
        elif probabilities not in rows.column_names:
            matrix = np.empty((0, len(self.own)))
        else:
            numbers = pc.list_flatten(rows[probabilities]).to_numpy()
            if numbers.size != rows.num_rows * len(self.own):
                raise SchemaMismatch(
                    f"The predictions of {self.target!r} have other classes than {', '.join(self.own)}: score the partition again."
                )
            matrix = numbers.reshape(-1, len(self.own))
        everything = classes.ModelClasses(self.own, tuple(range(len(self.own))))
        return classes.arranged(everything, matrix, self.judged)
