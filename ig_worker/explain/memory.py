"""Smaller batches where one does not fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition
from typing import TypeVar

from ig_worker.models.runtime import tf

log = logging.getLogger("ig_worker.explain")

Result = TypeVar("Result")


class Memory:
    """The largest batch that is tried, in tokens. It is halved whenever one does not fit, and stays so.

    Lanes share one. What does not fit beside another's batch is first tried alone, as large as it is; if that does,
    batches run one after the other from then on. So lanes change the size of no batch.
    """

    def __init__(self) -> None:
        self._tokens: int | None = None  # no batch was too large yet
        self._turns = Condition()
        self._inside = self._entered = 0  # batches at work, and begun so far
        self._one_by_one = False

    def fit(self, run: Callable[[int], Result], most: int, length: int) -> Result:
        """`run(size)` with the largest size up to `most` that fits.

        Args:
            run: does the work in batches of at most `size` evaluations; it is called again when memory is exhausted.
            most: evaluations in a batch where memory is plenty.
            length: padded length of an evaluation, in tokens.

        Raises:
            tf.errors.ResourceExhaustedError, MemoryError: one evaluation alone does not fit.
        """
        size = self._size(most, length)
        if self._one_by_one:
            with self._turns:
                return self._shrink(run, most, length, size)
        with self._turns:
            beside = self._inside > 0
            self._inside += 1
            self._entered += 1
            number = self._entered
        try:
            return run(size)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            beside = beside or self._entered > number
            if size == 1 and not beside:
                raise
        finally:
            with self._turns:
                self._inside -= 1
                self._turns.notify_all()
        # Out here, where the error no longer holds on to the tensors of the batch that failed.
        with self._turns:
            self._turns.wait_for(lambda: self._inside == 0)
            if not beside:
                self._tokens = size // 2 * length
            result = self._shrink(run, most, length, size)
            if beside and not self._one_by_one and self._size(most, length) == size:
                self._one_by_one = True
                log.warning("out of memory with two batches at a time: from now on they run one after the other")
            return result

    def _shrink(self, run: Callable[[int], Result], most: int, length: int, first: int) -> Result:
        """What `fit` gives, where nothing else is at work."""
        while True:
            size = self._size(most, length)
            try:
                result = run(size)
            except (tf.errors.ResourceExhaustedError, MemoryError):
                if size == 1:
                    raise
            else:
                break
            self._tokens = size // 2 * length
        if size < first:
            log.warning("out of memory: batches are now up to %d texts of %d tokens, not %d", size, length, first)
        return result

    def _size(self, most: int, length: int) -> int:
        return most if self._tokens is None else max(1, min(most, self._tokens // length))
