"""Special tokens are found from what a tokenizer does, and a setting that makes words unknown is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.explain.baselines import SpecialIds, baseline_ids
from ig_worker.models.tokenize import TextEncoder, load_tokenizer
from ig_worker.models.vocabulary import around, declare_special_tokens, suspicious_setting, unknown_words
from tests.tiny import SPECIAL, WORDS, save_tokenizer

TEXT = "a good film"
ALL = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    save_tokenizer(tmp_path)
    return tmp_path


def load(directory: Path) -> Any:
    return load_tokenizer(str(directory), 1000)


def change(directory: Path, **changes: Any) -> None:
    """Change tokenizer.json."""
    path = directory / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def forget(directory: Path) -> None:
    """Leave of a tokenizer what the tokenizers library itself writes, of a class that declares nothing."""
    for file in directory.iterdir():
        if file.name != "tokenizer.json":
            file.unlink()
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


def test_a_tokenizer_that_declares_its_special_tokens_stays_as_it_is(directory: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    before = (tokenizer.all_special_tokens, tokenizer(TEXT)["input_ids"])
    assert declare_special_tokens(tokenizer) == []
    assert (tokenizer.all_special_tokens, tokenizer(TEXT)["input_ids"]) == before
    assert set(before[0]) == ALL


def test_of_tokenizer_json_alone_all_special_tokens_are_found_and_nothing_else_changes(directory: Path) -> None:
    from transformers import AutoTokenizer

    before = load(directory)(TEXT)["input_ids"]
    forget(directory)
    bare = AutoTokenizer.from_pretrained(directory)
    assert bare.all_special_tokens == []  # what is declared
    tokenizer = load(directory)
    assert set(tokenizer.all_special_tokens) == ALL
    assert (tokenizer.pad_token, tokenizer.mask_token, tokenizer.unk_token) == ("[PAD]", "[MASK]", "[UNK]")
    assert tokenizer(TEXT)["input_ids"] == before
    assert SpecialIds.of(tokenizer) == SpecialIds(0, 4, 1, frozenset(range(5)))


def test_tokens_that_only_the_post_processor_adds_are_special_and_kept_by_baselines(directory: Path) -> None:
    """A template that puts a word of the vocabulary before each text, as instructions to a model are put."""
    number = len(SPECIAL) + WORDS.index("never")
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"SpecialToken": {"id": "never", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            name: {"id": name, "ids": [i], "tokens": [name]}
            for name, i in (("[CLS]", 2), ("[SEP]", 3), ("never", number))
        },
    }
    change(directory, post_processor=template)
    tokenizer = load(directory)
    assert around(tokenizer) == (["[CLS]", "never"], ["[SEP]"])
    assert set(tokenizer.all_special_tokens) == ALL | {"never"}
    (tokens,) = TextEncoder(tokenizer, "bert", 16).encode([TEXT])
    baseline = baseline_ids(tokens.inputs.ids, "pad", SpecialIds.of(tokenizer))
    assert tokenizer.convert_ids_to_tokens(baseline) == ["[CLS]", "never", "[PAD]", "[PAD]", "[PAD]", "[SEP]"]
    assert list(tokens.word_ids) == [-1, -1, 0, 1, 2, -1]


def test_a_token_that_was_added_as_special_is_special_without_being_put_around_a_text(directory: Path) -> None:
    content = json.loads((directory / "tokenizer.json").read_text())
    token = {"content": "film", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    number = content["model"]["vocab"]["film"]
    change(directory, added_tokens=[*content["added_tokens"], {"id": number, **token, "special": True}])
    assert "film" in load(directory).all_special_tokens
    change(directory, added_tokens=[*content["added_tokens"], {"id": number, **token, "special": False}])
    assert "film" not in load(directory).all_special_tokens


def test_a_tokenizer_that_adds_nothing_has_nothing_around_a_text(directory: Path) -> None:
    change(directory, post_processor=None)
    assert around(load(directory)) == ([], [])


def unknown(directory: Path, text: str) -> tuple[int, list[str], str]:
    """(number of tokens, unknown words, suspicious setting) of a text."""
    tokenizer = load(directory)
    total, words = unknown_words(tokenizer, [text], tokenizer([text]).encodings)
    return total, words, suspicious_setting(tokenizer, words)


def written(folder: Path, words: str, **settings: Any) -> Path:
    """A tokenizer of these words."""
    from transformers import BertTokenizerFast

    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *words.split()]) + "\n")
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), **settings).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("words", "settings", "unknowns", "told"),
    [
        (
            "Good Film a",
            {"do_lower_case": True},
            ["Good", "Film"],
            "lower-cases (do_lower_case), and the vocabulary has",
        ),
        ("good film a", {"do_lower_case": False}, ["Good", "Film"], "keeps capital letters (do_lower_case is false)"),
        (
            "Good FILM a",
            {"do_lower_case": True},
            ["Good", "Film"],
            "lower-cases (do_lower_case), and the vocabulary has",
        ),
        ("Good Film a", {"do_lower_case": False}, [], ""),
        ("good film a", {"do_lower_case": True}, [], ""),
        ("a movie", {"do_lower_case": True}, ["Good", "Film"], ""),  # of another language, say
    ],
)
def test_capital_letters_that_do_not_fit_the_vocabulary_are_named(
    tmp_path: Path, words: str, settings: dict[str, Any], unknowns: list[str], told: str
) -> None:
    total, found, setting = unknown(written(tmp_path, words, **settings), "a Good Film")
    assert (total, found) == (3, unknowns)
    assert told in setting
    assert bool(told) == bool(setting)


@pytest.mark.parametrize(
    ("words", "strip", "told"),
    [
        ("schön cafe", True, "takes accents away (strip_accents), and the vocabulary has them"),
        ("schon cafe", False, "keeps accents (strip_accents is false), and the vocabulary has none"),
    ],
)
def test_accents_that_do_not_fit_the_vocabulary_are_named(tmp_path: Path, words: str, strip: bool, told: str) -> None:
    folder = written(tmp_path, words, do_lower_case=False, strip_accents=strip)
    assert unknown(folder, "schön cafe")[1:] == (["schön"], f"the tokenizer {told}")


def test_capital_letters_and_accents_together_are_named(tmp_path: Path) -> None:
    folder = written(tmp_path, "schon cafe", do_lower_case=False, strip_accents=False)
    assert "capital letters and accents" in unknown(folder, "Schön cafe")[2]


def test_a_setting_is_suspicious_only_where_it_explains_half_of_the_words(tmp_path: Path) -> None:
    folder = written(tmp_path, "good a", do_lower_case=False)
    assert unknown(folder, "Good xyz")[2] != ""
    assert unknown(folder, "Good xyz uvw")[2] == ""


def test_a_survey_counts_whole_texts_of_either_style(directory: Path) -> None:
    """Lengths as they are before texts are cut, and unknown words of the text as the tokenizer is given it."""
    tokenizer = load(directory)
    texts = ["good film " * 50, "Good, Zebra!", ""]
    survey = TextEncoder(tokenizer, "bert", 8).survey(texts)
    assert survey.lengths.tolist() == [102, 6, 2]
    assert (survey.tokens, survey.unknown) == (104, ["Zebra"])
    survey = TextEncoder(tokenizer, "plain", 8).survey(texts)
    assert survey.lengths.tolist() == [100, 2, 0]
    assert (survey.tokens, survey.unknown) == (102, ["zebra"])


def test_words_are_counted_over_many_texts(directory: Path) -> None:
    survey = TextEncoder(load(directory), "bert", 8).survey(["good zebra"] * 200)
    assert np.array_equal(survey.lengths, np.full(200, 4))
    assert (survey.tokens, len(survey.unknown)) == (400, 200)


def test_a_model_of_which_only_tokenizer_json_is_left_has_the_same_baseline(tiny_models, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    before = SpecialIds.of(load(model))
    for name in ("vocab.txt", "special_tokens_map.json", "tokenizer_config.json"):
        (model / name).unlink(missing_ok=True)
    assert SpecialIds.of(load(model)) == before
