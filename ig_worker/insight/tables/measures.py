"""What is counted, by subject: a new measure is one more entry in a file's `MEASURES`, and its two functions there.

The tables that `aggregate` writes to RUN/aggregates, with their columns, are documented at the functions `*_finish`.
"""

from ig_worker.insight.tables import classes, convergence, ngrams, positions, segments, terms
from ig_worker.insight.tables.convergence import TOTAL
from ig_worker.insight.tables.flat_rows import COLUMNS, Flat, confidence
from ig_worker.insight.tables.measure import SHRINKAGE, Measure, PartialTables, Totals

__all__ = ["COLUMNS", "MEASURES", "SHRINKAGE", "TOTAL", "Flat", "Measure", "PartialTables", "Totals", "confidence"]

MEASURES: dict[str, Measure] = {
    name: measure
    for subject in (terms, ngrams, positions, segments, classes, convergence)
    for name, measure in subject.MEASURES.items()
}
