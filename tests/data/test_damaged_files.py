"""Files as damage or an enemy leave them: documents come out, or one line of this project's own says why not."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.data.faults import DOCUMENTS, FaultFinder
from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.data.spelling import NOTHING
from tests.fuzz import damaged, one_line, quick

ROWS = [{"id": f"r{i}", "text": text, "label": i % 2} for i, text in enumerate(["good film", 'é\n"x", y', "", "dull"])]


def read(path: Path) -> list[dict[str, object]]:
    """The documents of a file, as `prepare` looks at them."""
    documents = open_documents(DataSpec(str(path)))
    batches = list(documents.batches())
    finder = FaultFinder()
    for batch in batches:
        assert batch.schema == DOCUMENTS
        batch.validate(full=True)
        finder.check(batch)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert len(rows) == documents.rows
    return rows


def parquet(**options: object) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream, **options)
    return stream.getvalue()


def comma_separated(rows: list[dict[str, object]], **options: object) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, ["id", "text", "label"], **options)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def json_lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def archive(**options: object) -> bytes:
    lists = np.empty(3, dtype=object)
    lists[:] = [[1, 2], [2], [300, 70_000]]
    stream = io.BytesIO()
    np.savez(stream, x_train=lists, y_train=[1, 1, 0], x_test=lists, y_test=[1, 0, 0])
    return stream.getvalue()


WORDS = json.dumps({"the": 1, "Film": 2}).encode()
WHOLE = {
    ".parquet": [parquet(), parquet(compression="zstd", use_dictionary=False), parquet(row_group_size=2)],
    ".csv": [comma_separated(ROWS), comma_separated(ROWS, quoting=csv.QUOTE_ALL)],
    ".jsonl": [json_lines(ROWS)],
    ".npz": [archive()],
}


@pytest.mark.parametrize("suffix", WHOLE)
def test_undamaged_files_are_read(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "imdb_word_index.json").write_bytes(WORDS)
    for i, data in enumerate(WHOLE[suffix]):
        path = tmp_path / f"{i}{suffix}"
        path.write_bytes(data)
        assert read(path)


@pytest.mark.parametrize("suffix", WHOLE)
@quick
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    (tmp_path / "imdb_word_index.json").write_bytes(WORDS)
    (tmp_path / f"d{suffix}").write_bytes(data.draw(damaged(*WHOLE[suffix])))
    with one_line():
        read(tmp_path / f"d{suffix}")


@quick
@given(words=damaged(WORDS, b'{"\\ud800": 1, "b": 2}', b"[" * 3000))
def test_a_damaged_word_index_is_read_or_refused_in_one_line(tmp_path: Path, words: bytes) -> None:
    (tmp_path / "imdb.npz").write_bytes(WHOLE[".npz"][0])
    (tmp_path / "imdb_word_index.json").write_bytes(words)
    with one_line():
        read(tmp_path / "imdb.npz")


documents = st.lists(st.tuples(st.text(), st.one_of(st.none(), st.integers(0, 2**31 - 1))), min_size=1)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@quick
@given(rows=documents)
def test_what_was_written_comes_out(tmp_path: Path, suffix: str, rows: list[tuple[str, int | None]]) -> None:
    wanted = [{"id": f"r{i}", "text": text, "label": label} for i, (text, label) in enumerate(rows)]
    path = tmp_path / f"d{suffix}"
    path.write_bytes(comma_separated(wanted) if suffix == ".csv" else json_lines(wanted))
    for row in wanted:  # CSV has no null of its own: what programs write instead is null
        row["text"] = None if suffix == ".csv" and row["text"] in NOTHING else row["text"]
    assert read(path) == [row | {"fault": None} for row in wanted]
