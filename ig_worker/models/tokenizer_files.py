"""The files that a tokenizer is read from, and what they say by themselves. Needs no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.keys import json_name

# transformers' XLM-RoBERTa and CamemBERT, ALBERT, DeBERTa, and others, in this order.
SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")
# Each is enough for a tokenizer. transformers reads the first where it is there, and else what the model's class knows.
LAYOUTS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"), *((file,) for file in SENTENCEPIECE))
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
TOKENIZER_FILES = (*(file for layout in LAYOUTS for file in layout), *_SETTINGS)
EXPECTED = f"tokenizer.json, vocab.txt, vocab.json with merges.txt, or {' or '.join(SENTENCEPIECE)}"
_NEWER = "TokenizersBackend"  # a class of transformers 5
# More embeddings than tokens: tables are padded to multiples of up to 1024. Those of a BERT with capital letters and of
# one without differ by 1526.
_MOST_SPARE = 1024
# transformers' classes that set right, as they see it, what tokenizer.json says of capitals and accents.
_OWN_SETTINGS = (
    None,
    *(f"{kind}Tokenizer{fast}" for kind in ("Bert", "DistilBert", "Electra", "MPNet") for fast in ("", "Fast")),
)


@dataclass(frozen=True)
class _Vocabulary:
    """What files say of a vocabulary."""

    highest: int  # number of a token; -1 where there is none
    lost: str = ""  # what stands for unknown words, where the vocabulary lacks it


def layouts_in(directory: Path) -> list[tuple[str, ...]]:
    """Those of `LAYOUTS` that a directory has all files of."""
    return [layout for layout in LAYOUTS if all((directory / file).is_file() for file in layout)]


def check_tokenizer(directory: Path, name: str, embeddings: int) -> list[str]:
    """What can be known of a tokenizer before it is loaded; `models.tokenize` knows all.

    Args:
        directory: a model's.
        name: of the model, for messages.
        embeddings: rows of the network's table.

    Returns:
        What its user should know, each as one line.

    Raises:
        ModelError: there is none, or it is not one for this network.
    """
    layouts = layouts_in(directory)
    if not layouts:
        raise _no_tokenizer(directory, name)
    try:
        if layouts[0] == ("tokenizer.json",):
            content = json.loads((directory / "tokenizer.json").read_bytes())
            vocabulary: _Vocabulary | None = _of_tokenizer_json(content)
            notes = list(_contradictions(directory, content))
        else:
            vocabulary, notes = _of_other_files(directory, layouts)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError(
            f"the tokenizer in {name} cannot be read ({type(error).__name__}: {error})",
            expected=f"{' with '.join(layouts[0])} as save_pretrained writes it",
            remedy="copy or download it once more",
        ) from error
    if vocabulary is None:
        return notes
    if vocabulary.lost:
        raise ModelError(
            f"the vocabulary of the tokenizer in {name} lacks {vocabulary.lost}, which stands for unknown words",
            expected="a tokenizer that can read any text",
        )
    refuse_token_ids(name, vocabulary.highest, embeddings)
    spare = embeddings - vocabulary.highest - 1
    if spare > _MOST_SPARE:
        notes.append(f"it has {spare} embeddings more than its tokenizer has tokens: is the tokenizer another model's?")
    return notes


def refuse_token_ids(name: str, highest: int, embeddings: int) -> None:
    """Raises ModelError where a tokenizer has a token beyond the last row of the network's embedding table."""
    if highest >= embeddings:
        raise ModelError(
            f"the tokenizer in {name} numbers its tokens up to {highest}, the network has {embeddings} embeddings",
            expected="a tokenizer and a network that belong together",
        )


def newer_settings(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What to read a tokenizer with that transformers 5 wrote; None for a tokenizer of an earlier version.

    Version 5 lists further special tokens as ``extra_special_tokens``, where version 4 expects names for them, and can
    name a class that version 4 does not have. Its tokenizer.json is all of the tokenizer; version 4's own classes would
    set that right, as they see it, by settings which version 5 need not write, such as lower-casing.

    Args:
        config: content of tokenizer_config.json.
    """
    further = config.get("extra_special_tokens")
    if not isinstance(further, list):
        return None if "backend" not in config and config.get("tokenizer_class") != _NEWER else {}
    contents = [token["content"] if isinstance(token, dict) else token for token in further]
    older = config.get("additional_special_tokens") or []
    return {"extra_special_tokens": {}, "additional_special_tokens": [*older, *contents]}


def adds_space(content: Mapping[str, Any]) -> bool | None:
    """Whether a byte-level tokenizer puts a space before a text; None for others.

    Args:
        content: of tokenizer.json.
    """
    first = content.get("pre_tokenizer") or {}
    return first.get("add_prefix_space") if first.get("type") == "ByteLevel" else None


def _no_tokenizer(directory: Path, name: str) -> ModelError:
    for layout in LAYOUTS:
        there = [file for file in layout if (directory / file).is_file()]
        if there:
            (missing,) = set(layout) - set(there)
            return ModelError(
                f"model directory {name} has {there[0]} without {missing}",
                expected=f"both, or a tokenizer.json: {there[0]} alone does not say how words are cut into pieces",
                remedy=f"copy or download {missing}, too",
            )
    return ModelError(
        f"model directory {name} has no tokenizer",
        expected=EXPECTED,
        remedy="save the tokenizer beside the weights with tokenizer.save_pretrained",
    )


def _of_other_files(directory: Path, layouts: list[tuple[str, ...]]) -> tuple[_Vocabulary | None, list[str]]:
    """(what a tokenizer's files say without tokenizer.json, what to tell of them).

    None where only transformers knows: the model's class chooses among several, and may number SentencePiece's anew.
    """
    if layouts == [("vocab.txt",)]:
        lines = (directory / "vocab.txt").read_bytes().rstrip(b"\r\n").split(b"\n")
        blank = next((number for number, line in enumerate(lines[:-1], 1) if not line.rstrip(b"\r")), None)
        note = f"line {blank} of vocab.txt is blank; it counts as a token, as it does in transformers"
        # Blank lines count, but are no token that a text can have: some editors leave one at the end.
        return _Vocabulary(len(lines) - 1 if lines[-1] else -1), [note] if blank is not None else []
    if layouts == [("vocab.json", "merges.txt")]:
        numbers = json.loads((directory / "vocab.json").read_bytes())
        return _Vocabulary(max(map(int, numbers.values()), default=-1)), []
    return None, []


def _of_tokenizer_json(content: Mapping[str, Any]) -> _Vocabulary:
    model, added = content["model"], content.get("added_tokens", [])
    listed = model["vocab"]
    pieces = listed if isinstance(listed, dict) else {piece: number for number, (piece, *_) in enumerate(listed)}
    numbers = [*(number for piece, number in pieces.items() if piece), *(token["id"] for token in added)]
    return _Vocabulary(max(map(int, numbers), default=-1), _lost(model, pieces))


def _lost(model: Mapping[str, Any], pieces: Mapping[str, int]) -> str:
    """What stands for unknown words by a model of tokenizer.json that lacks it; "" where it is there."""
    if not isinstance(model["vocab"], dict):  # unigram
        number = model.get("unk_id")
        return "" if isinstance(number, int) and 0 <= number < len(model["vocab"]) else f"token unk_id {number}"
    unknown = str(model.get("unk_token"))
    return unknown if model.get("type") == "WordPiece" and unknown not in pieces else ""


def _contradictions(directory: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """What a tokenizer's files say otherwise than its tokenizer.json, or than they may mean, each as one line."""
    for file in ("vocab.txt", "vocab.json"):
        differing = _differing(directory / file, content) if (directory / file).is_file() else 0
        if differing:
            yield f"tokenizer.json and {file} disagree on {differing} tokens; transformers reads tokenizer.json"
    path = directory / "tokenizer_config.json"
    settings = json.loads(path.read_bytes()) if path.is_file() else {}
    if newer_settings(settings) is not None:
        return
    for name, usual, own, meant in _set_twice(content, settings):
        said = settings.get(name, usual)
        if said != meant:
            where = (
                "tokenizer_config.json"
                if name in settings
                else "transformers, which tokenizer_config.json leaves it to"
            )
            yield (
                f"its tokenizer has {own} {json_name(meant)} in tokenizer.json and {name} {json_name(said)} by {where}"
                "; transformers follows the second"
            )


def _set_twice(
    content: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[tuple[str, bool | None, str, bool | None]]:
    """(name of a setting, what transformers takes it to be, its name in tokenizer.json, its value there)."""
    normalizer = content.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer" and settings.get("tokenizer_class") in _OWN_SETTINGS:
        yield "do_lower_case", True, "lowercase", normalizer.get("lowercase")
        yield "strip_accents", None, "strip_accents", normalizer.get("strip_accents")
    space = adds_space(content)
    if space is not None:
        yield "add_prefix_space", False, "add_prefix_space", space


def _differing(path: Path, content: Mapping[str, Any]) -> int:
    """How many tokens of vocab.txt or vocab.json are not those of tokenizer.json."""
    vocabulary = content["model"]["vocab"]
    if not isinstance(vocabulary, dict):
        return 0
    if path.suffix == ".json":
        numbers = json.loads(path.read_bytes())
        vocabulary = vocabulary | {token["content"]: token["id"] for token in content.get("added_tokens", [])}
    else:
        pieces = path.read_bytes().decode(errors="replace").split("\n")
        numbers = {piece.rstrip("\r"): number for number, piece in enumerate(pieces)}  # of doubled ones the last counts
    return sum(vocabulary.get(piece) != number for piece, number in numbers.items() if piece)
