"""Grouping and packing are arithmetic: nothing lost, nothing twice, shapes fixed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.explain.packing import BatchShape, evaluation_batches, group_by_length, stack

SHAPES = st.builds(BatchShape, st.integers(1, 64), st.integers(1, 9000))


@given(st.lists(st.integers(0, 600), max_size=80), SHAPES)
def test_every_document_is_in_one_group_that_it_fits_into(lengths: list[int], shape: BatchShape) -> None:
    groups = group_by_length(lengths, shape)
    assert sorted(i for group in groups for i in group.members) == list(range(len(lengths)))
    for group in groups:
        assert len(group.members) <= group.rows
        assert all(lengths[i] <= group.length < lengths[i] + shape.length_multiple + 1 for i in group.members)
        assert group.rows == 1 or group.rows * group.length <= shape.batch_tokens


@given(st.integers(1, 20), st.integers(1, 60), st.integers(1, 40))
def test_every_document_meets_every_node_once(documents: int, nodes: int, rows: int) -> None:
    batches = list(evaluation_batches(documents, nodes, rows))
    pairs = [(d, n) for b in batches for d, n in zip(b.problem[: b.used], b.node[: b.used], strict=True)]
    assert sorted(pairs) == [(d, n) for d in range(documents) for n in range(nodes)]
    assert all(len(b.problem) == len(b.node) == rows for b in batches)
    assert all(b.used == rows for b in batches[:-1])
    assert all((b.problem < documents).all() and (b.node < nodes).all() for b in batches)


def test_short_documents_are_padded_with_zeros_and_missing_rows_repeat_the_first() -> None:
    stacked = stack([np.array([5, 6], np.int32), np.array([7], np.int32)], rows=3, length=4)
    assert stacked.tolist() == [[5, 6, 0, 0], [7, 0, 0, 0], [5, 6, 0, 0]]


def test_no_length_is_rounded_up_beyond_the_longest() -> None:
    shape = BatchShape(32, 2048, longest=40)
    assert [shape.padded(tokens) for tokens in (1, 32, 33, 40)] == [32, 32, 40, 40]


def test_a_text_longer_than_a_batch_still_gets_one_row() -> None:
    assert BatchShape(32, 100).rows(256) == 1
