"""Baseline token ids x' for token ids x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.errors import UsageError

BASELINES = ("pad", "zeros", "mask", "unk")
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SpecialIds:
    """The ids that a tokenizer treats specially."""

    pad: int | None
    mask: int | None
    unk: int | None
    special: frozenset[int]  # all of them, [UNK] included

    @classmethod
    def of(cls, tokenizer: Any) -> SpecialIds:
        return cls(
            tokenizer.pad_token_id,
            tokenizer.mask_token_id,
            tokenizer.unk_token_id,
            frozenset(tokenizer.all_special_ids),
        )


def baseline_ids(ids: Ids, kind: str, special: SpecialIds) -> Ids:
    """Ids of the baseline, int32 [tokens].

    ``zeros`` is all zeros, what alibi does for ``baselines=None``. The others replace the ordinary tokens by [PAD],
    [MASK] or [UNK] and keep the special tokens, whose attribution at the embeddings is then exactly 0.
    """
    if kind == "zeros":
        return np.zeros_like(ids)
    replacements = {"pad": special.pad, "mask": special.mask, "unk": special.unk}
    if kind not in replacements:
        raise UsageError(f"--baseline is {kind!r}", expected=f"one of {', '.join(BASELINES)}")
    replacement = replacements[kind]
    if replacement is None:
        raise UsageError(
            f"--baseline is {kind!r}, and the model's tokenizer has no such token", expected="another baseline"
        )
    keep = np.isin(ids, np.fromiter(special.special, np.int32))
    return np.where(keep, ids, np.int32(replacement)).astype(np.int32)
