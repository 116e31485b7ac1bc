"""Whether the rows of one result are those of its input chunk, and whether its numbers agree with each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ig_worker.explain.explanation import STATUS_CONVERGED, STATUS_FIXED
from ig_worker.models.layers import CLASSES
from ig_worker.run.store.table_digest import content_digest
from ig_worker.schema import SEGMENTS, TRUTHS, kept_in

_ROUNDING = 1e-5  # float32, over the sum of a text's attributions
_FLOOR = 0.01  # of the attributions' L1 norm, as in `engine.relative_l1`


def rows_faults(inputs: pa.Table, explained: pa.Table, quarantine: pa.Table, positions: tuple[int, ...]) -> list[str]:
    """Whether every row of an input chunk is explained or quarantined, once and in order."""
    faults: list[str] = []
    ids = inputs.column("id").to_pylist()
    outside = [position for position in positions if not 0 <= position < len(ids)]
    if outside or len(set(positions)) != len(positions):
        return [f"names rows {outside or list(positions)} of {len(ids)} as quarantined"]
    left = [id for position, id in enumerate(ids) if position not in set(positions)]
    ranks = explained.column("rank").to_numpy()
    broken = _broken_ranks(explained.column("id").to_pylist(), ranks)
    if broken:
        return [*faults, f"has rows of {broken!r} that do not follow each other by the ranks of their targets"]
    each, explained = explained, explained.filter(ranks == 0)
    found = explained.column("id").to_pylist()
    if found != left:
        missing, extra = set(left) - set(found), set(found) - set(left)
        names = ", ".join(repr(id) for id in sorted(map(str, missing | extra))[:3])
        faults.append(f"has other rows than its input chunk ({len(missing)} missing, {len(extra)} too many: {names})")
    elif _truths(inputs, positions) != _truths(explained, ()):
        faults.append("has other labels than its input chunk")
    else:
        faults += _kept_faults(inputs, each, ranks, positions)
    kept = [(row["position"], row["id"]) for row in quarantine.select(["position", "id"]).to_pylist()]
    if kept != [(position, ids[position]) for position in sorted(positions)]:
        faults.append("names other rows as quarantined than its quarantine file holds")
    return faults


def _kept_faults(
    inputs: pa.Table, explained: pa.Table, ranks: npt.NDArray[np.int32], positions: tuple[int, ...]
) -> list[str]:
    """Whether the columns of the data set that a run keeps are those of the input chunk, at each target of a row."""
    names = kept_in(inputs.schema)
    told, found = (
        ", ".join(f"{name}: {table.schema.field(name).type}" for name in kept_in(table.schema)) or "none"
        for table in (inputs, explained)
    )
    if told != found:
        return [f"keeps other columns ({found}) than its input chunk ({told})"]
    left = np.delete(np.arange(inputs.num_rows), np.array(positions, np.int64))
    wanted = inputs.select(names).take(pa.array(left[np.cumsum(ranks == 0) - 1], pa.int64()))
    other = [
        name
        for name in names
        if content_digest(wanted.select([name]), {}) != content_digest(explained.select([name]), {})
    ]
    return [f"has other values of {', '.join(other)} than its input chunk"] if other else []


def _truths(table: pa.Table, without: tuple[int, ...]) -> list[tuple[object, ...]]:
    """What the data say of each row, in as many columns as there are of it."""
    names = ["label", *(truth.name for truth in TRUTHS.values() if truth.name in table.schema.names)]
    left, rows = set(without), zip(*(table.column(name).to_pylist() for name in names), strict=True)
    return [row for position, row in enumerate(rows) if position not in left]


def value_faults(table: pa.Table, outputs: str = CLASSES) -> list[str]:
    """Whether the numbers of explained rows are finite and agree with each other.

    Args:
        table: the rows.
        outputs: what the network says, one of `models.layers.OUTPUTS`.
    """
    if not table.num_rows:
        return []
    numbers = {name: table.column(name).to_numpy() for name in ("delta", "evaluations", "prediction", "target")}
    change = _difference(table, "target_probability", "baseline_probability")
    rows, values = _flat(table, "attributions")
    sums = np.bincount(rows, weights=values, minlength=table.num_rows)
    norms = np.bincount(rows, weights=np.abs(values), minlength=table.num_rows)
    gaps = sums - change
    estimates = table.column("error_estimate").to_numpy().astype(np.float64)  # null becomes nan
    unknown = np.array(table.column("error_estimate").combine_chunks().is_null())
    status = np.array(table.column("status").to_pylist())
    classes, probabilities = _flat(table, "probabilities")
    totals = np.bincount(classes, weights=probabilities, minlength=table.num_rows)
    fixed, converged = status == STATUS_FIXED, status == STATUS_CONVERGED
    room = _ROUNDING * (1 + norms)
    checks = {
        "values that are not finite": ~np.isfinite(sums) | ~np.isfinite(numbers["delta"]) | ~np.isfinite(totals),
        "lists of different lengths": _uneven(table),
        "probabilities that do not add up to 1": (outputs == CLASSES) & (np.abs(totals - 1) > 1e-4),
        "a value at the text that is not their target's": _unfit_targets(table, probabilities),
        "a target that their text has twice": _twice(table),
        "a delta that is not of their attributions": np.abs(gaps - numbers["delta"]) > room,
        "an error estimate, or none, against their status": unknown != fixed,
        "a delta above their error estimate": converged & (np.abs(gaps) > estimates * np.maximum(norms, _FLOOR) + room),
    }
    ids = table.column("id").to_pylist()
    return [
        f"has {int(wrong.sum())} rows with {what}, such as {ids[int(np.argmax(wrong))]!r}"
        for what, wrong in checks.items()
        if wrong.any()
    ]


def _broken_ranks(ids: list[str], ranks: npt.NDArray[np.int32]) -> str | None:
    """The id of a row whose rank is neither 0 nor one more than that of the row before it, of the same text."""
    before: tuple[str | None, int] = (None, -1)
    for id, rank in zip(ids, ranks.tolist(), strict=True):
        if rank != 0 and before != (id, rank - 1):
            return id
        before = id, rank
    return None


def _unfit_targets(table: pa.Table, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Rows whose F(x) is not that of their target; `values` are those of `probabilities`."""
    starts = np.concatenate([[0], np.cumsum(table.column("probabilities").combine_chunks().value_lengths())[:-1]])
    f = values[starts + table.column("target").to_numpy()]
    contrast = table.column("contrast").to_pylist()
    minus = np.array([0.0 if c is None else values[start + c] for start, c in zip(starts, contrast, strict=True)])
    return np.abs(f - minus - table.column("target_probability").to_numpy()) > 1e-5 * (1 + np.abs(f) + np.abs(minus))


def _twice(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Rows that have the id and the target of a row before."""
    keys = list(zip(*(table.column(name).to_pylist() for name in ("id", "target", "contrast")), strict=True))
    first: dict[tuple[str, int, int | None], int] = {}
    return np.array([first.setdefault(key, place) != place for place, key in enumerate(keys)])


def _difference(table: pa.Table, first: str, second: str) -> npt.NDArray[np.float64]:
    a, b = (table.column(name).to_numpy().astype(np.float64) for name in (first, second))
    return a - b


def _flat(table: pa.Table, column: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """All values of a column of lists, and the row of each."""
    lists = table.column(column).combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    return np.repeat(np.arange(len(lists)), lengths), lists.flatten().to_numpy().astype(np.float64)


def _uneven(table: pa.Table) -> npt.NDArray[np.bool_]:
    lengths = [
        table.column(name).combine_chunks().value_lengths().to_numpy()
        for name in ("tokens", "input_ids", "word_ids", SEGMENTS, "attributions")
        if name in table.schema.names
    ]
    return np.any([length != lengths[0] for length in lengths[1:]], axis=0)
