"""Long texts as windows: what each has of the text, and that nothing of it is left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.errors import UsageError
from ig_worker.models.inputs import ModelInput, behind_padding, from_zero
from ig_worker.models.tokenize import Tokens
from ig_worker.models.windows import Windows, check_windows, starts

CLS, SEP = 101, 102


def text(*segments: int) -> Tokens:
    """A text whose tokens have these segments; the ids of ordinary ones are their places."""
    kinds = np.array(segments, np.int32)
    ids = np.where(kinds < 0, np.where(np.arange(len(kinds)) == 0, CLS, SEP), np.arange(len(kinds))).astype(np.int32)
    words = np.where(kinds < 0, -1, np.arange(len(kinds))).astype(np.int32)
    types = (kinds == 1).astype(np.int32)
    return Tokens(ModelInput.single(ids, None, None, types), words, [str(i) for i in ids], False, kinds)


def single(tokens: int) -> Tokens:
    return text(-1, *[0] * tokens, -1)


def pair(first: int, second: int) -> Tokens:
    return text(-1, *[0] * first, -1, *[1] * second, -1)


@given(st.data())
def test_every_token_is_in_a_window_and_neighbours_share_enough(data: st.DataObject) -> None:
    room = data.draw(st.integers(1, 40))
    stride = data.draw(st.integers(0, room // 2))
    tokens = data.draw(st.integers(room, 400))
    stride = min(stride, room - 1)
    begins = starts(tokens, room, stride)
    assert begins[0] == 0
    assert begins[-1] == tokens - room
    steps = np.diff(begins)
    assert (steps > 0).all()
    assert (steps <= room - stride).all()
    assert steps.size == 0 or steps.max() - steps.min() <= 1, "spread evenly"
    fewest = max(1, -(-(tokens - stride) // (room - stride)))
    assert len(begins) == fewest


def test_a_text_that_fits_is_left_alone() -> None:
    whole = single(8)
    cut, windows = Windows(10, None, from_zero).cut(whole)
    assert cut is whole
    assert windows == []


def test_each_window_is_a_text_of_its_own_with_the_special_tokens_around_it() -> None:
    whole = single(13)
    cut, windows = Windows(10, 3, from_zero).cut(whole)
    assert cut is whole
    assert [window.places.tolist() for window in windows] == [[0, *range(1, 9), 14], [0, *range(6, 14), 14]]
    for window in windows:
        assert window.inputs.ids.tolist() == whole.inputs.ids[window.places].tolist()
        assert window.inputs.positions.tolist() == list(range(10))
        assert window.inputs.mask.tolist() == [1] * 10


def test_positions_are_counted_anew_in_each_window() -> None:
    counting = lambda ids: behind_padding(ids, 1)  # noqa: E731
    _, windows = Windows(10, 0, counting).cut(single(30))
    assert all(window.inputs.positions.tolist() == list(range(2, 12)) for window in windows[1:])


@pytest.mark.parametrize(("first", "second"), [(3, 40), (40, 3), (9, 9)])
def test_of_two_texts_the_longer_is_cut_and_the_other_is_in_each_window(first: int, second: int) -> None:
    whole = pair(first, second)
    cut, windows = Windows(16, 2, from_zero).cut(whole)
    shorter = 1 if second < first else 0
    if min(first, second) <= 6:
        assert cut is whole
    else:  # equally long, and longer than half of a window's room: the second is the other one
        shorter = 1
        assert cut.truncated
        assert int((cut.segments == 1).sum()) == 6
    for window in windows:
        assert len(window.places) == 16
        kept = window.inputs.ids[cut.segments[window.places] == shorter]
        assert kept.tolist() == cut.inputs.ids[cut.segments == shorter].tolist()
        assert window.inputs.types.tolist() == cut.inputs.types[window.places].tolist()
        assert int((cut.segments[window.places] == -1).sum()) == 3
    seen = np.unique(np.concatenate([window.places for window in windows]))
    assert seen.tolist() == list(range(len(cut.tokens)))


def test_a_special_token_within_a_text_goes_with_its_neighbours() -> None:
    whole = text(-1, *[0] * 6, -1, *[0] * 6, -1)
    _, windows = Windows(8, 2, from_zero).cut(whole)
    assert [7 in window.places for window in windows].count(False) > 0
    assert all(len(window.places) == 8 and {0, 14} <= set(window.places.tolist()) for window in windows)


@pytest.mark.parametrize(("length", "stride"), [(128, 65), (128, -1), (3, 2)])
def test_windows_with_too_little_that_is_new_are_refused(length: int, stride: int) -> None:
    with pytest.raises(UsageError, match=rf"--stride is {stride} with --max-length {length}; expected 0 to"):
        check_windows(length, stride, "bert")


def test_texts_of_one_length_have_no_windows() -> None:
    with pytest.raises(UsageError, match="--overflow is windows with --text-style plain"):
        check_windows(128, None, "plain")
