"""A checksum of what a table says, whatever the file, the chunking or the library version that carries it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.schema import META_CONTENT

_OURS = b"ig_worker."


def content_digest(table: pa.Table, metadata: Mapping[bytes, bytes]) -> str:
    """SHA-256, hexadecimal, of a table's values and of this project's entries in its metadata, but for itself."""
    digest = hashlib.sha256()
    for key, value in sorted(metadata.items()):
        if key.startswith(_OURS) and key != META_CONTENT:
            _enter(digest, key)
            _enter(digest, value)
    for name, column in zip(table.column_names, table.columns, strict=True):
        _enter(digest, name.encode())
        _enter_array(digest, column.combine_chunks())
    return digest.hexdigest()


def _enter(digest: Any, data: bytes | memoryview) -> None:
    """Add bytes with their number, so that no two sequences of them read alike."""
    digest.update(len(data).to_bytes(8, "big"))
    digest.update(data)


def _enter_array(digest: Any, array: pa.Array) -> None:
    _enter(digest, np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_fixed_size_list(array.type):
        _enter_array(digest, array.flatten())
    elif pa.types.is_list(array.type):
        _enter_numbers(digest, pc.list_value_length(array))
        _enter_array(digest, array.flatten())
    elif pa.types.is_string(array.type):
        _enter_numbers(digest, pc.binary_length(array))
        _enter(digest, _characters(pc.fill_null(array, "")))
    elif pa.types.is_temporal(array.type):
        _enter_numbers(digest, array.view(pa.int32() if array.type.bit_width == 32 else pa.int64()))
    else:
        _enter_numbers(digest, array)


def _enter_numbers(digest: Any, array: pa.Array) -> None:
    empty = False if pa.types.is_boolean(array.type) else 0
    values = pc.fill_null(array, pa.scalar(empty, array.type)).to_numpy(zero_copy_only=False)
    _enter(digest, values.astype(values.dtype.newbyteorder("<")).tobytes())


def _characters(array: pa.Array) -> memoryview | bytes:
    """The UTF-8 bytes of all strings, one after the other."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return b""
    bounds = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return memoryview(data)[bounds[0] : bounds[-1]]
