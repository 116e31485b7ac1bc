"""The made-up review corpus behind ``--dataset demo``: no download, no licence, the same rows on every machine.

Reviews are put together from the phrases in ``demo_phrases.txt`` by a seeded `random.Random`, so that a small network
can learn them in a minute and still has something to get wrong: negation ("never boring"), contrast whose second half
decides, irony, concessions to the other side, typos, and some 3% of reviews whose label the text does not support.
Lengths run from one word to several hundred.

The two splits draw from different seeds, and the phrases marked ``~`` (about one in ten) occur in the test split only:
part of what the test set says was never seen in training.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from ig_worker.data.faults import DOCUMENTS
from ig_worker.data.reading import Rows

DEMO_TRAIN = 4000  # rows
DEMO_TEST = 400

_ROWS = {"train": DEMO_TRAIN, "test": DEMO_TEST}
_SEEDS = {"train": 1936, "test": 2112}
_PHRASES = Path(__file__).with_name("demo_phrases.txt")
_BATCH_ROWS = 1024

_MISLABELLED = 0.015  # of reviews: the text of the other class
_UNDECIDED = 0.015  # of reviews: a text that takes no side
_LENGTHS = ("one", "short", "usual", "long", "very long")
_LENGTH_WEIGHTS = (4, 16, 56, 20, 4)
_SENTENCES = {"short": (2, 3), "usual": (4, 8), "long": (9, 20), "very long": (40, 70)}
_MOST_WORDS = {"short": 30, "usual": 100}  # in a review that is called so
_PARAGRAPH = 7  # sentences, about

# Kinds of sentence per class, with weights: own side, negated other side, contrast, concession, neither.
_KINDS = {
    1: {"praise": 42, "notbad": 9, "turn_good": 8, "blame": 7, "notgood": 1, "neutral": 33},
    0: {"blame": 37, "notgood": 9, "turn_bad": 8, "irony": 5, "praise": 7, "notbad": 1, "neutral": 33},
}
# What a review says at least once, so that its label can be told.
_DECISIVE = {
    1: {"praise": 60, "notbad": 17, "turn_good": 18, "one_good": 5},
    0: {"blame": 55, "notgood": 17, "turn_bad": 16, "irony": 7, "one_bad": 5},
}
_UNDECIDED_KINDS = {"mixed": 60, "neutral": 40}
_SIDE = {1: "good", 0: "bad"}

_PAIRED = {"other": "aspect", "name2": "name"}  # placeholders that draw from another's section

Phrases = dict[str, list[str]]


@lru_cache(maxsize=2)
def phrases(split: str) -> Phrases:
    """Section -> phrases that `split` draws from; "test" has all of them."""
    found: Phrases = {}
    for line in _PHRASES.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        elif line.startswith("~ "):
            section.extend([line[2:]] if split == "test" else [])
        elif line and not line.startswith("#"):
            section.append(line)
    return found


def demo_reviews(split: str) -> Iterator[tuple[str, str, int]]:
    """The rows of `split` ("train" or "test") as (id, text, label); label 1 is positive, and half of the rows are."""
    rng = random.Random(_SEEDS[split])
    count = _ROWS[split]
    labels = [row % 2 for row in range(count)]
    rng.shuffle(labels)
    for row, label in enumerate(labels):
        yield f"demo-{split}-{row:05d}", _review(rng, phrases(split), label), label


@lru_cache(maxsize=2)
def demo_rows(split: str) -> tuple[Rows, str]:
    """(rows, SHA-256 of their content) of `split`."""
    reviews = list(demo_reviews(split))
    digest = hashlib.sha256(json.dumps(reviews, ensure_ascii=True).encode()).hexdigest()

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(reviews), _BATCH_ROWS):
            part = reviews[start : start + _BATCH_ROWS]
            columns = [*zip(*part, strict=True), [None] * len(part)]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, DOCUMENTS, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=DOCUMENTS)

    return Rows(len(reviews), batches), digest


def length_of(review: str) -> str:
    """How long a review is, for a person: short, usual or long."""
    words = len(review.split())
    return next((name for name, most in _MOST_WORDS.items() if words <= most), "long")


def _review(rng: random.Random, bank: Phrases, label: int) -> str:
    luck = rng.random()
    side = 1 - label if luck < _MISLABELLED else label
    undecided = _MISLABELLED <= luck < _MISLABELLED + _UNDECIDED
    length = _pick(rng, dict(zip(_LENGTHS, _LENGTH_WEIGHTS, strict=True)))
    if length == "one" and not undecided:
        return _marred(rng, _one_liner(rng, bank, side))
    kinds = _plan(rng, side, rng.randint(*_SENTENCES.get(length, (2, 3))), undecided)
    said: set[str] = set()
    sentences = [_sentence(rng, bank, kind, said) for kind in kinds]
    return _marred(rng, _paragraphs(rng, sentences))


def _one_liner(rng: random.Random, bank: Phrases, side: int) -> str:
    # A bare exclamation is one of twenty, so most get a second one: the corpus should not repeat itself.
    exclaim = rng.choice(bank[f"one_{_SIDE[side]}"])
    if rng.random() < 0.3:
        return exclaim
    return f"{exclaim} {_sentence(rng, bank, _pick(rng, _DECISIVE[side]), {exclaim})}"


def _plan(rng: random.Random, side: int, count: int, undecided: bool) -> list[str]:
    """The kinds of the `count` sentences of one review, in order."""
    if undecided:
        return ["mixed", *(_pick(rng, _UNDECIDED_KINDS) for _ in range(min(count, 6) - 1))]
    kinds = [_pick(rng, _KINDS[side]) for _ in range(count - 1)]
    kinds.insert(rng.randint(0, len(kinds)), _pick(rng, _DECISIVE[side]))
    if count > 2 and rng.random() < 0.6:
        kinds[-1] = f"verdict_{_SIDE[side]}"
    return kinds


def _pick(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _sentence(rng: random.Random, bank: Phrases, kind: str, said: set[str]) -> str:
    """A sentence of `kind` from a phrase that is not in `said` yet, unless all are; adds it."""
    used: list[str] = []  # what the placeholders became

    def fill(match: re.Match[str]) -> str:
        section = _PAIRED.get(match[1], match[1])
        used.append(rng.choice([line for line in bank[section] if line not in used]))
        return used[-1]

    phrase = rng.choice([line for line in bank[kind] if line not in said] or bank[kind])
    said.add(phrase)
    text = re.sub(r"\{(\w+)\}", fill, phrase)
    text = re.sub(r"\b([Aa]) (?=[aeiou]|hon)", r"\1n ", text)
    ending = "" if text[-1] in ".!?★☆" else rng.choices([".", "!", "!!!", "...", "…"], [80, 12, 3, 3, 2])[0]
    return text[0].upper() + text[1:] + ending


def _paragraphs(rng: random.Random, sentences: list[str]) -> str:
    text = sentences[0]
    for sentence in sentences[1:]:
        text += ("<br /><br />" if rng.random() < 1 / _PARAGRAPH else " ") + sentence
    return text


def _marred(rng: random.Random, text: str) -> str:
    """`text` as people type it: sometimes with a slip, a shouted word, or all in lower case."""
    if rng.random() < 0.15:
        text = _in_one_word(rng, text, _swapped)
    if rng.random() < 0.12:
        text = _in_one_word(rng, text, lambda rng, word: word.upper())
    if rng.random() < 0.06:
        text = text.lower()
    return text


def _in_one_word(rng: random.Random, text: str, change: Callable[[random.Random, str], str]) -> str:
    found = list(re.finditer(r"\b[a-z]{5,}\b", text))
    if not found:
        return text
    match = rng.choice(found)
    return text[: match.start()] + change(rng, match[0]) + text[match.end() :]


def _swapped(rng: random.Random, word: str) -> str:
    at = rng.randint(1, len(word) - 3)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
