"""What a network reads of a text."""

from __future__ import annotations

from typing import Any, NamedTuple


class ModelInput(NamedTuple):
    """A tokenized text, arrays int32 [tokens]; or a batch of texts of one length, tensors int32 [batch, tokens].

    What a network also reads of a text, such as token types, is one more field here, and read where it embeds.
    """

    ids: Any
    mask: Any  # 1 where attended to

    @classmethod
    def every(cls, value: Any) -> ModelInput:
        """The same value in each field, such as a tensor's specification."""
        return cls(*[value] * len(cls._fields))
