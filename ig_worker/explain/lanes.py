"""Work side by side: while one group of texts has the host, another has the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue
from threading import Event
from typing import Generic, TypeVar

Lane = TypeVar("Lane")
Item = TypeVar("Item")
Result = TypeVar("Result")


class StoppedError(Exception):
    """Raised by work that is no longer wanted."""


class Lanes(Generic[Lane]):
    """What does a group's work, as often as groups are worked on at a time; each serves one thread at a time.

    Args:
        lanes: at least one, all of which give the same results.
        stop: set once what is at work is no longer wanted: it may raise StoppedError.
    """

    def __init__(self, lanes: Sequence[Lane], stop: Event) -> None:
        self._count, self._stop = len(lanes), stop
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for lane in lanes:
            self._free.put(lane)

    def map(self, work: Callable[[Lane, Item], Result], items: Sequence[Item]) -> list[Result]:
        """`work` of each item, in their order. When this ends, whichever way, nothing is at work any more.

        Raises:
            what `work` raises of the first item of which it does; of items behind it, some are not begun then.
        """
        self._stop.clear()
        if self._count == 1 or len(items) < 2:
            return [self._one(work, item) for item in items]
        with ThreadPoolExecutor(self._count, "lane") as pool:
            # In its caller's context, which says for the log what is being worked on.
            futures = [pool.submit(copy_context().run, self._one, work, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _one(self, work: Callable[[Lane, Item], Result], item: Item) -> Result:
        # A thread that a second Ctrl-C has left behind may still have one: so each path takes its own from here.
        lane = self._free.get()
        try:
            return work(lane, item)
        finally:
            self._free.put(lane)
