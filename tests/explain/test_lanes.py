"""Groups of texts side by side: the same results in the same order, and nothing left at work."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from ig_worker.explain.lanes import Lanes
from ig_worker.models.runtime import configure, products, rounds_products
from tests.explain.engines import adaptive, load, problems


def test_lanes_work_at_once_and_results_keep_their_order() -> None:
    together = threading.Barrier(2, timeout=20)

    def work(lane: str, item: int) -> tuple[int, int]:
        if item < 2:
            together.wait()  # would break if one waited for the other to end
        return item, item * item

    assert list(Lanes(["a", "b"]).map(work, range(6))) == [(i, i * i) for i in range(6)]


def test_a_lane_serves_one_thread_at_a_time() -> None:
    busy: set[str] = set()

    def work(lane: str, item: int) -> str:
        assert lane not in busy
        busy.add(lane)
        time.sleep(0.002)
        busy.remove(lane)
        return lane

    assert set(Lanes(["a", "b"]).map(work, range(40))) == {"a", "b"}


def test_an_error_is_raised_when_nothing_is_at_work_any_more() -> None:
    ended, begun = [], []

    def work(lane: str, item: int) -> int:
        begun.append(item)
        if item == 0:
            raise ValueError("broken")
        time.sleep(0.05)
        ended.append(item)
        return item

    with pytest.raises(ValueError, match="broken"):
        list(Lanes(["a", "b"]).map(work, range(50)))
    assert sorted(begun) == [0, *sorted(ended)]  # what was begun has ended
    assert len(begun) < 50


def test_what_finds_no_memory_beside_others_is_tried_again_alone() -> None:
    at_work: set[int] = set()
    together = threading.Barrier(2, timeout=20)
    tries: list[int] = []

    def work(lane: str, item: int) -> int:
        at_work.add(item)
        tries.append(item)
        try:
            if tries.count(item) == 1 and item < 2:
                together.wait()
                if item == 1:
                    raise MemoryError
            assert tries.count(item) == 1 or at_work == {item}
            return item
        finally:
            at_work.remove(item)

    assert list(Lanes(["a", "b"]).map(work, range(4))) == [0, 1, 2, 3]
    assert tries.count(1) == 2


def test_what_finds_no_memory_alone_is_an_error() -> None:
    def work(lane: str, item: int) -> int:
        raise MemoryError

    with pytest.raises(MemoryError):
        list(Lanes(["a", "b"]).map(work, range(3)))


@pytest.mark.parametrize("keep_hidden", [False, True])
def test_how_many_lanes_changes_no_bit(tiny_models: dict[str, Path], keep_hidden: bool) -> None:
    cases = problems(load(tiny_models["distilbert"]))
    one, three = (
        adaptive(tiny_models["distilbert"], "embeddings", 1e-3, keep_hidden=keep_hidden, lanes=lanes).explain(cases)
        for lanes in (1, 3)
    )
    assert len({case.tokens for case in cases}) > 1  # so that there are several groups
    for a, b in zip(one, three, strict=True):
        assert a.attributions.tobytes() == b.attributions.tobytes()
        assert (a.evaluations, a.error_estimate, a.delta) == (b.evaluations, b.error_estimate, b.delta)
        assert not keep_hidden or np.array_equal(a.hidden, b.hidden)


def test_threads_may_round_products_together_but_not_each_in_its_own_way() -> None:
    configure()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(products("tf32"))
        second.enter_context(products("tf32"))
        with pytest.raises(RuntimeError, match="one precision at a time"), products("float32"):
            pass
        first.close()
        assert rounds_products()  # as long as one is within
    assert not rounds_products()
