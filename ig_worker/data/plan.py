"""How a stream of documents is cut into chunks: pure arithmetic, so that equal inputs give equal chunks.

The plan depends on the documents and on ``chunk_rows`` alone, never on the number of actors nor on how the reader
happened to batch its rows; chunk names and chunk bytes follow from the plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pyarrow as pa

from ig_worker.errors import UsageError

_NAME = re.compile(r"chunk-(\d{5}|[1-9]\d{5,})")  # no leading zeros beyond five digits: one name per index
_MOST_BYTES = 1 << 30  # in a chunk: Arrow cannot hold twice as much text in one piece, nor should a machine have to


def chunk_name(index: int) -> str:
    """The name of chunk `index` (from 0): ``chunk-00042``.

    Names up to ``chunk-99999`` sort like their numbers. Longer ones (``chunk-100000``) do not, so whatever needs the
    order sorts by `parse_chunk_name`, never by name.
    """
    if index < 0:
        raise ValueError(f"chunk index {index} is negative")
    return f"chunk-{index:05d}"


def parse_chunk_name(name: str) -> int | None:
    """The index of the chunk called `name`, or None where `name` is not what `chunk_name` returns for any index."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and name.isascii() else None


def chunk_count(rows: int, chunk_rows: int) -> int:
    """The number of chunks of at most `chunk_rows` rows that `rows` rows make.

    Raises:
        UsageError: `chunk_rows` is below 1.
    """
    _check_chunk_rows(chunk_rows)
    return -(-rows // chunk_rows)


def rechunk(batches: Iterable[pa.RecordBatch], chunk_rows: int) -> Iterator[pa.Table]:
    """`batches` as tables of exactly `chunk_rows` rows, in order; only the last may be shorter, and none is empty.

    Each table is contiguous: where the incoming batches ended leaves no trace in it, nor in a file written from it.

    Raises:
        UsageError: `chunk_rows` is below 1, or too many for rows as long as these.
    """
    _check_chunk_rows(chunk_rows)
    return _rechunk(batches, chunk_rows)


def _rechunk(batches: Iterable[pa.RecordBatch], chunk_rows: int) -> Iterator[pa.Table]:
    pending: list[pa.RecordBatch] = []
    missing, size = chunk_rows, 0  # rows until the pending chunk is full; its bytes so far
    for batch in batches:
        start = 0
        while batch.num_rows - start >= missing:
            pending.append(batch.slice(start, missing))
            yield _contiguous(pending)
            start += missing
            pending, missing, size = [], chunk_rows, 0
        if start < batch.num_rows:
            pending.append(batch.slice(start))
            missing -= batch.num_rows - start
            size += pending[-1].nbytes
        if size > _MOST_BYTES:
            raise UsageError(
                f"--chunk-rows is {chunk_rows}, and {chunk_rows - missing} rows have more than a GiB of text",
                remedy="give fewer",
            )
    if pending:
        yield _contiguous(pending)


def _contiguous(parts: list[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(parts).combine_chunks()


def _check_chunk_rows(chunk_rows: int) -> None:
    if chunk_rows < 1:
        raise UsageError(
            f"--chunk-rows is {chunk_rows}",
            expected="a whole number of at least 1",
            remedy="a few hundred rows make a chunk of some minutes",
        )
