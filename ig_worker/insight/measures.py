"""What is counted: each measure is data (columns it reads) and three pure functions.

A measure turns the attributions of one chunk into a small partial table, merges two partials into one, and finishes
the last one into the table that a reader sees. Merging is associative, so neither the size nor the order of the chunks
changes a result by more than float64 rounding. A new measure is one more entry of `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SHRINKAGE = 20  # occurrences; a token seen this often keeps half of its mean
TOTAL = "all"  # status of the row of `convergence` that covers every row
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

TOKENS = pa.schema(
    [
        ("token", pa.string()),
        ("prediction", pa.int32()),
        ("target", pa.int32()),
        ("count", pa.int64()),
        ("documents", pa.int64()),
        ("mean", pa.float64()),
        ("mean_abs", pa.float64()),
        ("sum", pa.float64()),
        ("share", pa.float64()),
        ("mean_shrunk", pa.float64()),
        ("special", pa.bool_()),
    ]
)
CLASSES = pa.schema(
    [
        ("label", pa.int32()),
        ("prediction", pa.int32()),
        ("count", pa.int64()),
        ("share_of_label", pa.float64()),
        ("mean_confidence", pa.float64()),
        ("accuracy", pa.float64()),
    ]
)
CONVERGENCE = pa.schema(
    [
        ("status", pa.string()),
        ("rows", pa.int64()),
        ("share", pa.float64()),
        *((f"abs_delta_{name}", pa.float64()) for name in QUANTILES),
        ("evaluations_mean", pa.float64()),
        ("error_estimate_p50", pa.float64()),
        ("truncated_share", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Measure:
    """One table of RUN/aggregates."""

    columns: tuple[str, ...]  # of schema.ATTRIBUTIONS
    partial: Callable[[pa.Table], pa.Table]
    merge: Callable[[pa.Table, pa.Table], pa.Table]
    finish: Callable[[pa.Table], pa.Table]
    schema: pa.Schema  # of the finished table


# Tokens: which word pieces carry attribution.


def tokens_partial(table: pa.Table) -> pa.Table:
    """Sums by (token, prediction, target)."""
    lists = table.column("tokens").combine_chunks()
    tokens = pc.list_flatten(lists).dictionary_encode()
    attributions = pc.list_flatten(table.column("attributions")).cast(pa.float64())
    flat = pa.table(
        {
            "row": pc.list_parent_indices(lists),
            "token": tokens.indices,
            "count": np.ones(len(tokens), np.int64),
            "special": pc.less(pc.list_flatten(table.column("word_ids")), 0).cast(pa.int64()),
            "sum": attributions,
            "sum_abs": pc.abs(attributions),
        }
    )
    # A document counts once however often it has the token: first by document, then over documents.
    sums = ["count", "special", "sum", "sum_abs"]
    by_document = _sums(flat, ["row", "token"], sums)
    row = by_document.column("row")
    documents = pa.table(
        {
            "token": tokens.dictionary.take(by_document.column("token")),
            "prediction": table.column("prediction").take(row),
            "target": table.column("target").take(row),
            "documents": np.ones(len(row), np.int64),
            **{name: by_document.column(name) for name in sums},
        }
    )
    return _merge_tokens(documents)


def _merge_tokens(*tables: pa.Table) -> pa.Table:
    keys, values = ["token", "prediction", "target"], ["count", "documents", "special", "sum", "sum_abs"]
    return _sums(pa.concat_tables(tables), keys, values)


def tokens_finish(partial: pa.Table) -> pa.Table:
    """One row per token, predicted class and explained class, sorted by them.

    An attribution speaks for or against the row's *target*, so sums over different targets are kept apart; with the
    default target (`predicted`) the two classes are the same and (token, prediction) is the key.

    Columns:
        token: the word piece as the tokenizer spells it (``##ing``).
        prediction, target: predicted class, explained class.
        count: occurrences. documents: rows with at least one occurrence.
        sum, mean, mean_abs: of the attributions, mean and mean_abs per occurrence.
        share: part of the run's total absolute attribution, 0 to 1.
        mean_shrunk: sum / (count + SHRINKAGE), a mean that a handful of occurrences cannot make large.
        special: every occurrence was a special token such as [CLS].
    """
    table = partial.sort_by([(name, "ascending") for name in ("token", "prediction", "target")])
    count = table.column("count")
    occurrences = count.cast(pa.float64())
    total = pc.sum(table.column("sum_abs")).as_py() or 0.0
    columns = {
        **{name: table.column(name) for name in ("token", "prediction", "target", "count", "documents", "sum")},
        "mean": pc.divide(table.column("sum"), occurrences),
        "mean_abs": pc.divide(table.column("sum_abs"), occurrences),
        "share": pc.divide(table.column("sum_abs"), pa.scalar(total or 1.0)),
        "mean_shrunk": pc.divide(table.column("sum"), pc.add(occurrences, float(SHRINKAGE))),
        "special": pc.equal(table.column("special"), count),
    }
    return pa.table({name: columns[name] for name in TOKENS.names}, schema=TOKENS)


# Classes: what was predicted for which label.


def classes_partial(table: pa.Table) -> pa.Table:
    """Counts and summed confidences by (label, prediction)."""
    rows = pa.table(
        {
            "label": table.column("label"),
            "prediction": table.column("prediction"),
            "count": np.ones(table.num_rows, np.int64),
            "confidence": confidence(table),
        }
    )
    return _merge_classes(rows)


def confidence(table: pa.Table) -> np.ndarray:
    """Probability of the predicted class, float64 [rows]."""
    lists = table.column("probabilities").combine_chunks()
    flat = pc.list_flatten(lists).to_numpy(zero_copy_only=False).astype(np.float64)
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return flat[np.cumsum(lengths) - lengths + table.column("prediction").to_numpy()]


def _merge_classes(*tables: pa.Table) -> pa.Table:
    return _sums(pa.concat_tables(tables), ["label", "prediction"], ["count", "confidence"])


def classes_finish(partial: pa.Table) -> pa.Table:
    """The confusion table, one row per (label, prediction) that occurs, sorted; rows without a label last.

    Columns:
        label: null for rows without one. prediction: predicted class.
        count: rows. share_of_label: part of the rows of this label.
        mean_confidence: mean probability of the predicted class.
        accuracy: correct rows / labelled rows of the whole run, the same in every row; null where none is labelled.
    """
    table = partial.sort_by([("label", "ascending"), ("prediction", "ascending")])
    count = table.column("count").to_numpy().astype(np.float64)
    labels, predictions = table.column("label").to_pylist(), table.column("prediction").to_pylist()
    of_label: dict[int | None, float] = {}
    for label, rows in zip(labels, count, strict=True):
        of_label[label] = of_label.get(label, 0.0) + rows
    labelled = sum(rows for label, rows in of_label.items() if label is not None)
    correct = sum(n for n, label, prediction in zip(count, labels, predictions, strict=True) if label == prediction)
    columns = {
        **{name: table.column(name) for name in ("label", "prediction", "count")},
        "share_of_label": count / np.array([of_label[label] for label in labels]),
        "mean_confidence": table.column("confidence").to_numpy() / count,
        "accuracy": [correct / labelled if labelled else None] * len(labels),
    }
    return pa.table({name: columns[name] for name in CLASSES.names}, schema=CLASSES)


# Convergence: how exact the numbers are, and what they cost.

_LIGHT = ("status", "delta", "evaluations", "error_estimate", "truncated")


def convergence_partial(table: pa.Table) -> pa.Table:
    """The few numbers of each row, about 16 bytes, because quantiles of parts do not give those of the whole."""
    light = table.select(list(_LIGHT))
    return light.set_column(0, "status", light.column("status").dictionary_encode())


def _merge_convergence(a: pa.Table, b: pa.Table) -> pa.Table:
    return pa.concat_tables([a, b])


def convergence_finish(partial: pa.Table) -> pa.Table:
    """One row per status, sorted, then the row `all` that covers every row of the run: leave it out of sums.

    Columns:
        status: as in schema.ATTRIBUTIONS, or ``all``. rows, share: rows, and their part of the run.
        abs_delta_p50, _p90, _p99, _max: quantiles of |delta|, interpolated linearly.
        evaluations_mean: per row.
        error_estimate_p50: median estimated relative L1 error; null where no row has an estimate.
        truncated_share: part of the rows whose text was longer than max_length.
    """
    status = partial.column("status").cast(pa.string())
    names = sorted(status.unique().to_pylist())
    parts = [partial.filter(pc.equal(status, name)) for name in names]
    rows = [_convergence_row(name, part, partial.num_rows) for name, part in zip(names, parts, strict=True)]
    if partial.num_rows:
        rows.append(_convergence_row(TOTAL, partial, partial.num_rows))
    return pa.Table.from_pylist(rows, schema=CONVERGENCE)


def _convergence_row(status: str, part: pa.Table, total: int) -> dict[str, object]:
    delta = np.abs(part.column("delta").to_numpy().astype(np.float64))
    estimates = part.column("error_estimate").drop_null().to_numpy().astype(np.float64)
    return {
        "status": status,
        "rows": part.num_rows,
        "share": part.num_rows / total,
        **{f"abs_delta_{name}": float(np.quantile(delta, q)) for name, q in QUANTILES.items()},
        "evaluations_mean": float(np.mean(part.column("evaluations").to_numpy().astype(np.float64))),
        "error_estimate_p50": float(np.median(estimates)) if len(estimates) else None,
        "truncated_share": float(np.mean(part.column("truncated").to_numpy().astype(np.float64))),
    }


def _sums(table: pa.Table, keys: list[str], values: list[str]) -> pa.Table:
    """`values` summed by `keys`, in one thread: several would add floats in an order of their own."""
    grouped = table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in values])
    return grouped.select([*keys, *(f"{name}_sum" for name in values)]).rename_columns([*keys, *values])


MEASURES = {
    "tokens": Measure(
        ("prediction", "target", "tokens", "word_ids", "attributions"),
        tokens_partial,
        _merge_tokens,
        tokens_finish,
        TOKENS,
    ),
    "classes": Measure(
        ("label", "prediction", "probabilities"), classes_partial, _merge_classes, classes_finish, CLASSES
    ),
    "convergence": Measure(_LIGHT, convergence_partial, _merge_convergence, convergence_finish, CONVERGENCE),
}
