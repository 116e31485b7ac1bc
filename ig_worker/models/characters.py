"""Which characters belong to one word: where the pieces of a text may begin a new one. Pure, and of Unicode alone."""

from __future__ import annotations

import unicodedata
from enum import IntEnum


class Character(IntEnum):
    """What a character is to the word that it stands in."""

    NONE = 0  # no character at all
    INNER = 1  # marks above, below or behind a character, which go on with it
    JOINER = 2  # goes on with a character, and so does the next
    WORD = 3  # letters and digits: words are made of them
    ALONE = 4  # punctuation, signs, emoji: each stands by itself
    UNSPACED = 5  # letters of a script written without spaces between words


# Scripts that are written without spaces, as first and last code points.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # marks that repeat an ideograph, and its zero
    (0x3041, 0x30FF),  # kana
    (0x31F0, 0x31FF),  # kana
    (0x3400, 0x4DBF),  # ideographs
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAA7F),  # Myanmar
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # kana of half the width
    (0x1AFF0, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # planes of ideographs
)
_JOINERS = "\u200c\u200d"  # of letters in Persian and in Indian scripts, and of emoji
_SKINS = range(0x1F3FB, 0x1F400)  # tones of skin, behind an emoji


def kind_of(character: str) -> Character:
    """What one character is."""
    code = ord(character)
    if code < 0x80:
        return Character.WORD if character.isalnum() else Character.ALONE
    if character in _JOINERS:
        return Character.JOINER
    if code in _SKINS or unicodedata.category(character).startswith("M"):
        return Character.INNER
    if not character.isalnum():
        return Character.ALONE
    return Character.UNSPACED if any(low <= code <= high for low, high in _UNSPACED) else Character.WORD


def first_and_last(text: str) -> tuple[Character, Character]:
    """What a text begins and ends with; marks at its end count as what they stand on, `INNER` where it is all marks."""
    if not text:
        return Character.NONE, Character.NONE
    last = Character.INNER
    for character in reversed(text):
        last = kind_of(character)
        if last is not Character.INNER:
            break
    return kind_of(text[0]), last


def parts_words(before: Character, behind: Character) -> bool:
    """Whether a word ends between two characters that have no space between them."""
    if behind in (Character.INNER, Character.JOINER) or before is Character.JOINER:
        return False
    return not (before is Character.WORD and behind is Character.WORD)


# `parts_words` by the numbers of both: asked of each token of each text.
PARTS_WORDS = tuple(tuple(parts_words(before, behind) for behind in Character) for before in Character)
