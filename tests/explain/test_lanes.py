"""Groups of texts side by side: the same results in the same order, and nothing left at work."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import pytest

from ig_worker.explain.lanes import Lanes, StoppedError
from ig_worker.explain.memory import Memory
from ig_worker.models.runtime import configure, products, rounds_products
from tests.explain.engines import adaptive, load, problems


def test_lanes_work_at_once_and_results_keep_their_order() -> None:
    together = threading.Barrier(2, timeout=20)

    def work(lane: str, item: int) -> tuple[int, int]:
        if item < 2:
            together.wait()  # would break if one waited for the other to end
        return item, item * item

    assert Lanes(["a", "b"], threading.Event()).map(work, range(6)) == [(i, i * i) for i in range(6)]


def test_a_lane_serves_one_thread_at_a_time() -> None:
    busy: set[str] = set()

    def work(lane: str, item: int) -> str:
        assert lane not in busy
        busy.add(lane)
        time.sleep(0.002)
        busy.remove(lane)
        return lane

    assert set(Lanes(["a", "b"], threading.Event()).map(work, range(40))) == {"a", "b"}


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
        Lanes(["a", "b"], threading.Event()).map(work, range(50))
    assert sorted(begun) == [0, *sorted(ended)]  # what was begun has ended
    assert len(begun) < 50


def test_what_is_at_work_is_told_that_it_is_no_longer_wanted() -> None:
    stop, begun = threading.Event(), threading.Barrier(2, timeout=20)

    def work(lane: str, item: int) -> None:
        begun.wait()
        if item == 0:
            raise ValueError("broken")
        assert stop.wait(20)
        raise StoppedError

    with pytest.raises(ValueError, match="broken"):
        Lanes(["a", "b"], stop).map(work, range(2))
    assert Lanes(["a"], stop).map(lambda lane, item: stop.is_set(), [0]) == [False]


def test_a_lane_that_is_still_at_work_is_waited_for() -> None:
    lanes, begun = Lanes(["a"], threading.Event()), threading.Event()
    order: list[str] = []

    def slow(lane: str, item: int) -> None:
        begun.set()
        time.sleep(0.1)
        order.append("first")

    thread = threading.Thread(target=lanes.map, args=(slow, [0]))
    thread.start()
    begun.wait(20)
    lanes.map(lambda lane, item: order.append("second"), [0])
    thread.join()
    assert order == ["first", "second"]


def test_the_log_says_of_which_chunk_a_lane_tells() -> None:
    about: ContextVar[str] = ContextVar("about", default="")
    about.set("chunk 3")
    assert Lanes(["a", "b"], threading.Event()).map(lambda lane, item: about.get(), range(4)) == ["chunk 3"] * 4


class Device:
    """Has room for so many texts at a time."""

    def __init__(self, room: int) -> None:
        self.room, self.used, self.sizes = room, 0, list[int]()
        self._lock = threading.Lock()

    def run(self, size: int) -> int:
        with self._lock:
            if self.used + size > self.room:
                raise MemoryError
            self.used += size
        time.sleep(0.01)
        with self._lock:
            self.used -= size
            self.sizes.append(size)
        return size


def test_two_lanes_change_the_size_of_no_batch() -> None:
    device, memory = Device(room=12), Memory()
    lanes = Lanes(["a", "b"], threading.Event())
    assert lanes.map(lambda lane, item: memory.fit(device.run, 10, 128), range(20)) == [10] * 20
    assert device.sizes == [10] * 20


def test_what_does_not_fit_alone_is_halved_for_all_lanes() -> None:
    device, memory = Device(room=12), Memory()
    lanes = Lanes(["a", "b"], threading.Event())
    found = lanes.map(lambda lane, item: memory.fit(device.run, 16, 128), range(20))
    assert set(found) == {8}
    with pytest.raises(MemoryError):
        memory.fit(Device(room=0).run, 16, 128)


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
