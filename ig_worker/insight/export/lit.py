"""The Learning Interpretability Tool's own format: indexed examples as JSON lines, and a spec of their fields beside.

What a field is follows `lit_nlp.api.types`, and both files `lit_nlp.api.dataset.IndexedDataset.save`, version 1.3.1
(https://github.com/PAIR-code/lit).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.explain.explanation import STATUS_CONVERGED, STATUS_FIXED, STATUS_LIMIT
from ig_worker.insight.export import json_cells
from ig_worker.insight.export.run_rows import TEXTS, Shape
from ig_worker.schema import CLASSES, LABEL_LISTS, LABELS, RANK, VALUE, VALUES

FILE = "attributions.lit.jsonl"  # LIT looks for this ending,
SPEC = f"{FILE}.spec"  # and for the spec under this name
SALIENCE = "token_salience"
NUMBERS = ("delta", "error_estimate", "evaluations", "target_probability", "baseline_probability")
Ranges = Mapping[str, tuple[float, float]]  # the least and the greatest number of a field

_META = {"added": None, "parentId": None, "source": None}  # as LIT writes it of an example that nobody has edited
_TUPLE = '{"__class__": "tuple", "__value__": ['


def columns(shape: Shape) -> list[str]:
    """What is read of the rows."""
    left_out = {"input_ids", "word_ids", "segments", "hidden_attributions", "windows"}
    return [name for name in shape.columns.names if name not in left_out]


def lines(rows: pa.Table, shape: Shape) -> list[str]:
    """Each row as an indexed example, in ASCII: LIT opens the file in whatever encoding the system has.

    LIT keeps examples by their ids, so that of a row is `ID#RANK`; `id` is among the fields.
    """
    data = json_cells.objects(fields(rows, shape))
    ids = json_cells.joined(
        rows.column("id").combine_chunks(), "#", pc.cast(rows.column(RANK), pa.string()).combine_chunks()
    )
    examples = {
        "data": data,
        "id": json_cells.cells(ids, ascii=True),
        "meta": json_cells.constant(_META, rows.num_rows),
    }
    return json_cells.objects(examples).to_pylist()


def fields(rows: pa.Table, shape: Shape) -> dict[str, pa.Array]:
    """The fields of `spec` as JSON, string [rows] each."""
    found = {name: json_cells.cells(rows.column(name), ascii=True) for name in columns(shape)}
    for name in _categories(shape):
        found[name] = json_cells.cells(json_cells.named(rows.column(name), shape.names), ascii=True)
    tokens, attributions = found["tokens"], found.pop("attributions")
    head = '{"__class__": "DataTuple", "__name__": "TokenSalience", "tokens": '
    found[SALIENCE] = json_cells.joined(head, tokens, ', "salience": ', attributions, "}")
    if shape.outputs == LABELS:
        found["probabilities"] = _scored(rows.column("probabilities").combine_chunks(), shape.names)
    if shape.outputs != CLASSES:
        found.pop("label")  # which is never known there
    if shape.outputs == VALUES:
        found["prediction"] = json_cells.cells(_values(rows))
        found.pop("probabilities")
    return {name: found[name] for name in spec(shape, {})}


def spec(shape: Shape, ranges: Ranges) -> dict[str, dict[str, Any]]:
    """What each field is, as LIT's spec file says it.

    Args:
        shape: of the rows.
        ranges: of the fields that are numbers, so far as they are known; otherwise from 0 to 1.
    """
    names, found = list(shape.names), {"id": _type("StringLitType")}
    found |= {name: _type("TextSegment") for name in TEXTS if name in shape.columns.names}
    if shape.outputs == CLASSES:
        found["label"] = _type("CategoryLabel", vocab=names, required=False)
        found["prediction"] = _type("CategoryLabel", vocab=names)
        found["probabilities"] = _type("MulticlassPreds", vocab=names, parent="label")
    elif shape.outputs == LABELS:
        found[LABEL_LISTS] = _type("SparseMultilabel", vocab=names, required=False)
        found["prediction"] = _type("CategoryLabel", vocab=names)
        found["probabilities"] = _type("SparseMultilabelPreds", vocab=names, parent=LABEL_LISTS)
    else:
        found[VALUE] = _number(ranges, VALUE, required=False)
        found["prediction"] = _number(ranges, "prediction", "RegressionScore", parent=VALUE)
    found["target"] = _type("CategoryLabel", vocab=names)
    found["contrast"] = _type("CategoryLabel", vocab=names, required=False)
    found[RANK] = _number(ranges, RANK, "Integer", step=1)
    found["tokens"] = _type("Tokens", parent=TEXTS[0])
    found[SALIENCE] = _type("TokenSalience", signed=True)
    found |= {name: _number(ranges, name, required=name != "error_estimate") for name in NUMBERS}
    found["status"] = _type("CategoryLabel", vocab=[STATUS_FIXED, STATUS_CONVERGED, STATUS_LIMIT])
    found["truncated"] = _type("BooleanLitType")
    return found


def ranges(rows: pa.Table, shape: Shape, known: Ranges) -> dict[str, tuple[float, float]]:
    """`known` with what the numbers of these rows add to it; a column of nulls adds nothing."""
    columns = {name: rows.column(name) for name in (*NUMBERS, RANK)}
    if shape.outputs == VALUES:
        columns |= {VALUE: rows.column(VALUE), "prediction": _values(rows)}
    found = dict(known)
    for name, column in columns.items():
        both = pc.min_max(column).as_py()
        if both["min"] is not None:
            low, high = found.get(name, (both["min"], both["max"]))
            found[name] = min(low, both["min"]), max(high, both["max"])
    return found


def spec_text(found: Mapping[str, Any]) -> bytes:
    """The spec file."""
    return json.dumps(found, indent=2).encode()


def _type(name: str, **attributes: Any) -> dict[str, Any]:
    return {"__class__": "LitType", "__name__": name, **attributes}


def _number(ranges: Ranges, field: str, name: str = "Scalar", **attributes: Any) -> dict[str, Any]:
    low, high = ranges.get(field, (0, 1))
    return _type(name, min_val=low, max_val=high, **attributes)


def _categories(shape: Shape) -> list[str]:
    """Columns of numbers that LIT shows by their names."""
    shared = ["target", "contrast"]
    by_outputs = {CLASSES: ["label", "prediction"], LABELS: [LABEL_LISTS, "prediction"], VALUES: []}
    return by_outputs[shape.outputs] + shared


def _values(rows: pa.Table) -> pa.Array:
    """What the model says of the target, float32 [rows]."""
    lists = rows.column("probabilities").combine_chunks()
    lengths = pc.list_value_length(lists).to_numpy()
    starts = lengths.cumsum() - lengths
    return pc.list_flatten(lists).take(pa.array(starts + rows.column("target").to_numpy()))


def _scored(probabilities: pa.Array, names: tuple[str, ...]) -> pa.Array:
    """(name, probability) of each label, as JSON of lists of tuples, string [rows]."""
    scores = json_cells.cells(pc.list_flatten(probabilities))
    labels = pa.array([json.dumps(name) for name in names] * len(probabilities))
    tuples = json_cells.joined(_TUPLE, labels, ", ", scores, "]}")
    lists = pa.ListArray.from_arrays(pa.array(range(0, len(tuples) + 1, len(names)), pa.int32()), tuples)
    return json_cells.joined("[", pc.binary_join(lists, ", "), "]")
