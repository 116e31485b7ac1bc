"""What is encoded once for all texts with the same baseline, and what is not the same."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.explain.baseline_ends import BaselineEnds
from ig_worker.explain.problems import Problem
from ig_worker.models.inputs import ModelInput
from tests.explain.engines import adaptive, load, problems


def case(text: list[int], baseline: list[int], mask: list[int] | None = None) -> Problem:
    ids = np.array(text, np.int32)
    return Problem(ModelInput.single(ids, np.array(mask or [1] * len(text), np.int32)), np.array(baseline, np.int32))


class Encoder:
    """Says what it was asked for: its sums, so that what is shared by mistake shows."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.kind = "float32"

    def __call__(self, text: ModelInput) -> np.ndarray:
        self.asked.append(text.ids.shape)
        weights = np.arange(1, text.ids.shape[1] + 1)
        return np.stack([text.ids @ weights, text.mask @ weights], axis=1).astype(np.float32)

    def ends(self) -> BaselineEnds:
        return BaselineEnds(self, lambda: self.kind)


def test_texts_of_one_length_share_their_baseline() -> None:
    encoder = Encoder()
    ends = encoder.ends()
    first = ends([case([5, 6, 7], [5, 0, 7]), case([5, 8, 7], [5, 0, 7])], 8)
    again = ends([case([5, 9, 7], [5, 0, 7])], 8)
    assert encoder.asked == [(1, 8)]
    assert ends.encoded == 1
    assert first.tolist() == [[5 + 21, 6], [5 + 21, 6]]
    assert (again == first[:1]).all()


@pytest.mark.parametrize(
    "other",
    [case([5, 6, 7, 7], [5, 0, 0, 7]), case([5, 6, 7], [5, 1, 7]), case([5, 6, 7], [5, 0, 7], [1, 1, 0])],
    ids=["length", "ids", "mask"],
)
def test_what_differs_is_another_baseline(other: Problem) -> None:
    encoder = Encoder()
    ends = encoder.ends()
    found = ends([case([5, 6, 7], [5, 0, 7]), other], 8)
    assert len(encoder.asked) == 2
    assert (found[0] != found[1]).any()


def test_neither_padding_nor_rounding_is_shared() -> None:
    encoder = Encoder()
    ends, one = encoder.ends(), [case([5, 6, 7], [5, 0, 7])]
    ends(one, 8)
    ends(one, 16)
    encoder.kind = "tf32"
    ends(one, 8)
    assert encoder.asked == [(1, 8), (1, 16), (1, 8)]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ig_worker.explain.baseline_ends._MOST", 2)
    encoder = Encoder()
    ends = encoder.ends()
    for ids in ([1], [2], [3], [3], [2], [1]):
        ends([case([9], ids)], 8)
    assert ends.encoded == 4, "the oldest went, and only that"


def test_its_bits_do_not_depend_on_which_text_brought_it_and_with_which_others(tiny_models) -> None:
    model = tiny_models["bert"]
    cases = problems(load(model))
    length = max(one.tokens for one in cases)
    together, alone = (adaptive(model, "embeddings").programs for _ in range(2))
    _, first = together.open(cases, length)
    for one, z in reversed(list(zip(cases, first, strict=True))):
        assert (alone.open([one], length)[1][0] == z).all()
