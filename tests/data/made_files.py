"""Small files of documents, and what is read from them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ig_worker.data.faults import DOCUMENTS, FaultFinder
from ig_worker.data.sources import DataSpec, Documents, open_documents
from ig_worker.errors import DataError

ROWS = [{"id": f"r{row}", "text": f"text {row}", "label": row % 2} for row in range(10)]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    """The same rows in the format that the suffix says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(documents: Documents) -> list[dict[str, object]]:
    batches = list(documents.batches())
    assert all(batch.schema == DOCUMENTS for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def reasons(documents: Documents) -> dict[int, str]:
    finder, start, found = FaultFinder(), 0, {}
    for batch in documents.batches():
        found.update({start + at: fault.reason for at, fault in finder.check(batch).items()})
        start += batch.num_rows
    return found


def refused(spec: DataSpec) -> str:
    with pytest.raises(DataError) as caught:
        open_documents(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def opened(path: Path | str, **changes: object) -> Documents:
    return open_documents(DataSpec(str(path), **changes))  # type: ignore[arg-type]


def column(documents: Documents, name: str) -> list[object]:
    return [row[name] for row in rows_of(documents)]


def parts(folder: Path, *names: str, **columns: list[object]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        rows = {"text": [f"{name} 0", f"{name} 1"], **columns}
        write(folder / name, [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)])
    return folder
