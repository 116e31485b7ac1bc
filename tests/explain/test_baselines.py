"""Baselines."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.errors import UsageError
from ig_worker.explain.baselines import SpecialIds, baseline_ids

SPECIAL = SpecialIds(pad=0, mask=4, unk=1, special=frozenset({0, 1, 2, 3, 4}))
IDS = np.array([2, 9, 1, 8, 3, 0], np.int32)  # [CLS] word [UNK] word [SEP] [PAD]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("pad", [2, 0, 1, 0, 3, 0]),
        ("mask", [2, 4, 1, 4, 3, 0]),
        ("unk", [2, 1, 1, 1, 3, 0]),
        ("zeros", [0, 0, 0, 0, 0, 0]),
    ],
)
def test_ordinary_tokens_are_replaced_and_special_ones_kept(kind: str, expected: list[int]) -> None:
    made = baseline_ids(IDS, kind, SPECIAL)
    assert made.tolist() == expected
    assert made.dtype == np.int32


def test_a_token_that_the_tokenizer_lacks_is_refused() -> None:
    lacking = SpecialIds(pad=0, mask=None, unk=1, special=frozenset({0, 1}))
    with pytest.raises(UsageError, match="--baseline is 'mask', and the model's tokenizer has no such token"):
        baseline_ids(np.zeros(0, np.int32), "mask", lacking)


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(UsageError, match="--baseline is 'noise'; expected one of pad, zeros, mask, unk"):
        baseline_ids(IDS, "noise", SPECIAL)
