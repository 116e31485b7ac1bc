"""One chunk ahead: it is read and tokenized in a thread while the one before it is explained and committed.

What the thread does is pure: it writes nothing and leaves TensorFlow alone. It ends within the order in which it was
begun, so that an order never has to do with what another one left behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from ig_worker.run import logs
from ig_worker.run.chunk.row_reader import RowReader, TokenizedTable
from ig_worker.run.store.run_store import RunStore

THREAD = "ahead"  # how its name begins


class Ahead:
    """Holds the rows of one chunk at most, until the next one is asked for.

    Args:
        reader: makes them.
    """

    def __init__(self, reader: RowReader) -> None:
        self._reader = reader
        self._ready: tuple[RunStore, int, Future[TokenizedTable]] | None = None

    def read(self, store: RunStore, index: int, guilty: Sequence[int] = ()) -> TokenizedTable:
        """The rows of a chunk as `RowReader.read` gives them, at once where they are ready.

        Others that are ready are dropped, and so is an error of the thread: it is met again here.
        """
        ready, self._ready = self._ready, None
        if ready is not None and not guilty:
            known, number, found = ready
            if known is store and number == index and found.exception() is None:
                return found.result()
        return self._reader.read(store, index, guilty)

    @contextmanager
    def preparing(self, store: RunStore, index: int | None) -> Iterator[None]:
        """Make a chunk ready meanwhile, without any row being left out; None: there is nothing to do.

        The end of the block waits for the thread. After an error in the block nothing is ready.
        """
        if index is None:
            yield
            return
        with ThreadPoolExecutor(1, thread_name_prefix=THREAD) as thread:
            found = thread.submit(self._prepare, store, index)
            yield
        self._ready = store, index, found

    def _prepare(self, store: RunStore, index: int) -> TokenizedTable:
        with logs.about(run=logs.run_name(store.uri), chunk=index):
            return self._reader.read(store, index)
