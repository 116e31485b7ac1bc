"""What is counted, by subject: a new measure is one more entry in a file's `MEASURES`, and its two functions there.

The tables that `aggregate` writes to RUN/aggregates, with their columns, are documented at the functions `*_finish`.
"""

from ig_worker.insight.tables import classes, convergence, labels, ngrams, positions, segments, terms, values
from ig_worker.insight.tables.convergence import TOTAL
from ig_worker.insight.tables.flat_rows import COLUMNS, Flat, confidence
from ig_worker.insight.tables.measure import SHRINKAGE, Measure, PartialTables, Totals
from ig_worker.schema import CLASSES, LABELS, VALUES

__all__ = ["COLUMNS", "MEASURES", "SHRINKAGE", "TOTAL", "Flat", "Measure", "PartialTables", "Totals", "confidence"]

_ONLY_OF = {"classes": CLASSES, "calibration": CLASSES}
_ONLY_OF |= dict.fromkeys(labels.MEASURES, LABELS) | dict.fromkeys(values.MEASURES, VALUES)

MEASURES: dict[str, Measure] = {
    name: measure
    for subject in (terms, ngrams, positions, segments, classes, labels, values, convergence)
    for name, measure in subject.MEASURES.items()
}


def measures_of(outputs: str) -> dict[str, Measure]:
    """Those of a run whose model says one of `schema.OUTPUTS`."""
    return {name: measure for name, measure in MEASURES.items() if _ONLY_OF.get(name, outputs) == outputs}
