"""One flat CSV file for spreadsheets: RFC 4180, in UTF-8 with a byte order mark.

Excel takes a file without that mark for one in the system's old code page, and shows two letters for every é; pandas,
Polars and DuckDB skip it. A cell holds 32,767 characters there: a longer text is cut, a longer list is left out, and
the cell `cut` names the columns. No text can be a formula; see `guarded`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ig_worker.explain.predicted import predicted_labels
from ig_worker.insight.export import json_cells
from ig_worker.insight.export.run_rows import HIDDEN, TEXTS, Shape
from ig_worker.insight.heat.pieces import joined
from ig_worker.schema import CLASSES, LABEL_LISTS, LABELS, RANK, SEGMENTS, VALUE, VALUES

FILE = "attributions.csv"
MOST_ROWS = 1_048_575  # of a sheet, without the head
MOST_CHARACTERS = 32_767  # of a cell, in Excel and in LibreOffice; those above U+FFFF count twice
WORDS = 5  # of the strongest, for and against

_BOM, _ELLIPSIS, _QUOTE = "\ufeff", "…", "'"
# What a formula begins with (OWASP, "CSV Injection"), also in full width; and the sign that is put before it.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", _QUOTE)
_NUMBERS = ("target_probability", "baseline_probability", "delta", "error_estimate", "evaluations")
_LISTS = ("tokens", "attributions")  # as JSON


def columns(shape: Shape) -> list[str]:
    """What is read of the rows."""
    return [name for name in shape.columns.names if name not in ("input_ids", SEGMENTS, HIDDEN)]


def head(shape: Shape) -> list[str]:
    """The names of the cells, in order."""
    texts = [name for name in TEXTS if name in shape.columns.names]
    told = {
        CLASSES: ["label", "label_name", "prediction", "prediction_name", "confidence"],
        LABELS: [LABEL_LISTS, "prediction"],
        VALUES: [VALUE, "prediction"],
    }[shape.outputs]
    explained = ["target", "target_name", "contrast", "contrast_name", RANK]
    rest = ["status", "truncated", "windows", *_outputs(shape), "words_for", "words_against", "cut"]
    return ["id", *texts, *told, *explained, *_NUMBERS, *rest, *_LISTS]


def beginning(shape: Shape) -> str:
    """What the file begins with: the mark, and the names."""
    return _BOM + text_of([[guarded(name) for name in head(shape)]])


def lines(rows: pa.Table, shape: Shape) -> list[list[Any]]:
    """Each row as its cells: text that is `guarded`, numbers, or None for what is not known."""
    names, outputs = head(shape), _outputs(shape)
    read = {name: _floats(rows.column(name)) for name in _NUMBERS}
    read |= {name: json_cells.cells(rows.column(name)).to_pylist() for name in _LISTS}
    probabilities = json_cells.cells(rows.column("probabilities")).to_pylist()
    as_they_are = [name for name in ("id", *TEXTS, "target", "contrast", RANK, "status", "windows") if name in names]
    found = []
    for place, row in enumerate(rows.to_pylist()):
        said = probabilities[place][1:-1].split(", ")
        cells = {name: values[place] for name, values in read.items()} | {name: row[name] for name in as_they_are}
        cells |= {"truncated": "true" if row["truncated"] else "false", **dict(zip(outputs, said, strict=True))}
        cells |= _told(row, said, shape)
        cells |= {f"{name}_name": _name(row[name], shape) for name in _named(shape)}
        cells |= strongest(row["tokens"], row["word_ids"], row["attributions"])
        fitted = fitting(cells, _texts(shape))
        found.append([fitted[name] for name in names])
    return found


def text_of(rows: Sequence[Sequence[Any]]) -> str:
    """Rows of cells as CSV, each with the end of its line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that could be, or that begins with ', has a ' before it.

    Whoever takes one ' away from the beginning of each cell of text has the text again. NUL, which ends a text for many
    readers, becomes U+FFFD.
    """
    text = text.replace("\0", "\ufffd")
    return _QUOTE + text if text.startswith(_FORMULAS) else text


def fitting(cells: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """The cells with those of `texts` guarded, and with none above `MOST_CHARACTERS`; `cut` names those that were."""
    found, cut = dict(cells), []
    for name in (*texts, *_LISTS):
        cell = found[name]
        if cell is None:
            continue
        found[name] = cell = guarded(cell) if name in texts else cell
        if 2 * len(cell) > MOST_CHARACTERS and _characters(cell) > MOST_CHARACTERS:
            found[name] = _shortened(cell) if name in texts else None
            cut.append(name)
    return {**found, "cut": " ".join(cut)}


def strongest(tokens: Sequence[str], word_ids: Sequence[int], attributions: Sequence[float]) -> dict[str, str]:
    """The words that add most to what is explained, and those that take most away: ``great +0.12, fine +0.034``.

    Pieces are joined and the occurrences of a word summed; special tokens are no words. All arguments are [tokens].
    """
    sums: dict[str, float] = {}
    for word, number, value in zip(*joined(tokens, word_ids, attributions), strict=True):
        if number >= 0:
            sums[word] = sums.get(word, 0.0) + value
    ranked = sorted(sums.items(), key=lambda item: item[1])
    against = [item for item in ranked[:WORDS] if item[1] < 0]
    speaking_for = [item for item in ranked[: -WORDS - 1 : -1] if item[1] > 0]
    return {"words_for": _listed(speaking_for), "words_against": _listed(against)}


def _listed(words: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{word} {value:+.2g}" for word, value in words)


def _told(row: Mapping[str, Any], said: Sequence[str], shape: Shape) -> dict[str, Any]:
    """What the data and the model say; `said` are the numbers of `probabilities`."""
    if shape.outputs == VALUES:
        value = None if row[VALUE] is None else _floats(pa.array([row[VALUE]], pa.float32()))[0]
        return {VALUE: value, "prediction": said[row["target"]]}
    if shape.outputs == CLASSES:
        told = row["prediction"]
        return {"label": row["label"], "prediction": told, "confidence": said[told]}
    true, told = row[LABEL_LISTS], predicted_labels(row["probabilities"], shape.threshold)
    return {LABEL_LISTS: None if true is None else _several(true, shape), "prediction": _several(told, shape)}


def _several(numbers: Sequence[int], shape: Shape) -> str:
    return "; ".join(str(_name(number, shape)) for number in numbers) or "(none)"


def _name(number: int | None, shape: Shape) -> str | None:
    return shape.names[number] if number is not None and 0 <= number < len(shape.names) else None


def _named(shape: Shape) -> list[str]:
    """The columns of numbers beside which a cell has the name."""
    return [*(("label", "prediction") if shape.outputs == CLASSES else ()), "target", "contrast"]


def _texts(shape: Shape) -> list[str]:
    """The names of the cells with text."""
    told = (LABEL_LISTS, "prediction") if shape.outputs == LABELS else ()
    names = [f"{name}_name" for name in _named(shape)]
    texts = [name for name in TEXTS if name in shape.columns.names]
    return ["id", *texts, *told, *names, "status", "words_for", "words_against"]


def _outputs(shape: Shape) -> list[str]:
    """The names of the cells with what the model says, one for each class, label or value."""
    kind = "predicted" if shape.outputs == VALUES else "probability"
    return [f"{kind}:{name}" for name in shape.names]


def _floats(column: pa.ChunkedArray | pa.Array) -> list[str | None]:
    """float32 as text that gives the same number again."""
    return [None if cell == "null" else cell for cell in json_cells.cells(column).to_pylist()]


def _characters(text: str) -> int:
    """As spreadsheets count: units of UTF-16."""
    return len(text.encode("utf-16-le")) // 2


def _shortened(text: str) -> str:
    kept = text.encode("utf-16-le")[: 2 * (MOST_CHARACTERS - len(_ELLIPSIS))]
    return kept.decode("utf-16-le", errors="ignore") + _ELLIPSIS
