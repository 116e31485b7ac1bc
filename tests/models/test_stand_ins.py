"""Files that are not what their names say, tokenizers of another network, and weights that nobody trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ig_worker.errors import ModelError
from ig_worker.models.files import find_model
from ig_worker.models.tokenize import load_tokenizer
from tests.models.checkpoints import State, copy_of, pytorch_state, write_safetensors
from tests.tiny import SPECIAL, WORDS

NOTE = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 231508\n"
PIECES = SPECIAL + WORDS


@pytest.fixture
def state(tiny_models: dict[str, Path]) -> State:
    return pytorch_state(tiny_models["distilbert"])


@pytest.fixture
def model(tiny_models: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "it"))


def leave_vocabulary(model: Path, content: bytes) -> None:
    for name in ("tokenizer.json", "special_tokens_map.json"):
        (model / name).unlink(missing_ok=True)
    (model / "vocab.txt").write_bytes(content)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "adapter_config.json"])
def test_a_link_to_nothing_is_refused_and_nothing_else_taken_in_its_place(model: Path, file: str) -> None:
    (model / file).unlink(missing_ok=True)
    (model / file).symlink_to("../blobs/0a1b")
    with pytest.raises(ModelError, match=rf"{file} in .* is a link to \.\./blobs/0a1b, which is not there"):
        find_model(str(model))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json"])
def test_a_note_of_git_in_place_of_a_small_file_is_called_that(model: Path, file: str) -> None:
    if file == "vocab.txt":
        leave_vocabulary(model, b"")
    (model / file).write_text(NOTE)
    with pytest.raises(ModelError, match=rf"{file} in .* is git's note .* git lfs pull"):
        find_model(str(model))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04" + bytes(200), "a pickle"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (b"\n <!DOCTYPE html><html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "HDF5"),
    ],
)
def test_weights_of_another_format_than_their_name_says_are_called_that(model: Path, content: bytes, kind: str) -> None:
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=rf"cannot be read: model\.safetensors is {kind}"):
        find_model(str(model))


def test_safetensors_under_the_name_of_hdf5_are_called_that(model: Path, state: State) -> None:
    write_safetensors(model / "tf_model.h5", state)
    with pytest.raises(ModelError, match=r"cannot be read: tf_model\.h5 is a safetensors file"):
        find_model(str(model))


@pytest.mark.parametrize("file", ["flax_model.msgpack", "model.onnx", "model-Q8_0.gguf", "model.ckpt.index"])
def test_weights_that_other_programs_read_are_named(model: Path, file: str) -> None:
    (model / "tf_model.h5").rename(model / file)
    with pytest.raises(ModelError, match=rf"has no weights, only {file}, of a format that is not read here"):
        find_model(str(model))


def test_a_directory_called_model_safetensors_is_no_file_of_weights(model: Path) -> None:
    (model / "tf_model.h5").unlink()
    (model / "model.safetensors").mkdir()
    with pytest.raises(ModelError, match="has no weights; expected"):
        find_model(str(model))


def test_a_model_in_a_folder_below_is_named(model: Path, tmp_path: Path) -> None:
    model.rename(tmp_path / "checkpoint-500")
    with pytest.raises(ModelError, match=r"no readable config\.json.*there is one in checkpoint-500"):
        find_model(str(tmp_path))


def test_two_vocabularies_that_differ_are_told(model: Path) -> None:
    assert not find_model(str(model)).notes
    (model / "vocab.txt").write_text("\n".join([*SPECIAL, *reversed(WORDS)]) + "\n")
    (note,) = find_model(str(model)).notes
    assert "disagree on" in note
    assert "transformers reads tokenizer.json" in note


def test_settings_of_a_tokenizer_that_contradict_its_own_file_are_told(model: Path) -> None:
    """transformers' BERT tokenizer lower-cases unless tokenizer_config.json says no, whatever tokenizer.json says."""
    content = json.loads((model / "tokenizer.json").read_text())
    content["normalizer"]["lowercase"] = False
    (model / "tokenizer.json").write_text(json.dumps(content))
    settings = json.loads((model / "tokenizer_config.json").read_text())
    del settings["do_lower_case"]
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_tokenizer(str(model), vocabulary=1000).tokenize("Good") == ["good"]
    (note,) = find_model(str(model)).notes
    assert "lowercase false in tokenizer.json" in note
    assert "do_lower_case true" in note
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    assert load_tokenizer(str(model), vocabulary=1000).tokenize("Good") == ["[UNK]"]
    assert not find_model(str(model)).notes


def test_a_blank_line_within_a_vocabulary_is_told_and_one_at_its_end_is_not(model: Path) -> None:
    leave_vocabulary(model, "\n".join([*PIECES, "", ""]).encode())
    assert not find_model(str(model)).notes
    leave_vocabulary(model, "\n".join([*PIECES[:7], "", *PIECES[7:-1]]).encode())
    (note,) = find_model(str(model)).notes
    assert "line 8 of vocab.txt is blank" in note


@pytest.mark.parametrize(("more", "told"), [(1000, False), (1500, True)])
def test_a_tokenizer_far_smaller_than_the_network_is_told(tiny_models, tmp_path, state: State, more, told) -> None:
    words = "distilbert.embeddings.word_embeddings.weight"
    state[words] = np.concatenate([state[words], np.ones((more, 32), np.float32)])
    model = copy_of(tiny_models["distilbert"], tmp_path / "it", state, vocab_size=len(state[words]))
    notes = find_model(str(model)).notes
    assert [f"{more} embeddings more than its tokenizer has tokens" in note for note in notes] == [True] * told


@pytest.mark.parametrize(
    ("content", "lost"),
    [
        (b"\xef\xbb\xbf" + "\n".join(PIECES).encode(), r"\[PAD\].*byte order mark"),
        ("\n".join(piece for piece in PIECES if piece != "[CLS]").encode(), r"\[CLS\]"),
        ("\n".join(f"{piece} {i}" for i, piece in enumerate(PIECES)).encode(), r"\[PAD\]"),
    ],
)
def test_a_special_token_that_the_vocabulary_lacks_is_refused(model: Path, content: bytes, lost: str) -> None:
    """transformers adds it behind the others, where a network with spare rows has an embedding that nobody trained."""
    leave_vocabulary(model, content)
    with pytest.raises(ModelError, match=f"vocab.txt in .* lacks {lost}"):
        load_tokenizer(str(model), vocabulary=1000)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_whole_vocabulary_is_all_that_a_tokenizer_needs(model: Path, ending: str) -> None:
    leave_vocabulary(model, ending.join(PIECES).encode())
    tokenizer = load_tokenizer(str(model), vocabulary=len(PIECES))
    assert tokenizer.tokenize("a good film") == ["a", "good", "film"]


def test_a_tokenizer_that_puts_other_tokens_around_a_text_than_it_says_is_refused(tiny_models, tmp_path: Path) -> None:
    """The post-processor's numbers are of the vocabulary that it was made for."""
    model = Path(shutil.copytree(tiny_models["bert"], tmp_path / "it"))
    content = json.loads((model / "tokenizer.json").read_text())
    content["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 12]}
    (model / "tokenizer.json").write_text(json.dumps(content))
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(ModelError, match=rf"gives \[CLS\] the number 12, which is '{PIECES[12]}'.*expected 2"):
        load_tokenizer(str(model), vocabulary=1000)


def test_a_tokenizer_that_gives_texts_another_token_type_is_refused(tiny_models, tmp_path: Path) -> None:
    """BERT would add the other type's embedding."""
    model = Path(shutil.copytree(tiny_models["bert"], tmp_path / "it"))
    content = json.loads((model / "tokenizer.json").read_text())
    one = [{"SpecialToken": {"id": "[CLS]", "type_id": 1}}, {"Sequence": {"id": "A", "type_id": 1}}]
    tokens = {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}
    content["post_processor"] = {"type": "TemplateProcessing", "single": one, "pair": one, "special_tokens": tokens}
    content["post_processor"]["pair"] = [*one, {"Sequence": {"id": "B", "type_id": 1}}]
    (model / "tokenizer.json").write_text(json.dumps(content))
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(ModelError, match="token type 1"):
        load_tokenizer(str(model), vocabulary=1000)


@pytest.mark.parametrize("part", ["classifier.weight", "distilbert.embeddings.word_embeddings.weight"])
def test_zeros_that_make_all_texts_alike_are_refused(tiny_models, tmp_path: Path, state: State, part: str) -> None:
    from ig_worker.models.classifier import load_classifier

    state[part] = np.zeros_like(state[part])
    model = copy_of(tiny_models["distilbert"], tmp_path / "it", state)
    with pytest.raises(ModelError, match="are all 0"):
        load_classifier(find_model(str(model)))


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_head_of_which_a_part_is_there_is_not_called_a_bare_encoder(
    tiny_models, tmp_path, state: State, part
) -> None:
    del state[f"classifier.{part}"]
    model = copy_of(tiny_models["distilbert"], tmp_path / "it", state)
    with pytest.raises(ModelError, match=rf"lack classifier\.{part}; expected a whole classifier; copy or save it"):
        find_model(str(model))
    del state[f"classifier.{'bias' if part == 'weight' else 'weight'}"]
    write_safetensors(model / "model.safetensors", state)
    with pytest.raises(ModelError, match=r"not a bare encoder; fine-tune it first"):
        find_model(str(model))
