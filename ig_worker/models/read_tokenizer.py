"""A tokenizer read from its files by transformers, and refused where it is not what they say. Needs no TensorFlow."""

from __future__ import annotations

import json
import textwrap
import warnings
from pathlib import Path
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.environment import quiet_transformers
from ig_worker.models.tokenizer_files import SENTENCEPIECE, adds_space, layouts_in, newer_settings, refuse_token_ids

_HARD = ("x" * 1000, "\U00016a40")  # longer than a word of BERT may be; a letter that hardly any vocabulary has
_LONGEST = 300  # characters of a reason
_REMEDY = "save it once more with tokenizer.save_pretrained, which writes tokenizer.json"


def read_tokenizer(directory: Path, embeddings: int) -> Any:
    """The fast tokenizer of a model directory, as transformers makes it.

    Args:
        directory: a model's.
        embeddings: rows of the network's table.

    Raises:
        ModelError: it cannot be read, is not fast, or has tokens that its files or the network do not have.
    """
    try:
        tokenizer = _read(directory)
    except Exception as error:
        raise _unreadable(directory, error) from error
    if not tokenizer.is_fast:
        raise ModelError(
            f"the tokenizer in {directory} is a slow one ({type(tokenizer).__name__})",
            expected="a fast tokenizer (tokenizer.json), which says which characters each token stands for",
            remedy="use a model whose class has a fast one, or write a tokenizer.json with the same tokens",
        )
    # A blank line in vocab.txt has a number and is no token that a text can have.
    highest = max((number for token, number in tokenizer.get_vocab().items() if token), default=-1)
    layouts = layouts_in(directory)
    if ("tokenizer.json",) not in layouts:
        _refuse_made_up(directory, tokenizer)
    refuse_token_ids(str(directory), highest, embeddings)
    try:
        for word in _HARD:
            tokenizer(word)
    except Exception as error:
        raise ModelError(
            f"the tokenizer in {directory} cannot read an unknown word ({_short(error)})",
            expected="a tokenizer that can read any text",
        ) from error
    return tokenizer


def refuse_other_tokens(directory: str, tokenizer: Any) -> None:
    """Raise ModelError where what is put around a text is not what it is called, or of another token type.

    transformers would add another type's embedding to a text's.
    """
    encoding, numbers = tokenizer("a").encodings[0], tokenizer.get_vocab()
    for token, number in zip(encoding.tokens, encoding.ids, strict=True):
        # An unknown piece may be called what the text has.
        if numbers.get(token) != number != tokenizer.unk_token_id:
            raise ModelError(
                f"the tokenizer in {directory} gives {token} the number {number}, which is "
                f"{tokenizer.convert_ids_to_tokens(number)!r} in its vocabulary",
                expected=str(numbers.get(token, f"a vocabulary with {token}")),
                remedy="give files of one tokenizer",
            )
    types = set(encoding.type_ids) if "token_type_ids" in tokenizer.model_input_names else set()
    if types - {0}:
        raise ModelError(
            f"the tokenizer in {directory} gives a text token type {max(types)}",
            expected="0, the type of a single text's tokens",
            remedy="mend the post_processor in its tokenizer.json",
        )


def refuse_token_types(most: int, rows: int) -> None:
    """Raise ModelError where a tokenizer gives pairs a token type for which the network has no embedding.

    Args:
        most: the highest type that it gives.
        rows: of the network's table of types; 0: it has none, and reads no types.
    """
    if rows and most >= rows:
        raise ModelError(
            f"the model's tokenizer gives the second of two texts token type {most}, and the network has {rows}",
            expected=f"types below {rows} (type_vocab_size)",
            remedy="give model and tokenizer of one kind, or leave --pair-column out",
        )


def _read(directory: Path) -> Any:
    transformers = quiet_transformers()
    path = directory / "tokenizer_config.json"
    config = json.loads(path.read_bytes()) if path.is_file() else {}
    if not isinstance(config, dict):
        raise ValueError("tokenizer_config.json holds no JSON object")
    newer = newer_settings(config)
    if newer is None:
        with warnings.catch_warnings():
            # transformers' fast tokenizers leave SentencePiece's bytes aside, but for a few; people's models were
            # trained with them as they are.
            warnings.filterwarnings("ignore", "The sentencepiece tokenizer that you are converting")
            return transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    if not (directory / "tokenizer.json").is_file():
        raise ValueError("transformers 5 wrote tokenizer_config.json, but there is no tokenizer.json beside it")
    # Version 4 sets this right by its own default, too.
    space = adds_space(json.loads((directory / "tokenizer.json").read_bytes()))
    if space is not None:
        newer["add_prefix_space"] = space
    return transformers.PreTrainedTokenizerFast.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False, **newer
    )


def _unreadable(directory: Path, error: Exception) -> ModelError:
    if ("tokenizer.json",) not in layouts_in(directory):
        for file in SENTENCEPIECE:
            fault = _fault(directory / file)
            if fault:
                return ModelError(
                    f"{file} in {directory} cannot be read ({fault})",
                    expected="a whole SentencePiece model",
                    remedy="copy or download it once more",
                )
    return ModelError(
        f"the tokenizer in {directory} cannot be loaded ({_short(error)})",
        expected="a fast tokenizer of the model's own class",
        remedy=_REMEDY,
    )


def _short(error: Exception) -> str:
    """What an error of transformers says; it may go on with a list of all that it knows."""
    return textwrap.shorten(str(error), _LONGEST, placeholder=" …") or type(error).__name__


def _fault(path: Path) -> str:
    """Why a SentencePiece model cannot be read; "" where it can, or is not there."""
    if not path.is_file():
        return ""
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        return ""  # transformers' own words say so
    try:
        SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        return _short(error)
    return ""


def _refuse_made_up(directory: Path, tokenizer: Any) -> None:
    """Raise ModelError where a special token of a text is in none of the tokenizer's files.

    transformers gives it a number behind all others, where the network has no embedding, or one that nobody trained.
    """
    file = next(file for layout in layouts_in(directory) for file in layout)
    numbers = tokenizer.get_vocab()
    # Without the added ones; transformers may have numbered them anew, with its class's own special tokens.
    known = set(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False))
    size, mark = len(known), ""
    if file == "vocab.txt":
        content = (directory / file).read_bytes()
        lines = [line.rstrip("\r") for line in content.decode(errors="replace").removesuffix("\n").split("\n")]
        known, size = set(lines), len(lines)
        mark = ", since it begins with a byte order mark" if content.startswith(b"\xef\xbb\xbf") else ""
    for settings in ("added_tokens.json", "tokenizer_config.json"):
        stored = json.loads(path.read_bytes()) if (path := directory / settings).is_file() else {}
        if settings == "tokenizer_config.json":
            stored = {token["content"]: number for number, token in stored.get("added_tokens_decoder", {}).items()}
        # What was added has numbers behind the vocabulary's; others are those of tokens that are gone.
        known |= {token for token, number in stored.items() if numbers.get(token) == int(number) >= size}
    needed = [tokenizer.pad_token, tokenizer.unk_token, *tokenizer("").encodings[0].tokens]
    lost = [token for token in needed if token is not None and token not in known]
    if lost:
        raise ModelError(
            f"{file} in {directory} lacks {lost[0]}{mark}",
            expected="a line for each token, UTF-8, the special ones included" if file == "vocab.txt" else lost[0],
            remedy="copy or download it once more",
        )
