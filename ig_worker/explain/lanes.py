"""Work side by side: while one group of texts has the host, another has the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar

from ig_worker.models.runtime import tf

Lane = TypeVar("Lane")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Lanes(Generic[Lane]):
    """What does a group's work, as often as groups are worked on at a time; each serves one thread at a time.

    Args:
        lanes: at least one, all of which give the same results.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._count, self._first = len(lanes), lanes[0]
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for lane in lanes:
            self._free.put(lane)

    def map(self, work: Callable[[Lane, Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """`work` of each item, in their order. When this ends, whichever way, nothing is at work any more.

        Memory that does not suffice while others work may do for an item alone: so it is tried again, after the others.

        Raises:
            what `work` raises of the first item of which it does; of items behind it, some are not begun then.
        """
        if self._count == 1 or len(items) < 2:
            yield from (work(self._first, item) for item in items)
            return

        def attempt(item: Item) -> Result | None:
            lane = self._free.get()
            try:
                return work(lane, item)
            except (MemoryError, tf.errors.ResourceExhaustedError):
                return None
            finally:
                self._free.put(lane)

        with ThreadPoolExecutor(self._count, "lane") as pool:
            futures = [pool.submit(attempt, item) for item in items]
            try:
                found = [future.result() for future in futures]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        for item, result in zip(items, found, strict=True):
            yield work(self._first, item) if result is None else result
