"""How a label is written: one spelling for one value, whatever the format of the file that it comes from."""

from __future__ import annotations

import math
import re
from decimal import Decimal

import numpy as np

from ig_worker.data.faults import shown

WHOLE = re.compile(r"\s*([+-]?\d{1,18})(?:\.0*)?\s*", re.ASCII)  # "1.0": how pandas writes integers beside nulls
UNKNOWN = "-1"  # a label that is not known, as Hugging Face's data sets write it
_LONGEST = 100  # characters of a label
# What programs write into a cell of CSV that is missing, in their spelling; and words that people may also write.
NOTHING = ("NaN", "nan", "-nan", "<NA>", "None", "NULL", "NaT", "\\N", "#N/A", "#NA")
MAYBE_NOTHING = ("NA", "N/A", "n/a", "na", "null", "none")
_MISSING = frozenset(
    {"nan", "na", "n/a", "#n/a", "<na>", "null", "none", "#na", "-nan", "nat", "\\n"}
)  # as CSV files spell it


def spelling(value: object) -> str | None:
    """The one way to write a label: whole numbers as integers, without blanks around; None where it is missing.

    Raises:
        TypeError: lists, objects and the like, which no label is.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float | Decimal) and math.isnan(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    elif isinstance(value, float | Decimal):
        value = int(value) if math.isfinite(value) and value == int(value) else str(value)
    if not isinstance(value, bool | int | str):
        raise TypeError(f"label {shown(value)} is not a class")
    text = str(value).encode(errors="replace").decode().strip()  # JSON can spell half a surrogate pair
    match = WHOLE.fullmatch(text)
    text = str(int(match[1])) if match else text
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...") or None


def says_nothing(label: str) -> bool:
    """Whether a spelling says that a label is not known: -1, or one of the usual words, such as NaN."""
    return label == UNKNOWN or label.casefold() in _MISSING


def as_number(label: str) -> int | None:
    """The whole number that a spelling writes, or None."""
    return int(label) if WHOLE.fullmatch(label) else None
