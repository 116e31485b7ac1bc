"""The IMDB reviews as Keras serves them: where the two files come from, in what order, and how ranks become words.

``imdb.npz`` holds each review as a list of word ranks (1 is the most frequent word), ``imdb_word_index.json`` the
words. `keras.datasets.imdb.load_data()` shuffles the rows with seed 113; row i here is its row i.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ig_worker.data.access import cache_folder, follow_umask
from ig_worker.data.faults import DOCUMENTS
from ig_worker.data.files import file_faults
from ig_worker.data.safe_npz import Reviews
from ig_worker.errors import DataError, UsageError

CLASS_NAMES = ("negative", "positive")
DECODES = ("2021", "2022", "full")

# What `load_data(num_words=10_000)` and both tutorials use. Keras' ids are ranks moved up by three.
_INDEX_FROM = 3
_PAD, _START, _OUT_OF_VOCABULARY = 0, 1, 2
_NUM_WORDS = 10_000
_LENGTH_2021 = 100  # words that the 2021 tutorial keeps

_TIMEOUT_S = 60
_BLOCK = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file that Keras publishes, and the hash that Keras checks it against."""

    name: str
    url: str
    algorithm: str  # of the hash: "sha256" or "md5"
    digest: str  # hex


_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
REVIEWS_FILE = RemoteFile(
    "imdb.npz",
    _ORIGIN + "imdb.npz",
    "sha256",
    "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
)
WORD_INDEX_FILE = RemoteFile(
    "imdb_word_index.json", _ORIGIN + "imdb_word_index.json", "md5", "bfafd718b763782e994055a2d397834f"
)


def keras_order(n_train: int, n_test: int, seed: int = 113) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the archive of Keras' rows, as (train, test): row i of ``load_data(seed=seed)`` is row ``order[i]``.

    One generator shuffles both, train first, so the test order depends on the number of train rows.
    """
    generator = np.random.RandomState(seed)
    train, test = np.arange(n_train), np.arange(n_test)
    generator.shuffle(train)
    generator.shuffle(test)
    return train, test


def rank_words(word_index: Mapping[str, int], mode: str) -> dict[int, str]:
    """Rank -> word, from Keras' word -> rank; lower-cased for ``2022``, as that tutorial does."""
    check_decode(mode)
    if mode == "2022":
        return {rank: word.lower() for word, rank in word_index.items()}
    return {rank: word for word, rank in word_index.items()}


def decode(ranks: Iterable[int], words: Mapping[int, str], mode: str) -> str:
    """The text of one review.

    Args:
        ranks: the review's word ranks, from 1, as in ``imdb.npz``.
        words: rank -> word, from `rank_words` for the same `mode`.
        mode: ``full``: every word. ``2022``: the words that Keras keeps at ``num_words=10000``, others ``[UNK]``, as
            in alibi's 2022 tutorial. ``2021``: as in its predecessor, the last 100 of Keras' ids, padded in front,
            where padding, start and unknown ids alike become the word ``UNK``.
    """
    check_decode(mode)
    if mode == "full":
        return " ".join([words.get(rank, "[UNK]") for rank in ranks])
    if mode == "2022":
        # The tutorial drops the start id, which is not in `ranks`.
        return " ".join([words.get(key - _INDEX_FROM, "[UNK]") for key in _keras_ids(ranks)])
    keys = [_START, *_keras_ids(ranks)][-_LENGTH_2021:]
    keys = [_PAD] * (_LENGTH_2021 - len(keys)) + keys
    # Pad, start and out-of-vocabulary ids ask for ranks -3, -2 and -1, which no index has.
    return " ".join([words.get(key - _INDEX_FROM, "UNK") for key in keys])


def _keras_ids(ranks: Iterable[int]) -> list[int]:
    keys = [rank + _INDEX_FROM for rank in ranks]
    return [key if key < _NUM_WORDS else _OUT_OF_VOCABULARY for key in keys]


def review_labels(splits: Mapping[str, Reviews], split: str) -> pa.Array:
    """The labels of `split` in Keras' order."""
    return pa.array(splits[split].labels[_order(splits)[split]])


def _order(splits: Mapping[str, Reviews]) -> dict[str, np.ndarray]:
    rows = (len(splits[split].labels) for split in ("train", "test"))
    return dict(zip(("train", "test"), keras_order(*rows), strict=True))


def review_batches(
    splits: Mapping[str, Reviews], split: str, words: Mapping[int, str], mode: str, batch_rows: int = 1024
) -> Iterator[pa.RecordBatch]:
    """The rows of `split` in Keras' order as batches of `DOCUMENTS`; their ids are ``test-00000`` and so on."""
    reviews = splits[split]
    order = _order(splits)
    for start in range(0, len(reviews.labels), batch_rows):
        rows = order[split][start : start + batch_rows]
        ids = [f"{split}-{start + position:05d}" for position in range(len(rows))]
        texts = [decode(reviews.ranks[row].tolist(), words, mode) for row in rows]
        columns = [
            pa.array(ids, pa.string()),
            pa.array(texts, pa.string()),
            pa.array(reviews.labels[rows]),
            pa.nulls(len(rows), pa.string()),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=DOCUMENTS)


def check_decode(mode: str) -> None:
    """Raises UsageError where `mode` is not one of `DECODES`."""
    if mode not in DECODES:
        raise UsageError(
            f"--imdb-decode is {mode!r}", expected=", ".join(DECODES), remedy="choose one; full keeps every word"
        )


def parse_word_index(data: bytes, name: str) -> dict[str, int]:
    """Keras' word index from its JSON; every rank is at least 1.

    Raises:
        DataError: `data` is something else.
    """
    try:
        index = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _no_word_index(name, f"is not JSON ({error})") from error
    if not isinstance(index, dict) or not index or set(map(type, index.values())) != {int}:
        raise _no_word_index(name, "does not map words to whole numbers")
    if min(index.values()) < 1:
        raise _no_word_index(name, "has a rank below 1")
    try:
        "".join(index).encode()
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair, UTF-8 cannot
        raise _no_word_index(name, "has a word with half a surrogate pair") from error
    return index


def _no_word_index(name: str, what: str) -> DataError:
    return DataError(
        f"word index {name} {what}",
        expected='a JSON object of word ranks, such as {"the": 1}',
        remedy="name Keras' imdb_word_index.json with --word-index",
    )


def keras_file(remote: RemoteFile) -> Path:
    """A local copy of `remote`: Keras' own, this project's, or a fresh download, whichever is there first.

    A copy counts only if its hash is the published one. Keras' folder (``$KERAS_HOME`` or ``~/.keras``) is only ever
    read; downloads go to ``$XDG_CACHE_HOME/ig_worker`` (or ``~/.cache/ig_worker``).

    Raises:
        DataError: there is no copy, and it cannot be downloaded.
    """
    keras_home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))
    cache = cache_folder()
    # Path.is_file would raise where this user may not look at all.
    candidates = [path for path in (keras_home / "datasets" / remote.name, cache / remote.name) if os.path.isfile(path)]
    for path in candidates:
        with file_faults(str(path)):
            if _hash(path, remote.algorithm) == remote.digest:
                return path
    other = next(iter(candidates), None)
    note = f"; {other} is there, but is another file: to use it, pass its path as --dataset" if other else ""
    return _download(remote, cache / remote.name, note)


def _download(remote: RemoteFile, target: Path, note: str) -> Path:
    """Fetch to a temporary name beside `target`, check the hash, then rename: a crash leaves no half file."""
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".tmp-", delete=False) as out:
            temporary = Path(out.name)
            with urllib.request.urlopen(remote.url, timeout=_TIMEOUT_S) as response:
                while block := response.read(_BLOCK):
                    out.write(block)
        found = _hash(temporary, remote.algorithm)
        if found != remote.digest:
            raise DataError(
                f"{remote.url} has {remote.algorithm} {found}",
                expected=remote.digest,
                remedy="what came is not Keras' file: try again later, or from another network" + note,
            )
        follow_umask(temporary)
        os.replace(temporary, target)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(
            f"{remote.url} cannot be downloaded ({error})",
            remedy=f"download it elsewhere to {target}, or pass the path of a copy as --dataset{note}",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return target


def _hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
