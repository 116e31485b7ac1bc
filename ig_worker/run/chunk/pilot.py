"""The pilot of a run: which rows it has, how what fails is left out of it, and how its rows are put into their chunks.

Its explanations are final. They are written once, and each chunk takes its own from there: so its bytes depend neither
on who explains it nor on when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.explanation import Explanation
from ig_worker.explain.precision import Choice
from ig_worker.explain.problems import Engine, Problem, combine
from ig_worker.explain.problems import explain_rows as explain_problems
from ig_worker.run.chunk.rows import Explained, Row, find_failing, machine_fault, require_health
from ig_worker.run.chunk.sampling import pilot_places
from ig_worker.run.store.run_store import RunStore

if TYPE_CHECKING:  # TensorFlow: seconds
    from ig_worker.explain.pilot import PilotEngine

_SPARE = 20  # rows more than are wanted, at least: they take the place of what cannot be explained


@dataclass(frozen=True)
class PilotRecord:
    """What the driver learns of a pilot."""

    calibration: Calibration
    digest: str = ""  # of its rows in the store; empty where they are to be explained again
    rows: int = 0
    evaluations: float = 0.0
    seconds: float = 0.0
    choice: Choice | None = None  # of the precision; None: it is what was asked for, or float32


def pilot_table(store: RunStore, count: int) -> pa.Table:
    """The rows with the least hashes of all that have no fault, as in chunks: `count`, and some to replace others."""
    chunks = sorted(store.chunks.indexes())
    listed = ((id, index, position) for index in chunks for position, id in _faultless(store, index))
    places = pilot_places(listed, count + max(_SPARE, count // 10))
    rows: dict[tuple[int, int], pa.Table] = {}
    for index in sorted({index for index, _ in places}):
        table, _ = store.chunks.read(index)
        rows |= {place: table.take([place[1]]) for place in places if place[0] == index}  # copies: chunks are let go
    return pa.concat_tables(_bare(rows[place] for place in places) or [pa.Table.from_batches([], schema=schema.INPUT)])


def _bare(tables: Any) -> list[pa.Table]:
    return [table.replace_schema_metadata(None) for table in tables]


def _faultless(store: RunStore, index: int) -> list[tuple[int, str]]:
    ids, faults = store.chunks.ids(index)
    return [(position, id) for position, id in enumerate(ids) if position not in faults]


def calibrate(
    engine: PilotEngine, plain: Engine, rows: Sequence[Row], count: int, known_good: Problem
) -> tuple[Calibration, Explained]:
    """What the first `count` rows that can be explained tell of the others, and their own explanations.

    Args:
        engine: that calibrates.
        plain: that tells which rows raise, where any do.
        rows: in the order of their hashes, more than `count` where there are so many.
        count: rows of the pilot.
        known_good: has to be explained before a row is blamed; see `rows.explain_rows`.
    """
    left = list(rows)
    while left[:count]:
        taken = left[:count]
        try:
            calibration, found = _try(engine, taken)
        except Exception as error:
            if machine_fault(error):
                raise
            require_health(plain, known_good)
            failing = find_failing(taken, lambda part: explain_problems(plain, [row.problems for row in part]))
            bad = {row.position for row, _ in failing}
            if not bad:
                raise
        else:
            bad = {row.position for row, result in zip(taken, found, strict=True) if not result.finite()}
            if not bad:
                return calibration, list(zip(taken, found, strict=True))
            require_health(plain, known_good)
        left = [row for row in left if row.position not in bad]
    return CAUTIOUS, []


def _try(engine: PilotEngine, rows: Sequence[Row]) -> tuple[Calibration, list[Explanation]]:
    calibration, found = engine.calibrate([problem for row in rows for problem in row.problems])
    each = iter(found)
    return calibration, [combine(row.problems, [next(each) for _ in row.problems]) for row in rows]


def explanations(rows: pa.Table) -> dict[str, Explanation]:
    """The explanations in rows of `schema.attributions`, by id; written once more, they are the same bytes."""
    return {row["id"]: _explanation(row) for row in rows.to_pylist()}


def _explanation(row: dict[str, Any]) -> Explanation:
    same = (
        "target", "target_probability", "baseline_probability", "delta", "error_estimate", "evaluations", "status",
    )  # fmt: skip
    return Explanation(
        probabilities=np.array(row["probabilities"], np.float32),
        attributions=np.array(row["attributions"], np.float32),
        **{name: row[name] for name in same},
    )
