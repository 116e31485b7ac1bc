"""What the sections of the page share.

A section is a module and a template of one name: pure functions from tables to plain data, which the template shows and
charts are drawn from. A table that a run does not have (nothing evaluated, nothing compared, no label) leaves its part
of the section out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ig_worker.explain.predicted import DEFAULT
from ig_worker.models.layers import CLASSES

MAX_CLASSES = 12  # the most that have a chart of their words, or a place in the square of labels and predictions

View = dict[str, Any]  # what a template shows, or what a chart is drawn from, ready for JSON


@dataclass(frozen=True)
class Classes:
    """The names of the classes, known or not."""

    names: tuple[str, ...]
    count: int
    exclusive: bool = True  # whether a text has one of them, so that their probabilities add up to 1
    outputs: str = CLASSES  # what they are in the results, of `schema.OUTPUTS`
    threshold: float = DEFAULT  # from which probability on one of several labels is predicted

    def name(self, number: int | None) -> str:
        if number is None:
            return "no label"
        return self.names[number] if 0 <= number < len(self.names) else f"class {number}"


def classes_of(manifest: dict[str, Any], count: int, outputs: str = CLASSES, threshold: float = DEFAULT) -> Classes:
    """Class names of run.json where it has them; `count` is the length of the probabilities."""
    names = part(manifest, "data").get("class_names")
    known = tuple(str(name) for name in names) if isinstance(names, list) else ()
    exclusive = outputs == CLASSES == part(manifest, "data").get("outputs", CLASSES)
    return Classes(known, count, exclusive, outputs, threshold)


def part(manifest: dict[str, Any], key: str) -> dict[str, Any]:
    """A part of run.json, empty where it is missing."""
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def rounded(value: float | None) -> float | None:
    """Six significant digits; None for what is no number."""
    return None if value is None or value != value else float(f"{value:.6g}")
