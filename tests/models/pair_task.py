"""Made-up pairs of which neither text alone says the label: two words of a scale, and whether the first is higher."""

from __future__ import annotations

import json
import random
from pathlib import Path

from ig_worker.data.sources import DataSpec

SCALE = ("awful", "dull", "good", "great")
ALONE = 4 / 6  # the best accuracy from either text alone, or from both without knowing which is which
# Neighbours on the scale: one text with a word of its ends says the label, one with an inner word says nothing.
_STEPS = [(i, j) for i in range(len(SCALE)) for j in range(len(SCALE)) if abs(i - j) == 1]
_FIRST, _SECOND = ("film", "movie", "plot"), ("it was", "an act and it was", "the end was very")


def write_pairs(path: Path, rows: int = 400) -> DataSpec:
    """A file of such pairs, with each step of the scale equally often; label 1: the first text's word is higher."""
    lines = []
    for i in range(rows):
        number, (first, second) = i // len(_STEPS), _STEPS[i % len(_STEPS)]
        text = f"the {_FIRST[number % 3]} was {SCALE[first]}"
        other = f"{_SECOND[number // 3 % 3]} {SCALE[second]}"
        lines.append({"text": text, "other": other, "label": int(first > second)})
    random.Random(0).shuffle(lines)  # rows for the test are chosen by their place
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return DataSpec(str(path), pair_column="other")
