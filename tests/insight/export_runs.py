"""Made-up runs to be exported, and readers of what was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.run.store.run_store import RunStore
from tests.insight.conftest import Row, make_labelled_rows, make_quarantine, make_row, make_rows, make_valued_rows

ODD = [
    'say "hi", you',
    "two\r\nlines\nof it\r",
    "nul\0inside",
    "😀 ünï \u2028 \x85",
    '=HYPERLINK("http://example.com")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\tTAB",
    "\rCR",
    "'=quoted",
    "＝1+1",
    "",
    ",;,",
]
NAMES = ["=neg, really", "pos"]
Write = Callable[..., RunStore]


def writer(folder: Path) -> Write:
    """write(rows of chunk 0, rows of chunk 1, ..., **options) makes a run in RUN.

    A row of `schema.attributions` may have `text` and `pair`; one that is only an id is in quarantine. `hidden` units
    are kept of each token.
    """

    def write_run(*chunks: list[Any], name: str = "run", hidden: int | None = None, **data: Any) -> RunStore:
        store = RunStore(str(folder / name))
        store.manifest.write({"fingerprint": "f00d", "data": {"chunks": len(chunks), **data}})
        for index, rows in enumerate(chunks):
            write_chunk(store, index, rows, hidden)
        return store

    return write_run


def write_chunk(store: RunStore, index: int, rows: list[Any], hidden: int | None) -> None:
    texts = [row if isinstance(row, dict) else {"id": row, "text": None, "label": None} for row in rows]
    texts = [{"text": f"text of {row['id']}", **row} for row in texts if row.get("rank", 0) == 0]
    explained = [row for row in rows if isinstance(row, dict)]
    columns = {name for row in explained for name in row}
    pairs, outputs = "pair" in columns, schema.outputs_in(columns)
    store.chunks.write(index, pa.Table.from_pylist(texts, schema=schema.inputs(pairs, outputs)), {})
    places = [place for place, row in enumerate(row for row in rows if not isinstance(row, dict) or row["rank"] == 0)]
    lost = [place for place in places if texts[place]["text"] is None]
    bad = [make_quarantine(1, position=place, id=texts[place]["id"], chunk=index) for place in lost]
    kept = schema.attributions(hidden, pairs, outputs)
    table = pa.Table.from_pylist(explained, schema=kept)
    store.results.commit(index, table, pa.concat_tables([make_quarantine(0), *bad]), "f00d")


def a_row(id: str = "a", text: str | None = None, **changes: Any) -> Row:
    return {**make_row(id=id, **changes), **({} if text is None else {"text": text})}


def two_targets(id: str, **changes: Any) -> list[Row]:
    return [
        a_row(id=id, **changes),
        a_row(id=id, target=0, contrast=1, rank=1, attributions=[0.5] * 3, **changes),
    ]


def rows_of(outputs: str, count: int = 30) -> list[Row]:
    make = {schema.CLASSES: make_rows, schema.LABELS: make_labelled_rows, schema.VALUES: make_valued_rows}[outputs]
    return [{**row, "text": ODD[place % len(ODD)]} for place, row in enumerate(make(count))]


def names_of(outputs: str) -> list[str]:
    return {schema.CLASSES: NAMES, schema.LABELS: [*NAMES, "joy"], schema.VALUES: ["stars"]}[outputs]


def expected(store: RunStore) -> pa.Table:
    """What the run holds, with the texts of its input joined by id."""
    rows = pa.concat_tables(table.replace_schema_metadata(None) for table in store.results.each())
    inputs = pa.concat_tables(
        store.chunks.read(index)[0].replace_schema_metadata(None) for index in store.results.indexes()
    )
    by_id = {row["id"]: row for row in inputs.to_pylist()}
    ids = rows.column("id").to_pylist()
    for place, name in enumerate([name for name in ("text", "pair") if name in inputs.column_names], start=1):
        rows = rows.add_column(place, pa.field(name, pa.string()), [[by_id[id][name] for id in ids]])
    return rows


def place_of(store: RunStore, format: str) -> Path:
    return Path(store.uri) / "export" / format


def read_hf(store: RunStore) -> pa.Table:
    folder = place_of(store, "hf")
    files = [file["filename"] for file in json.loads((folder / "state.json").read_text())["_data_files"]]
    return pa.concat_tables(pa.ipc.open_stream(folder / name).read_all() for name in files)


def read_jsonl(store: RunStore) -> list[Row]:
    data = (place_of(store, "jsonl") / "attributions.jsonl").read_bytes()
    return [json.loads(line) for line in data.decode().removesuffix("\n").split("\n")]


def read_lit(store: RunStore) -> tuple[list[Row], Row]:
    folder = place_of(store, "lit")
    spec = json.loads((folder / "attributions.lit.jsonl.spec").read_bytes().decode("ascii"))
    lines = (folder / "attributions.lit.jsonl").read_bytes().decode("ascii").splitlines()
    return [json.loads(line) for line in lines], spec


def read_csv(store: RunStore) -> list[dict[str, str]]:
    text = (place_of(store, "csv") / "attributions.csv").read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def as_table(rows: list[Row], like: pa.Table) -> pa.Table:
    return pa.Table.from_pylist([{name: row[name] for name in like.column_names} for row in rows], schema=like.schema)


def plain(cell: str) -> str:
    """A cell of text without its guard."""
    return cell.removeprefix("'")


def float32(values: Any) -> Any:
    return np.array(values, np.float32).tolist()
