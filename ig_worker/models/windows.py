"""Long texts as overlapping windows, each as long as the network reads. Pure: which tokens of a text a window has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ig_worker.errors import UsageError
from ig_worker.models.inputs import Counting, ModelInput
from ig_worker.models.pairs import FIRST, SECOND
from ig_worker.models.tokenize import Tokens

Int32 = npt.NDArray[np.int32]
Places = npt.NDArray[np.intp]
UNCUT = 2**30  # of a text that is tokenized whole, the most tokens


@dataclass(frozen=True)
class Window:
    """A part of a text that the network reads as if it were one.

    Args:
        inputs: what it reads.
        places: of its tokens in the text, int32 [tokens]; special tokens are in every window.
    """

    inputs: ModelInput
    places: Int32


@dataclass(frozen=True)
class Windows:
    """Cuts texts into windows.

    Args:
        length: the most tokens of a window, special ones included.
        stride: how many tokens two neighbours share, at least; None: a quarter of `length`.
        counting: how the network counts the positions of tokens.
    """

    length: int
    stride: int | None
    counting: Counting

    def cut(self, tokens: Tokens) -> tuple[Tokens, list[Window]]:
        """A tokenized text that was not cut, and its windows; none where the network reads it whole.

        Of two texts the longer one is cut into windows, and each has the whole of the other. What is then longer than
        half of the room of a window is cut off from that: only so is a text, `truncated`, not the one that was given.
        """
        if len(tokens.tokens) <= self.length:
            return tokens, []
        slid, other = _by_length(tokens.segments)
        room = self.length - len(tokens.tokens) + len(slid) + len(other)
        if len(other) > room // 2:
            tokens = _without(tokens, other[room // 2 :])
            slid, other = _by_length(tokens.segments)
        # What is special within a text goes with its neighbours.
        begin, end = int(slid[0]), int(slid[-1]) + 1
        head, tail = np.arange(begin), np.arange(end, len(tokens.tokens))
        room = self.length - len(head) - len(tail)
        stride = shared(self.length, self.stride)
        found = []
        for start in starts(end - begin, room, min(stride, room // 2)):
            places = np.concatenate([head, begin + start + np.arange(room), tail]).astype(np.int32)
            found.append(Window(_part(tokens.inputs, places, self.counting), places))
        return tokens, found


def shared(length: int, stride: int | None) -> int:
    """How many tokens neighbouring windows share, at least; see `Windows`."""
    return length // 4 if stride is None else stride


def _by_length(segments: Int32) -> tuple[Places, Places]:
    """Places of the tokens of the longer text, of two that are equal the first, and of the other, which may be none."""
    first, second = np.flatnonzero(segments == FIRST), np.flatnonzero(segments == SECOND)
    return (first, second) if len(first) >= len(second) else (second, first)


def starts(tokens: int, room: int, stride: int) -> list[int]:
    """Where windows of `room` tokens begin in a text of more: as few as share `stride` tokens with the one before.

    They are spread evenly, so that the last one has as much to read as the others.

    Args:
        tokens: of the text, at least `room`.
        room: of a window.
        stride: less than `room`.
    """
    count = 1 + -(-(tokens - room) // (room - stride))
    return [round(number * (tokens - room) / (count - 1)) for number in range(count)] if count > 1 else [0]


def check_windows(length: int, stride: int | None, style: str) -> None:
    """See that windows can be cut so.

    Args:
        length, stride: as `Windows` has them.
        style: of the texts.

    Raises:
        UsageError: they cannot: too little would be new in each, or the style makes one text of one length.
    """
    if style == "plain":
        raise UsageError("--overflow is windows with --text-style plain", expected="--text-style bert")
    if stride is not None and not 0 <= stride <= length // 2:
        raise UsageError(
            f"--stride is {stride} with --max-length {length}", expected=f"0 to {length // 2}, half of a window"
        )


def _part(inputs: ModelInput, places: Int32, counting: Counting) -> ModelInput:
    # Positions are counted anew: a window is read as a text of its own.
    types = inputs.types[places]
    return ModelInput.single(inputs.ids[places], inputs.mask[places], counting, types)


def _without(tokens: Tokens, places: Places) -> Tokens:
    """A text without some of its tokens."""
    kept = np.delete(np.arange(len(tokens.tokens)), places)
    inputs = ModelInput(*(values[kept] for values in tokens.inputs))  # its positions are wrong, and read by nobody
    return Tokens(inputs, tokens.word_ids[kept], [tokens.tokens[i] for i in kept], True, tokens.segments[kept])
