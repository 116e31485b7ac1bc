"""Runs about which the truth is known: made-up texts, labels, and a network that adds up weights of words.

The network is a logistic regression on the words of a text, so its integrated gradients at any baseline without words
are the weights times the change of F over their sum: exact, and complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.gather import Part, part, together
from ig_worker.insight.tables import ngrams
from ig_worker.insight.tables.flat_rows import Flat

GOOD = [f"good{i}" for i in range(20)]
BAD = [f"bad{i}" for i in range(20)]
PLAIN = ["the", "and", "of", "film", *(f"word{i}" for i in range(296))]

Texts = list[list[str]]
WEIGHTS = {**dict.fromkeys(GOOD, 1.0), **dict.fromkeys(BAD, -1.0)}


@dataclass
class Planted:
    """Texts as words, the class that is true of each, and the weights that the network gives to words."""

    texts: Texts
    label: np.ndarray
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    noise: float = 0.7  # of the network's logit, standard deviation
    seed: int = 0
    push: Callable[[list[str], Mapping[str, float]], np.ndarray] | None = None  # of each word; None: its weight

    def table(self, **columns: Sequence[object]) -> pa.Table:
        """What a run writes of them; `columns` are others of the same length."""
        random = np.random.default_rng(self.seed + 1)
        rows = len(self.texts)
        pushes = [self._push(words) for words in self.texts]
        logit = np.array([push.sum() for push in pushes]) + random.normal(0, self.noise, rows)
        probability = 1 / (1 + np.exp(-logit))
        prediction = (probability > 0.5).astype(np.int32)
        confident = np.where(prediction == 1, probability, 1 - probability)
        lengths = np.array([len(words) + 2 for words in self.texts])
        attributions = [
            np.concatenate([[0], push * (sign * (sure - 0.5) / (abs(value) or 1.0)), [0]]).astype(np.float32)
            for push, sign, sure, value in zip(pushes, np.where(prediction == 1, 1, -1), confident, logit, strict=True)
        ]
        offsets = pa.array(np.append(0, np.cumsum(lengths)).astype(np.int32))

        def lists(values: pa.Array) -> pa.Array:
            return pa.ListArray.from_arrays(offsets, values)

        tokens = [token for words in self.texts for token in ("[CLS]", *words, "[SEP]")]
        word_ids = np.concatenate([np.r_[-1, np.arange(n - 2), -1] for n in lengths]).astype(np.int32)
        both = np.stack([1 - probability, probability], axis=1).astype(np.float32)
        found = {
            "id": [f"t{i:06d}" for i in range(rows)],
            "label": pa.array(self.label, pa.int32()),
            "prediction": prediction,
            "target": prediction,
            "contrast": pa.nulls(rows, pa.int32()),
            "rank": np.zeros(rows, np.int32),
            "probabilities": pa.array(list(both)),
            "target_probability": confident.astype(np.float32),
            "baseline_probability": np.full(rows, 0.5, np.float32),
            "tokens": lists(pa.array(tokens)),
            "input_ids": lists(pa.array(np.zeros(len(tokens), np.int32))),
            "word_ids": lists(pa.array(word_ids)),
            "attributions": lists(pa.array(np.concatenate(attributions))),
            "delta": np.zeros(rows, np.float32),
            "error_estimate": pa.nulls(rows, pa.float32()),
            "evaluations": np.full(rows, 8, np.float32),
            "status": ["fixed"] * rows,
            "truncated": np.zeros(rows, bool),
            "windows": np.ones(rows, np.int32),
        }
        table = pa.table({name: pa.array(found[name], schema.ATTRIBUTIONS.field(name).type) for name in found})
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
        return table

    def _push(self, words: list[str]) -> np.ndarray:
        if self.push is not None:
            return self.push(words, self.weights)
        return np.array([self.weights.get(word, 0.0) for word in words])

    def corpus(self, **columns: Sequence[object]) -> Corpus:
        return corpus_of(self.table(**columns))


def corpus_of(*tables: pa.Table, least: int | None = None) -> Corpus:
    """What is gathered of a run with these chunks."""
    rows = sum(table.num_rows for table in tables)
    least = least or max(2, min(20, rows // 50))
    counts = np.zeros(ngrams.SLOTS, np.uint16)
    for table in tables:
        ngrams.add_documents(counts, ngrams.documents(Flat(table)))
    parts: list[Part] = [
        part(Flat(table.slice(start, 1000), counts >= least))
        for table in tables
        for start in range(0, table.num_rows, 1000)
    ]
    return together(parts, least, schema.CLASSES, 0.5, ("negative", "positive"))


def plain_texts(rows: int, seed: int = 0, words: tuple[int, int] = (10, 60)) -> Texts:
    """Plain words by Zipf's law, and of words that tell a class about one in twelve."""
    random = np.random.default_rng(seed)
    chance = 1 / np.arange(1, len(PLAIN) + 1)
    lengths = random.integers(*words, rows)
    draws = random.choice(len(PLAIN), lengths.sum(), p=chance / chance.sum())
    told = random.random(len(draws)) < 1 / 12
    leaning = np.repeat(random.random(rows), lengths)  # a text is full of one kind or of the other
    is_good = random.random(len(draws)) < leaning
    of_kind = random.integers(0, len(GOOD), len(draws))
    names = np.array(PLAIN, object)[draws]
    names[told] = np.where(is_good, np.array(GOOD, object)[of_kind], np.array(BAD, object)[of_kind])[told]
    return [part.tolist() for part in np.split(names, np.cumsum(lengths)[:-1])]


def labels_of(texts: Texts, seed: int = 0, noise: float = 1.0, weights: Mapping[str, float] = WEIGHTS) -> np.ndarray:
    """The class that the words tell, with some noise, int32 [texts]."""
    random = np.random.default_rng(seed + 2)
    score = np.array([sum(weights.get(word, 0.0) for word in words) for words in texts])
    return (score + random.normal(0, noise, len(texts)) > 0).astype(np.int32)


def with_word(texts: Texts, word: str, share: float, seed: int = 0) -> Texts:
    """The texts, of which a share has one word replaced by another."""
    random = np.random.default_rng(seed + 3)
    found = [list(words) for words in texts]
    for words in found:
        if random.random() < share:
            words[int(random.integers(len(words)))] = word
    return found


def turned(word: str) -> Callable[[list[str], Mapping[str, float]], np.ndarray]:
    """A network that takes the words of a text for their opposites where it has a certain one."""

    def push(words: list[str], weights: Mapping[str, float]) -> np.ndarray:
        return (-1.0 if word in words else 1.0) * np.array([weights.get(one, 0.0) for one in words])

    return push


def labelled_corpus(corpus: Corpus, probability: np.ndarray, lists: Sequence[Sequence[int] | None]) -> Corpus:
    """The corpus of a model of several labels, with the same texts.

    Args:
        corpus: of a model of two classes.
        probability: of each label, [texts, labels].
        lists: the labels that apply, by text; None: nobody knows.
    """
    said = np.asarray(probability, np.float32)
    names = tuple(f"label{i}" for i in range(said.shape[1]))
    column = pa.array(lists, schema.TRUTHS[schema.LABELS].type)
    texts = corpus.texts.append_column(schema.TRUTHS[schema.LABELS], column)
    return replace(corpus, texts=texts, probability=said, outputs=schema.LABELS, class_names=names)


def changed(table: pa.Table, **columns: object) -> pa.Table:
    """A table with some columns exchanged, each for an array, or for one value of all rows."""
    for name, values in columns.items():
        field = table.schema.field(name)
        rows = values.tolist() if isinstance(values, np.ndarray) else [values] * table.num_rows
        column = pa.array(rows, field.type)
        table = table.set_column(table.schema.get_field_index(name), field, column)
    return table


def sprinkled(texts: Texts, words: Sequence[str], share: float, seed: int = 9) -> Texts:
    """The texts, where each of `words` has taken the place of some word in about this part of them."""
    random = np.random.default_rng(seed)
    for new in words:
        for text in texts:
            if random.random() < share:
                text[int(random.integers(len(text)))] = new
    return texts
