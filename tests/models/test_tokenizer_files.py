"""A tokenizer's files: which suffice, what is told of them, and each way in which they can be wrong, in one line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from ig_worker.errors import ModelError
from ig_worker.models.files import find_model
from ig_worker.models.tokenize import load_tokenizer
from ig_worker.models.tokenizer_files import LAYOUTS, SENTENCEPIECE, TOKENIZER_FILES, check_tokenizer
from tests.fuzz import damaged, one_line, quick
from tests.models.tokenizer_makers import json_alone, make, saved, settings

few = settings_of(quick, max_examples=40)  # each loads a tokenizer
EMBEDDINGS = 47  # of the tiny models


@pytest.fixture
def bare(tiny_models: dict[str, Path], tmp_path: Path) -> Path:
    """A model without a tokenizer."""
    model = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "model"))
    for file in TOKENIZER_FILES:
        (model / file).unlink(missing_ok=True)
    return model


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a tokenizer by its name; not to be changed."""
    folder = tmp_path_factory.mktemp("kinds")
    return lambda name: folder / name if (folder / name).is_dir() else make(folder / name, name)


@contextmanager
def refused(message: str) -> Iterator[None]:
    """What is done within is refused with that message, in one line."""
    with pytest.raises(ModelError, match=message) as caught:
        yield
    with one_line(ModelError):
        raise caught.value


def few_pieces(model: Path, **changes: int) -> None:
    """vocab.json with 10 pieces, and merges.txt."""
    (model / "vocab.json").write_text(json.dumps({f"a{i}": i for i in range(10)} | changes))
    (model / "merges.txt").write_text("#version: 0.2\n")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_a_tokenizer_and_each_of_its_files_is_in_the_digest(bare: Path, layout: tuple[str, ...]) -> None:
    few_pieces(bare)
    vocabulary = {f"a{i}": i for i in range(9)} | {"[UNK]": 9}
    contents = {
        "tokenizer.json": json.dumps({"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocabulary}}),
        "vocab.txt": "\n".join(vocabulary),
    }
    for file in ("vocab.json", "merges.txt"):
        contents[file] = (bare / file).read_text()
        (bare / file).unlink()
    with pytest.raises(
        ModelError, match=r"has no tokenizer; expected tokenizer\.json, vocab\.txt, vocab\.json with me"
    ):
        find_model(str(bare))
    for file in layout:
        (bare / file).write_text(contents.get(file, "a model"))
    digests = {find_model(str(bare)).tokenizer_digest}
    (bare / "other.model").write_text("another's")
    assert {find_model(str(bare)).tokenizer_digest} == digests
    for file in layout:
        (bare / file).write_text(contents.get(file, "a model") + "\n")
        digests.add(find_model(str(bare)).tokenizer_digest)
    assert len(digests) == 1 + len(layout)


def test_all_files_of_a_tokenizer_are_fetched(bare: Path, monkeypatch, tmp_path: Path) -> None:
    def fetch(uri: str, patterns: list[str]) -> Path:
        (tmp_path / "fetched").mkdir()
        for path in bare.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in patterns):
                shutil.copy(path, tmp_path / "fetched")
        return tmp_path / "fetched"

    few_pieces(bare)
    for file in SENTENCEPIECE:
        (bare / file).write_text("a model")
    (bare / "README.md").write_text("not of the model")
    monkeypatch.setattr("ig_worker.models.files.fetch_model", fetch)
    fetched = find_model("s3://bucket/model")
    there = {path.name for path in Path(fetched.directory).iterdir()}
    assert there >= {"vocab.json", "merges.txt", *SENTENCEPIECE}
    assert "README.md" not in there
    assert fetched.tokenizer_digest == find_model(str(bare)).tokenizer_digest


@pytest.mark.parametrize(("there", "missing"), [("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")])
def test_half_of_a_tokenizer_is_refused_and_the_other_half_named(bare: Path, there: str, missing: str) -> None:
    few_pieces(bare)
    (bare / missing).unlink()
    with refused(rf"has {there} without {missing}; expected both.*download {missing}, too$"):
        find_model(str(bare))
    (bare / "vocab.txt").write_text("a\n")
    find_model(str(bare))


@pytest.mark.parametrize(("number", "fits"), [(EMBEDDINGS - 1, True), (EMBEDDINGS, False)])
def test_a_vocab_json_of_another_network_is_refused(bare: Path, number: int, fits: bool) -> None:
    few_pieces(bare, good=number)
    if fits:
        assert not find_model(str(bare)).notes
        return
    with refused("tokens up to 47, the network has 47 embeddings"):
        find_model(str(bare))


@pytest.mark.parametrize(
    ("count", "unknown", "message"),
    [
        (EMBEDDINGS, 0, ""),
        (EMBEDDINGS + 1, 0, "tokens up to 47, the network has 47 embeddings"),
        (9, None, "lacks token unk_id None, which stands for unknown words"),
        (9, 9, "lacks token unk_id 9, which stands for unknown words"),
    ],
)
def test_a_unigram_vocabulary_that_does_not_fit_is_refused(bare: Path, count: int, unknown, message: str) -> None:
    model = {"type": "Unigram", "unk_id": unknown, "vocab": [[f"a{i}", -1.0] for i in range(count)]}
    (bare / "tokenizer.json").write_text(json.dumps({"model": model}))
    if not message:
        assert not find_model(str(bare)).notes
        return
    with refused(message):
        find_model(str(bare))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'{"a": "b"}', b"[" * 100_000])
def test_a_broken_vocab_json_is_refused(bare: Path, content: bytes) -> None:
    few_pieces(bare)
    (bare / "vocab.json").write_bytes(content)
    with refused(r"the tokenizer in .* cannot be read.*once more"):
        find_model(str(bare))


def test_vocab_json_that_differs_from_tokenizer_json_is_told(kinds, bare: Path) -> None:
    whole = saved(kinds("roberta"), bare)
    assert check_tokenizer(whole, "it", 1000) == []
    numbers = json.loads((whole / "vocab.json").read_text())
    numbers["a"], numbers["b"] = numbers["b"], numbers["a"]
    (whole / "vocab.json").write_text(json.dumps(numbers))
    (note,) = check_tokenizer(whole, "it", 1000)
    assert note == "tokenizer.json and vocab.json disagree on 2 tokens; transformers reads tokenizer.json"


def test_a_space_before_a_text_that_transformers_leaves_out_is_told(kinds, tmp_path: Path) -> None:
    json_alone(kinds("roberta"), tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["pre_tokenizer"]["add_prefix_space"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    (note,) = check_tokenizer(tmp_path, "it", 1000)
    assert "add_prefix_space true in tokenizer.json and add_prefix_space false by transformers" in note
    assert not load(tmp_path).tokenize("film")[0].startswith("Ġ")
    settings(tmp_path, tokenizer_class="PreTrainedTokenizerFast", add_prefix_space=True)
    assert check_tokenizer(tmp_path, "it", 1000) == []
    assert load(tmp_path).tokenize("film")[0].startswith("Ġ")
    settings(tmp_path, tokenizer_class="TokenizersBackend", backend="tokenizers")
    assert check_tokenizer(tmp_path, "it", 1000) == []


def load(directory: Path, embeddings: int = 100_000) -> Any:
    return load_tokenizer(str(directory), embeddings)


@pytest.mark.parametrize("name", ["roberta", "modernbert", "xlm-roberta", "albert", "deberta", "mpnet"])
def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(kinds, name: str) -> None:
    size = max(load(kinds(name)).get_vocab().values()) + 1
    assert load(kinds(name), size).is_fast
    with refused(rf"numbers its tokens up to {size - 1}, the network has {size - 1} embed"):
        load(kinds(name), size - 1)


@pytest.mark.parametrize(("name", "file"), [("xlm-roberta", "sentencepiece.bpe.model"), ("deberta", "spm.model")])
@pytest.mark.parametrize("content", [b"", b"text, and no model\n", None])
def test_a_broken_sentencepiece_model_is_called_that(
    kinds, tmp_path: Path, name: str, file: str, content: bytes | None
) -> None:
    shutil.copytree(kinds(name), tmp_path, dirs_exist_ok=True)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(
        ModelError, match=rf"{file} in .* cannot be read \(.*whole SentencePiece model.*once m"
    ) as caught:
        load(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_sentencepiece_model_without_the_package_that_reads_it_is_refused(kinds, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(kinds("deberta"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "spm.model").write_bytes(b"no model")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with refused(r"the tokenizer in .* cannot be loaded .* which writes tokenizer\.json"):
        load(tmp_path)


@quick
@given(data=st.data(), name=st.sampled_from(["roberta", "albert"]), file=st.sampled_from(["tokenizer", "vocab"]))
def test_damaged_files_are_read_or_refused_in_one_line_before_anything_is_loaded(
    kinds, tmp_path: Path, data, name: str, file: str
) -> None:
    whole = tmp_path / name
    if not whole.is_dir():
        saved(kinds(name), whole)
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    damage = folder / f"{file}.json"
    damage.write_bytes(data.draw(damaged(damage.read_bytes() if damage.is_file() else b'{"a": 1, "b": 2}')))
    with one_line(ModelError):
        check_tokenizer(folder, "it", 1000)


def test_numbers_that_are_none_are_refused(bare: Path) -> None:
    few_pieces(bare)
    (bare / "vocab.json").write_text('{"a": Infinity}')
    with refused("cannot be read"):
        find_model(str(bare))


@few
@given(data=st.data())
def test_a_damaged_sentencepiece_model_is_read_or_refused_in_one_line(kinds, tmp_path: Path, data) -> None:
    whole = (kinds("deberta") / "spm.model").read_bytes()
    settings(tmp_path, tokenizer_class="DebertaV2Tokenizer")
    (tmp_path / "spm.model").write_bytes(data.draw(damaged(whole)))
    with one_line(ModelError):
        load(tmp_path)


@few
@given(data=st.data(), file=st.sampled_from(["vocab.json", "merges.txt", "tokenizer_config.json"]))
def test_damaged_files_of_a_byte_level_tokenizer_are_read_or_refused_in_one_line(
    kinds, tmp_path: Path, data, file: str
) -> None:
    shutil.copytree(kinds("roberta"), tmp_path, dirs_exist_ok=True)
    whole = (kinds("roberta") / file).read_bytes()
    (tmp_path / file).write_bytes(data.draw(damaged(whole)))
    with one_line(ModelError):
        load(tmp_path)


@pytest.mark.parametrize("file", ["spm.model", "vocab.json", "merges.txt"])
def test_a_note_of_git_in_place_of_a_tokenizer_s_file_is_called_that(bare: Path, file: str) -> None:
    few_pieces(bare)
    (bare / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 231508\n")
    with refused(rf"{file} in .* is git's note .* git lfs pull"):
        find_model(str(bare))


def test_a_sentencepiece_model_under_a_name_that_its_class_does_not_know_is_refused(kinds, tmp_path: Path) -> None:
    shutil.copytree(kinds("xlm-roberta"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "sentencepiece.bpe.model").rename(tmp_path / "spm.model")
    with refused(r"cannot be loaded .* which writes tokenizer\.json"):
        load(tmp_path)


def test_a_slow_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("a 1\nb 1\n")
    (tmp_path / "bpe.codes").write_text("a b 1\n")
    settings(tmp_path, tokenizer_class="PhobertTokenizer")
    with refused(r"is a slow one \(PhobertTokenizer\); expected a fast tokenizer"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "lost"), [("roberta", "vocab.json", "<pad>"), ("roberta", "vocab.json", "</s>")]
)
def test_a_special_token_that_vocab_json_lacks_is_refused(
    kinds, tmp_path: Path, name: str, file: str, lost: str
) -> None:
    shutil.copytree(kinds(name), tmp_path, dirs_exist_ok=True)
    numbers = json.loads((tmp_path / file).read_text())
    del numbers[lost]
    (tmp_path / file).write_text(json.dumps(numbers))
    with refused(rf"{file} in .* lacks {lost}; expected"):
        load(tmp_path)


def test_a_special_token_that_a_sentencepiece_model_lacks_is_refused(tmp_path: Path) -> None:
    """Of ALBERT's: [CLS] would get a number behind all others."""
    from tests.models.tokenizer_makers import sentence_piece

    sentence_piece(tmp_path, "spiece.model", "AlbertTokenizer", pad_id=0, unk_id=1, bos_id=2, eos_id=3)
    with refused(r"spiece\.model in .* lacks \[(CLS|SEP)\]"):
        load(tmp_path)


def test_a_tokenizer_that_fails_at_an_unknown_letter_is_refused(tmp_path: Path) -> None:
    vocabulary = {letter: number for number, letter in enumerate("abcx")}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": "<unk>"}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    settings(tmp_path, tokenizer_class="PreTrainedTokenizerFast")
    with refused(r"cannot read an unknown word"):
        load(tmp_path)
