"""The words, tokens, pairs and triples that push towards each class."""

from __future__ import annotations

import pyarrow as pa

from ig_worker.insight.report.section import MAX_CLASSES, Classes, View, rounded
from ig_worker.insight.tables.evidence import evidence, minimum_documents, strongest

MAX_TERMS = 15  # words or tokens of a class
MAX_NGRAMS = 10


def importance(words: pa.Table | None, tokens: pa.Table, classes: Classes, rows: int) -> View:
    """The chart of each class, by word and by token; `rows` are the explained ones."""
    return {
        "minimum": minimum_documents(rows),
        "word": towards(words, classes, rows) if words is not None else None,
        "token": towards(tokens, classes, rows),
    }


def towards(tokens: pa.Table, classes: Classes, rows: int, most: int = MAX_TERMS) -> list[View]:
    """The terms that push most towards each class, by their shrunken mean; `tokens` as `evidence` reads them."""
    term, found = tokens.column_names[0], []
    for target in explained_classes(tokens, classes):
        table = evidence(tokens, target, classes.count == 2 and classes.exclusive, minimum_documents(rows))
        terms = [
            {"term": row[term], "score": rounded(row["score"]), "count": row["count"], "documents": row["documents"]}
            for row in strongest(table, most)
        ]
        found.append({"name": classes.name(target), "terms": terms})
    return found


def ngrams(table: pa.Table | None, classes: Classes, rows: int) -> list[View]:
    """The pairs and triples of words that push most towards each class."""
    if table is None or not table.num_rows:
        return []
    return [group for group in towards(table.drop_columns(["n"]), classes, rows, MAX_NGRAMS) if group["terms"]]


def explained_classes(tokens: pa.Table, classes: Classes) -> list[int]:
    """The classes that get a chart of their own: with two classes both, else those explained most often."""
    if classes.count == 2:
        return [0, 1]
    counts = tokens.group_by(["target"], use_threads=False).aggregate([("count", "sum")])
    order = counts.sort_by([("count_sum", "descending"), ("target", "ascending")])
    return sorted(order.column("target").to_pylist()[:MAX_CLASSES])
