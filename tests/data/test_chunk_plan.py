import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.data.plan import chunk_count, chunk_name, parse_chunk_name, rechunk
from ig_worker.errors import UsageError
from tests.fuzz import quick

sizes = st.lists(st.integers(0, 9), max_size=12)


def batches_of(counts: list[int]) -> list[pa.RecordBatch]:
    rows = iter(range(sum(counts)))
    return [pa.record_batch({"row": pa.array([next(rows) for _ in range(count)], pa.int64())}) for count in counts]


@quick
@given(sizes, st.integers(1, 20))
def test_every_row_ends_in_exactly_one_chunk_in_order(counts: list[int], chunk_rows: int) -> None:
    chunks = list(rechunk(batches_of(counts), chunk_rows))
    rows = [row for chunk in chunks for row in chunk.column("row").to_pylist()]
    assert rows == list(range(sum(counts)))
    assert [chunk.num_rows for chunk in chunks[:-1]] == [chunk_rows] * (len(chunks) - 1)
    assert len(chunks) == chunk_count(sum(counts), chunk_rows)


@quick
@given(sizes, st.integers(1, 20))
def test_chunks_do_not_depend_on_the_readers_batches(counts: list[int], chunk_rows: int) -> None:
    one_batch = list(rechunk(batches_of([sum(counts)]), chunk_rows))
    many_batches = list(rechunk(batches_of(counts), chunk_rows))
    assert many_batches == one_batch
    assert all(len(chunk.column("row").chunks) == 1 for chunk in many_batches)


def test_chunks_are_made_while_the_stream_is_read() -> None:
    def endless():
        while True:
            yield from batches_of([3])

    chunks = rechunk(endless(), 4)
    assert [next(chunks).num_rows for _ in range(5)] == [4] * 5


def test_a_chunk_of_more_text_than_arrow_can_hold_is_refused_in_one_line() -> None:
    megabyte = pa.record_batch({"text": pa.array(["x" * 2**20])})
    with pytest.raises(UsageError, match=r"--chunk-rows is 4096, and 10\d\d rows have more than a GiB .* give fewer"):
        list(rechunk([megabyte] * 1100, 4096))
    assert len(list(rechunk([megabyte] * 4, 1))) == 4


@pytest.mark.parametrize("chunk_rows", [0, -5])
def test_chunks_without_rows_are_refused_before_anything_is_read(chunk_rows: int) -> None:
    with pytest.raises(UsageError, match=f"--chunk-rows is {chunk_rows}"):
        rechunk(iter([]), chunk_rows)
    with pytest.raises(UsageError, match="--chunk-rows"):
        chunk_count(10, chunk_rows)


@quick
@given(st.integers(0, 10**9))
def test_a_chunk_name_gives_its_index_back(index: int) -> None:
    assert parse_chunk_name(chunk_name(index)) == index


@quick
@given(st.integers(0, 99_999), st.integers(0, 99_999))
def test_names_of_up_to_five_digits_sort_like_their_numbers(one: int, other: int) -> None:
    assert (chunk_name(one) < chunk_name(other)) == (one < other)


@pytest.mark.parametrize(
    "name", ["chunk-42", "chunk-000042", "chunk-00042.parquet", "part-00042", ".tmp-chunk-00042", "chunk-٤٤٤٤٤", ""]
)
def test_only_a_chunks_own_name_is_parsed(name: str) -> None:
    assert parse_chunk_name(name) is None


def test_a_negative_index_has_no_name() -> None:
    with pytest.raises(ValueError, match="-1"):
        chunk_name(-1)
