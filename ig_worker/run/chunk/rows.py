"""Rows on their way through a chunk: which can be explained, and what is the fault of those that cannot."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ig_worker.data.faults import RowFault, RowFaults
from ig_worker.errors import RunStoppedError
from ig_worker.explain.explanation import Explanation
from ig_worker.explain.problems import Engine, Problem, expand
from ig_worker.explain.targets import Target
from ig_worker.models.tokenize import Tokens

if TYPE_CHECKING:
    from ig_worker.run.chunk.row_engine import RowEngine

_MACHINE_FAULTS = frozenset(
    {"ResourceExhaustedError", "InternalError", "UnavailableError", "AbortedError", "UnknownError"}
)


@dataclass(frozen=True)
class Row:
    """One row on its way through a chunk.

    Args:
        position: in the chunk.
        id, label: its own.
        tokens: of its text.
        paths: of its text, whose own targets do not count; their weights add up to 1.
        targets: that are explained; none where the outputs at the text decide how many there are.
    """

    position: int
    id: str
    label: int | None
    tokens: Tokens
    paths: tuple[Problem, ...]
    targets: tuple[Target, ...] = (Target(),)
    labels: tuple[int, ...] | None = None  # that apply, where a text may have several; None: not known, or there is one
    value: float | None = None  # the label where it is a number

    @property
    def problems(self) -> list[tuple[Problem, ...]]:
        """Of each target."""
        return [expand(self.paths, target) for target in self.targets]

    @property
    def undecided(self) -> bool:
        """Whether the outputs at the whole text have to be known before anything can be explained."""
        return not self.targets or (len(self.paths) > 1 and any(target.relative for target in self.targets))


Explained = list[tuple[Row, tuple[Explanation, ...]]]  # one explanation for each target


def explain_rows(engine: RowEngine, rows: Sequence[Row], faults: RowFaults, known_good: Problem) -> Explained:
    """Explanations of the rows that have one; the others are entered into `faults`.

    The result always comes from one pass over the rows that work: halves are only probed for the rows that raise, so
    that a row's numbers do not depend on how its neighbours were found out. Before any row is blamed, the engine has
    to explain `known_good`: what a sick device or a lack of memory raises is no fault of the rows, and goes on to the
    driver.
    """

    good = list(rows)
    try:
        results = engine.explain(good)
    except Exception as error:
        if machine_fault(error):
            raise
        require_health(engine.engine, known_good)
        for row, cause in find_failing(good, engine.explain):
            detail = f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}"
            faults[row.position] = RowFault("exception", detail, "".join(traceback.format_exception(cause)))
        good = [row for row in good if row.position not in faults]
        results = engine.explain(good)
    explained = [(row, found) for row, found in zip(good, results, strict=True) if all(one.finite() for one in found)]
    if len(explained) < len(good):
        require_health(engine.engine, known_good)
        numbered = {row.position for row, _ in explained}
        fault = RowFault("non_finite", "the network's output or its gradient is no finite number")
        faults |= {row.position: fault for row in good if row.position not in numbered}
    return explained


def require_health(engine: Engine, known_good: Problem) -> None:
    """Raise RunStoppedError where the engine cannot even explain a problem that is known to be good."""
    (found,) = engine.explain([known_good])
    if not found.finite():
        raise RunStoppedError(
            "this worker gives no finite number even for the text 'a'",
            expected="a healthy device and weights that fit the network",
        )


def machine_fault(error: BaseException) -> bool:
    """Whether an exception speaks of the machine rather than of the data."""
    # TensorFlow's errors by name: this file does not import it.
    return isinstance(error, MemoryError) or type(error).__name__ in _MACHINE_FAULTS


def find_failing(rows: Sequence[Row], attempt: Callable[[Sequence[Row]], object]) -> list[tuple[Row, Exception]]:
    """The rows that raise by themselves, found by halving."""
    if not rows:
        return []
    try:
        attempt(rows)
    except Exception as error:
        if machine_fault(error):
            raise
        if len(rows) == 1:
            return [(rows[0], error)]
        middle = len(rows) // 2
        return find_failing(rows[:middle], attempt) + find_failing(rows[middle:], attempt)
    return []
