"""Which texts share a batch: pure arithmetic over lengths, so that a run compiles a handful of shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ig_worker.models.inputs import ModelInput


@dataclass(frozen=True)
class BatchShape:
    """How batches are cut; chosen once per run and part of its fingerprint.

    Args:
        length_multiple: lengths are rounded up to a multiple of this, in tokens.
        batch_tokens: evaluations in one batch times their length stays at or below this, in tokens.
        longest: the network's longest input, in tokens; no length is rounded up beyond it.
    """

    length_multiple: int = 32
    batch_tokens: int = 2048
    longest: int | None = None

    def padded(self, tokens: int) -> int:
        """`tokens` rounded up to the next length that is compiled."""
        rounded = max(1, -(-tokens // self.length_multiple)) * self.length_multiple
        return rounded if self.longest is None else max(tokens, min(rounded, self.longest))

    def rows(self, length: int) -> int:
        """Evaluations in a batch of texts of padded `length`."""
        return max(1, self.batch_tokens // length)


@dataclass(frozen=True)
class Group:
    """Texts of one padded length that go through the network together."""

    length: int  # padded, in tokens
    members: tuple[int, ...]  # positions in the list of texts, at most `rows` of them
    rows: int  # of a batch


def group_by_length(lengths: Sequence[int], shape: BatchShape) -> list[Group]:
    """Texts grouped by padded length, in order within a length, shortest first."""
    buckets: dict[int, list[int]] = {}
    for position, length in enumerate(lengths):
        buckets.setdefault(shape.padded(length), []).append(position)
    groups = []
    for length, members in sorted(buckets.items()):
        rows = shape.rows(length)
        groups += [Group(length, tuple(members[i : i + rows]), rows) for i in range(0, len(members), rows)]
    return groups


def stack(arrays: Sequence[npt.NDArray[np.int32]], rows: int, length: int) -> npt.NDArray[np.int32]:
    """Arrays of int32 [tokens] as one, int32 [rows, length], padded with 0; rows left over repeat the first."""
    stacked = np.zeros((rows, length), np.int32)
    for row in range(rows):
        values = arrays[row] if row < len(arrays) else arrays[0]
        stacked[row, : len(values)] = values
    return stacked


def stack_texts(texts: Sequence[ModelInput], rows: int, length: int) -> ModelInput:
    """Texts as one batch; see `stack`."""
    return ModelInput(*(stack(field, rows, length) for field in zip(*texts, strict=True)))


@dataclass(frozen=True)
class Batch:
    """Evaluations that run together. Arrays are [rows]; rows from `used` on are padding."""

    problem: npt.NDArray[np.int32]  # position within the group
    node: npt.NDArray[np.int32]  # number of the rule's node
    used: int


def evaluation_batches(problems: int, nodes: int, rows: int) -> Iterator[Batch]:
    """Every (problem, node) pair once, packed into batches of exactly `rows` rows."""
    total = problems * nodes
    for start in range(0, total, rows):
        flat = np.arange(start, start + rows)
        used = min(rows, total - start)
        flat[used:] = start  # padding repeats the first row: finite, and never read
        yield Batch((flat // nodes).astype(np.int32), (flat % nodes).astype(np.int32), used)
