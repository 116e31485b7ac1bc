"""Small files with further columns, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest

from ig_worker.data.faults import documents
from ig_worker.data.sources import DataSpec, Documents, open_documents
from ig_worker.errors import DataError


def write(path: Path, rows: list[dict[str, Any]] | pa.Table) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        if path.suffix == ".parquet":
            pq.write_table(table, path)
        else:
            with ipc.new_stream(str(path), table.schema) as writer:
                writer.write_table(table)
    return path


def opened(place: Path | str, keep: str | tuple[str, ...], **more: Any) -> Documents:
    return open_documents(DataSpec(str(place), keep_columns=keep, **more))


def values(found: Documents) -> list[dict[str, Any]]:
    """The columns that are kept, row by row."""
    names = [field.name for field in found.kept]
    batches = list(found.batches())
    assert all(batch.schema == documents(kept=found.kept) for batch in batches)
    return [row for batch in batches for row in batch.select(names).to_pylist()]


def refused(place: Path | str, keep: str | tuple[str, ...], **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        opened(place, keep, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)
