"""A folder as Hugging Face's `datasets` saves one, for `datasets.load_from_disk`, written without that library.

It holds Arrow's stream format in `data-*.arrow`, `dataset_info.json` with the features, and `state.json`, which names
the files. Without the last one the folder is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ig_worker.insight.export.run_rows import Shape
from ig_worker.schema import CLASSES, LABEL_LISTS, VALUES

INFO, STATE, SHARDS = "dataset_info.json", "state.json", "data-*.arrow"
MOST_BYTES = 500 << 20  # of a file
Feature = dict[str, Any]

_NUMBERED = ("prediction", "target", "contrast")  # whose numbers are those of classes or labels
_VALUES = {"bool": "bool", "string": "string", "int32": "int32", "int64": "int64", "float": "float32"}


def columns(shape: Shape) -> list[str]:
    """What is read of the rows: all of it."""
    return list(shape.columns.names)


def shard(number: int) -> str:
    """The name of a file with rows."""
    return f"data-{number:05d}.arrow"


def features(shape: Shape) -> dict[str, Feature]:
    """What each column holds, in that library's words; lists as `Sequence`, which all of its versions read."""
    numbered = {
        name
        for name in (*_NUMBERED, LABEL_LISTS, *(["label"] if shape.outputs == CLASSES else []))
        if shape.outputs != VALUES
    }
    return {field.name: _feature(field.type, shape.names if field.name in numbered else ()) for field in shape.columns}


def arrow_schema(shape: Shape) -> pa.Schema:
    """The columns as these features are stored, with the features among the metadata, as that library writes it."""
    found = features(shape)
    fields = [pa.field(field.name, _stored(field.type, found[field.name])) for field in shape.columns]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": found}})})


def batches(rows: pa.Table, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows as they are stored."""
    yield from rows.cast(schema).combine_chunks().to_batches()


def info(shape: Shape, description: str) -> dict[str, Any]:
    """The content of `dataset_info.json`."""
    return {"citation": "", "description": description, "features": features(shape), "homepage": "", "license": ""}


def state(files: list[str], fingerprint: str) -> dict[str, Any]:
    """The content of `state.json`.

    Args:
        files: the names of those with rows, in order.
        fingerprint: of the rows; that library keeps what it computes under it.
    """
    return {
        "_data_files": [{"filename": name} for name in files],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }


def _feature(kind: pa.DataType, names: tuple[str, ...]) -> Feature:
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        length = {"length": kind.list_size} if pa.types.is_fixed_size_list(kind) else {}
        return {"feature": _feature(kind.value_type, names), **length, "_type": "Sequence"}
    if names:
        return {"names": list(names), "_type": "ClassLabel"}
    return {"dtype": _VALUES[str(kind)], "_type": "Value"}


def _stored(kind: pa.DataType, feature: Feature) -> pa.DataType:
    if feature["_type"] == "ClassLabel":
        return pa.int64()
    if pa.types.is_list(kind):
        return pa.list_(_stored(kind.value_type, feature["feature"]))
    return kind
