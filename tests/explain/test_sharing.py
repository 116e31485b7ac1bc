"""Which problems share a path, and with how many nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem
from ig_worker.explain.sharing import group_paths, nodes_together, paths_of, share
from ig_worker.explain.targets import Target
from ig_worker.models.inputs import ModelInput


def text(tokens: int) -> tuple[ModelInput, np.ndarray]:
    return ModelInput.single(np.ones(tokens, np.int32)), np.zeros(tokens, np.int32)


def cases(*rows: tuple[tuple[ModelInput, np.ndarray], int]) -> list[Problem]:
    """Of each text and baseline so many targets."""
    return [Problem(*ends, Target(c)) for ends, count in rows for c in range(count)]


def test_a_path_is_of_the_same_arrays_and_equal_ones_are_another() -> None:
    one, equal = text(3), text(3)
    mixed = [*cases((one, 2), (equal, 1)), Problem(one[0], one[1].copy()), *cases((one, 1))]
    assert paths_of(mixed) == [(0, 1, 4), (2,), (3,)]
    assert paths_of(mixed, most=2) == [(0, 1), (2,), (3,), (4,)]


def test_a_path_may_be_unpacked_and_packed_again_on_its_way_to_the_engine() -> None:
    one = text(3)
    assert paths_of([Problem(*one), Problem(ModelInput(*one[0]), one[1])]) == [(0, 1)]


def test_texts_with_one_target_are_grouped_as_if_there_were_no_others() -> None:
    shape = BatchShape(length_multiple=8, batch_tokens=16)
    single, several = cases(*[(text(n), 1) for n in (3, 12, 5, 6)]), cases(*[(text(n), 3) for n in (4, 13)])
    alone, mixed = group_paths(single, shape), group_paths([*several[:3], *single, *several[3:]], shape)
    assert [group.paths for group in alone] == [((0,), (2,)), ((3,),), ((1,),)]
    assert [group.paths for group in mixed[:3]] == [((3,), (5,)), ((6,),), ((4,),)]
    assert [(group.length, group.rows, group.paths) for group in mixed[3:]] == [
        (8, 2, ((0, 1, 2),)),
        (16, 1, ((7, 8, 9),)),
    ]


@pytest.mark.parametrize("targets", [1, 2, 28])
def test_shares_add_up_to_one_forward_pass_and_the_way_back_of_each(targets: int) -> None:
    assert share(10, targets) * targets == pytest.approx(5 + 5 * targets)


def test_one_target_has_what_it_asks_for() -> None:
    assert nodes_together([7], [7]) == [7]


def test_nearby_numbers_are_shared_and_one_that_asks_for_far_more_is_by_itself() -> None:
    assert nodes_together([9, 10, 9, 8], [32] * 4) == [10] * 4
    assert nodes_together([6, 30, 6, 6, 6, 6, 6, 6], [32] * 8) == [6, 30, 6, 6, 6, 6, 6, 6]


def test_nobody_gets_more_than_it_may_have() -> None:
    assert nodes_together([9, 10], [32, 32]) == [10, 10]
    assert nodes_together([9, 10], [9, 32]) == [9, 10]


def partitions(items: Sequence[int]) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    for rest in partitions(items[1:]):
        yield [[items[0]], *rest]
        for i in range(len(rest)):
            yield [*rest[:i], [items[0], *rest[i]], *rest[i + 1 :]]


@given(st.lists(st.integers(4, 32), min_size=1, max_size=6))
def test_no_other_way_to_share_costs_less(asked: list[int]) -> None:
    found = nodes_together(asked, [32] * len(asked))
    assert all(n >= least for n, least in zip(found, asked, strict=True))
    cost = sum(n * (1 + found.count(n)) / 2 for n in set(found))
    assert cost == min(
        sum(max(asked[i] for i in part) * (1 + len(part)) / 2 for part in parts)
        for parts in partitions(range(len(asked)))
    )
