"""Smaller batches where one does not fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ig_worker.models.runtime import tf

log = logging.getLogger("ig_worker.explain")

Result = TypeVar("Result")


class Memory:
    """The largest batch that is tried, in tokens. It is halved whenever one does not fit, and stays so."""

    def __init__(self) -> None:
        self._tokens: int | None = None  # no batch was too large yet

    def fit(self, run: Callable[[int], Result], most: int, length: int) -> Result:
        """`run(size)` with the largest size up to `most` that fits.

        Args:
            run: does the work in batches of at most `size` evaluations; it is called again when memory is exhausted.
            most: evaluations in a batch where memory is plenty.
            length: padded length of an evaluation, in tokens.

        Raises:
            tf.errors.ResourceExhaustedError, MemoryError: one evaluation alone does not fit.
        """
        first = size = self._size(most, length)
        while True:
            try:
                result = run(size)
            except (tf.errors.ResourceExhaustedError, MemoryError):
                if size == 1:
                    raise
            else:
                break
            # Out here, where the error no longer holds on to the tensors of the batch that failed.
            self._tokens = size // 2 * length
            size = self._size(most, length)
        if size < first:
            log.warning("out of memory: batches are now up to %d texts of %d tokens, not %d", size, length, first)
        return result

    def _size(self, most: int, length: int) -> int:
        return most if self._tokens is None else max(1, min(most, self._tokens // length))
