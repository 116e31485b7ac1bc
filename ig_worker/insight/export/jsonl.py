"""JSON Lines: one object a row, with every column of the attributions, the texts, and the names of the classes."""

from __future__ import annotations

import pyarrow as pa

from ig_worker.insight.export import json_cells
from ig_worker.insight.export.run_rows import Shape
from ig_worker.schema import CLASSES, LABEL_LISTS, LABELS

FILE = "attributions.jsonl"


def columns(shape: Shape) -> list[str]:
    """What is read of the rows: all of it."""
    return list(shape.columns.names)


def lines(rows: pa.Table, shape: Shape) -> list[str]:
    """Each row as a JSON object, without the end of the line.

    Beside a number of a class stands its name, in `label_name`, `prediction_name`, `target_name`, `contrast_name`; of
    several labels, `label_names` are those of `labels`. `class_names` are in the order of `probabilities`.
    """
    found = {name: json_cells.cells(rows.column(name)) for name in rows.column_names}
    for column, name in name_columns(shape).items():
        found[name] = json_cells.cells(json_cells.named(rows.column(column), shape.names))
    found["class_names"] = json_cells.constant(list(shape.names), rows.num_rows)
    return json_cells.objects(found).to_pylist()


def name_columns(shape: Shape) -> dict[str, str]:
    """The columns of numbers of classes, and what the columns with their names are called."""
    found = {"target": "target_name", "contrast": "contrast_name"}
    if shape.outputs == CLASSES:
        return {"label": "label_name", "prediction": "prediction_name", **found}
    return {LABEL_LISTS: "label_names", **found} if shape.outputs == LABELS else found
