"""Reads what the report's scripts hold, as templates/app/data.js does."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np


def content(script: str, function: str) -> dict[str, Any]:
    """What a script calls igReport.`function` with."""
    head, tail = f"igReport.{function}(", ");\n"
    assert script.startswith(head)
    assert script.endswith(tail)
    return json.loads(script[len(head) : -len(tail)])


def numbers(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.dtype(dtype).newbyteorder("<"))


def varints(text: str) -> list[int]:
    found, value, shift = [], 0, 0
    for byte in base64.b64decode(text):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            found.append(value)
            value = shift = 0
    return found


def postings(segment: dict[str, Any]) -> dict[int, list[int]]:
    """Rows of the segment by key."""
    gaps, found, key = iter(varints(segment["postings"])), {}, 0
    for step, count in zip(varints(segment["keys"]), varints(segment["counts"]), strict=True):
        key += step
        found[key] = np.cumsum([next(gaps) for _ in range(count)]).tolist()
    return found
