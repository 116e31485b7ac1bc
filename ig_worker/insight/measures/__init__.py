"""What is counted, by subject: a new measure is one more entry in a file's `MEASURES`, and its two functions there.

The tables that `aggregate` writes to RUN/aggregates, with their columns, are documented at the functions `*_finish`.
"""

from ig_worker.insight.measures import classes, convergence, ngrams, places, weights
from ig_worker.insight.measures.convergence import TOTAL
from ig_worker.insight.measures.flat import COLUMNS, Flat, confidence
from ig_worker.insight.measures.measure import SHRINKAGE, Measure, Tables, Totals

__all__ = ["COLUMNS", "MEASURES", "SHRINKAGE", "TOTAL", "Flat", "Measure", "Tables", "Totals", "confidence"]

# `convergence` is written last: where it covers every row, so do the others.
MEASURES: dict[str, Measure] = {
    name: measure
    for subject in (weights, ngrams, places, classes, convergence)
    for name, measure in subject.MEASURES.items()
}
