"""Which tokens push the model towards a class, over the whole run."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.tables.measures import SHRINKAGE


def evidence(tokens: pa.Table, target: int, opposites: bool, minimum: int) -> pa.Table:
    """Tokens by how strongly they push towards class `target`, the strongest first.

    An attribution a for class c of two is one of -a for the other, since the probabilities sum to 1: with two such
    classes every occurrence counts, whichever was explained. Otherwise those count where `target` was explained.

    Args:
        tokens: the table `tokens` of `aggregate.aggregate`, or `words`.
        target: the class.
        opposites: whether there are two classes that exclude each other.
        minimum: documents that a token must occur in.

    Returns:
        Columns token (or word), score (shrunken mean, as `mean_shrunk`), count, documents; special tokens left out.
    """
    sign = pc.if_else(pc.equal(tokens.column("target"), target), 1.0, -1.0 if opposites else 0.0)
    table = tokens.set_column(tokens.schema.get_field_index("sum"), "sum", pc.multiply(tokens.column("sum"), sign))
    text, counts = tokens.column_names[0], pc.not_equal(sign, 0.0)
    if "special" in tokens.column_names:
        counts = pc.and_(counts, pc.invert(tokens.column("special")))
    table = table.filter(counts)
    totals = ["sum", "count", "documents"]
    grouped = table.group_by([text], use_threads=False).aggregate([(name, "sum") for name in totals])
    score = pc.divide(grouped.column("sum_sum"), pc.add(grouped.column("count_sum").cast(pa.float64()), SHRINKAGE))
    result = pa.table(
        {
            text: grouped.column(text),
            "score": score,
            "count": grouped.column("count_sum"),
            "documents": grouped.column("documents_sum"),
        }
    )
    result = result.filter(pc.greater_equal(result.column("documents"), minimum))
    return result.sort_by([("score", "descending"), (text, "ascending")])


def strongest(table: pa.Table, count: int) -> list[dict[str, Any]]:
    """The first `count` rows of `evidence` that push towards the class at all."""
    return [row for row in table.slice(0, count).to_pylist() if row["score"] > 0]


def minimum_documents(rows: int) -> int:
    """Documents that a token must occur in to be listed: 2 in a small run, 20 from 1,000 rows on."""
    return max(2, min(20, rows // 50))
