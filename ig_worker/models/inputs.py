"""What a network reads of a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Counting = Callable[[Int32], Int32]  # positions of a text's tokens from their ids, int32 [..., tokens] both


class ModelInput(NamedTuple):
    """A tokenized text, arrays int32 [tokens]; or a batch of texts of one length, tensors int32 [batch, tokens].

    A baseline has other ids, and all else as the text has it: positions too, which some encoders count by the ids.
    What a network also reads of a text is one more field here, and read where it embeds.
    """

    ids: Any
    mask: Any  # 1 where attended to
    types: Any  # of tokens: 0, and 1 in the second of two texts, to networks that tell them apart
    positions: Any  # rows of the table of positions

    @classmethod
    def every(cls, value: Any) -> ModelInput:
        """The same value in each field, such as a tensor's specification."""
        return cls(*[value] * len(cls._fields))

    @classmethod
    def single(
        cls, ids: Int32, mask: Int32 | None = None, counting: Counting | None = None, types: Int32 | None = None
    ) -> ModelInput:
        """One text, or two in one row.

        Args:
            ids: of tokens, int32 [..., tokens].
            mask: 1 where attended to, of the same shape; None: everywhere.
            counting: gives positions; None: from 0.
            types: of tokens, of the same shape; None: 0, as of one text.
        """
        mask = np.ones_like(ids) if mask is None else mask
        return cls(ids, mask, np.zeros_like(ids) if types is None else types, (counting or from_zero)(ids))


def from_zero(ids: Int32) -> Int32:
    """Positions of tokens, int32 [..., tokens], counted from 0."""
    return np.broadcast_to(np.arange(ids.shape[-1], dtype=np.int32), ids.shape).copy()


def behind_padding(ids: Int32, padding: int) -> Int32:
    """Positions as RoBERTa counts them, int32 [..., tokens]: from `padding` + 1, over ids that are not `padding`.

    A token that is padding has the position `padding` (Liu et al. 2019, arXiv:1907.11692, in its authors' code).
    """
    real = (ids != padding).astype(np.int32)
    return np.asarray(np.cumsum(real, axis=-1, dtype=np.int32) * real + np.int32(padding), np.int32)
