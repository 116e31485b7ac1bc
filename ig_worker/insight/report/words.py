"""The words, tokens, pairs and triples that push towards each class."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.report.section import MAX_CLASSES, Classes, View, rounded
from ig_worker.insight.tables.evidence import evidence, minimum_documents, strongest
from ig_worker.schema import VALUES

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
    """The terms that push most towards each class, by their shrunken mean; `tokens` as `evidence` reads them.

    A number has two sides: what raises it, and what lowers it, by how much it does.
    """
    found = []
    for target in explained_classes(tokens, classes):
        name, both = classes.name(target), classes.count == 2 and classes.exclusive
        sides = [(f"Towards {name}", tokens)]
        if classes.outputs == VALUES:
            negated = pc.negate(tokens.column("sum"))
            lowered = tokens.set_column(tokens.schema.get_field_index("sum"), "sum", negated)
            sides = [(f"Raises {name}", tokens), (f"Lowers {name}", lowered)]
        for title, table in sides:
            terms = _terms(evidence(table, target, both, minimum_documents(rows)), most)
            found.append({"name": name, "title": title, "terms": terms})
    return found


def _terms(table: pa.Table, most: int) -> list[View]:
    term, numbers = table.column_names[0], ("count", "documents")
    return [
        {"term": row[term], "score": rounded(row["score"]), **{name: row[name] for name in numbers}}
        for row in strongest(table, most)
    ]


def ngrams(table: pa.Table | None, classes: Classes, rows: int) -> list[View]:
    """The pairs and triples of words that push most towards each class."""
    if table is None or not table.num_rows:
        return []
    return [group for group in towards(table.drop_columns(["n"]), classes, rows, MAX_NGRAMS) if group["terms"]]


def explained_classes(tokens: pa.Table, classes: Classes) -> list[int]:
    """The classes that get a chart of their own: with two classes both, else those explained most often."""
    if classes.count == 2 and classes.outputs != VALUES:
        return [0, 1]
    counts = tokens.group_by(["target"], use_threads=False).aggregate([("count", "sum")])
    order = counts.sort_by([("count_sum", "descending"), ("target", "ascending")])
    return sorted(order.column("target").to_pylist()[:MAX_CLASSES])
