"""z at baselines: those of all texts of one length are the same, but for tokens that stay, and each is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np

from ig_worker.explain.explanation import Float32
from ig_worker.explain.problems import Problem, batch
from ig_worker.models.inputs import ModelInput

_MOST = 4096  # baselines that are kept, some 3 KB each

Key = tuple[object, ...]


class BaselineEnds:
    """z of each baseline that was seen, by all that a network reads of it.

    Args:
        encode: z of a batch, [texts, units], from its input, arrays int32 [texts, padded tokens].
        kind: what else z depends on, such as how products are rounded just now.
    """

    def __init__(self, encode: Callable[[ModelInput], Float32], kind: Callable[[], object]) -> None:
        self._encode, self._kind = encode, kind
        self._known: dict[Key, Float32] = {}
        self.encoded = 0  # baselines, so far
        self._lock = Lock()  # lanes share what is known

    def __call__(self, problems: Sequence[Problem], length: int) -> Float32:
        """z at the baselines of problems, float32 [problems, units], where texts are padded to `length`."""
        kind = self._kind()
        with self._lock:
            return np.stack([self._of(problem, length, kind) for problem in problems])

    def _of(self, problem: Problem, length: int, kind: object) -> Float32:
        fields = problem.text._replace(ids=problem.baseline)
        key = (kind, length, *(field.tobytes() for field in fields))
        if key not in self._known:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]  # the oldest
            self.encoded += 1
            # Always alone, so that its bits do not depend on which text came first, or with which others.
            texts, ids = batch([problem], 1, length)
            self._known[key] = self._encode(texts._replace(ids=ids))[0]
        return self._known[key]
