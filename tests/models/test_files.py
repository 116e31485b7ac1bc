"""What a model directory must hold, found out without TensorFlow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.errors import ModelError
from ig_worker.models.files import find_model
from ig_worker.models.shape import read_shape
from tests.fuzz import damaged, one_line, quick


@pytest.fixture
def model(tiny_models: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "model"))


def test_the_digest_changes_with_weights_and_tokenizer_only(model: Path) -> None:
    first = find_model(str(model))
    (model / "README.md").write_text("hello")
    (model / "metrics.json").write_text("{}")
    assert find_model(str(model)) == first
    (model / "vocab.txt").write_text("other")
    assert find_model(str(model)).tokenizer_digest != first.tokenizer_digest
    weights = next(model.glob("*.h5"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert find_model(str(model)).weights_digest != first.weights_digest


def test_a_directory_without_weights_is_refused(model: Path) -> None:
    next(model.glob("*.h5")).unlink()
    with pytest.raises(ModelError, match=r"has no weights; expected model.safetensors or tf_model.h5"):
        find_model(str(model))


def test_a_pickle_of_weights_is_refused_with_the_way_to_convert_it(model: Path) -> None:
    next(model.glob("*.h5")).unlink()
    (model / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin, a pickle.*safe_serialization=True"):
        find_model(str(model))


def test_a_directory_without_tokenizer_is_refused(model: Path) -> None:
    for name in ("vocab.txt", "tokenizer.json"):
        (model / name).unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        find_model(str(model))


def test_a_directory_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no readable config\.json"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "[" * 100_000])
def test_a_broken_configuration_is_refused(model: Path, content: str) -> None:
    (model / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        find_model(str(model))


def test_a_name_that_is_neither_directory_nor_reachable_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"--model nobody/nothing is no directory .* give its directory"):
        find_model("nobody/nothing")


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-by-this-name", "\udcff", "no\0name"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"--model .* is no directory"):
        find_model(name)


def test_one_logit_and_many_labels_are_read_from_the_configuration(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    assert read_shape(config | {"id2label": {"0": "bad", "1": "so so", "2": "good"}}).labels == ("bad", "so so", "good")
    assert read_shape(config | {"id2label": {"0": "LABEL_0"}}).classes == 2


def edit_tokenizer(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((model / "tokenizer.json").read_text())
    change(content)
    (model / "tokenizer.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["model"]["vocab"].update(film=500), "tokens up to 500, the network has 47 embeddings"),
        (lambda t: t["added_tokens"].append({"id": 47}), "tokens up to 47, the network has 47 embeddings"),
        (lambda t: t["model"]["vocab"].pop("[UNK]"), r"lacks \[UNK\], which stands for unknown words"),
        (lambda t: t.pop("model"), "cannot be read"),
        (lambda t: t["model"].update(vocab={"a": "b"}), "cannot be read"),
    ],
)
def test_a_tokenizer_of_another_network_is_refused_before_anything_is_loaded(model: Path, change, message) -> None:
    edit_tokenizer(model, change)
    with pytest.raises(ModelError, match=message):
        find_model(str(model))


def test_a_vocabulary_file_of_another_network_is_refused(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    assert find_model(str(model)).shape.vocabulary == 47
    with (model / "vocab.txt").open("a") as stream:
        stream.write("more\n")
    with pytest.raises(ModelError, match="tokens up to 47, the network has 47 embeddings"):
        find_model(str(model))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_broken_tokenizer_is_refused(model: Path, content: bytes) -> None:
    (model / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"the tokenizer in .* cannot be read") as caught:
        find_model(str(model))
    assert len(str(caught.value).splitlines()) == 1


@quick
@given(data=st.data(), name=st.sampled_from(["config.json", "tokenizer.json"]))
def test_a_damaged_file_of_a_model_is_read_or_refused_in_one_line(model: Path, name: str, data: st.DataObject) -> None:
    whole = (model / name).read_bytes()
    (model / name).write_bytes(data.draw(damaged(whole)))
    with one_line(ModelError):
        find_model(str(model))
    (model / name).write_bytes(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"ig_worker_head": {"kind": "flatten", "length": float("inf"), "hidden": 1, "dropout": 0}},
        {"model_type": "bert", "layer_norm_eps": "small"},
        {"model_type": "bert", "layer_norm_eps": float("nan")},
        {"id2label": {"9" * 5000: "x"}},
    ],
)
def test_values_that_are_no_sizes_are_refused(model: Path, tiny_models: dict[str, Path], change: dict) -> None:
    base = tiny_models[change.get("model_type", "distilbert")]
    config = json.loads((base / "config.json").read_text()) | change
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config\.json has"):
        find_model(str(model))


def test_an_absurd_number_of_classes_fills_no_memory(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config.pop("id2label", None)
    (model / "config.json").write_text(json.dumps(config | {"num_labels": 10**12}))
    with pytest.raises(ModelError, match=r"classifier.* of shape \[2\]; expected \[100000\]"):
        find_model(str(model))


@pytest.mark.parametrize("how", ["external storage", "external link"])
def test_weights_that_are_taken_from_another_file_are_refused(model: Path, how: str) -> None:
    import h5py

    other = model.parent / "secret"
    other.write_bytes(b"secret--" * 100)
    weights = model / "tf_model.h5"
    weights.unlink(missing_ok=True)
    (model / "model.safetensors").unlink(missing_ok=True)
    with h5py.File(weights, "w") as content:
        inner = content.create_group("a").create_group("b")
        if how == "external link":
            inner["kernel"] = h5py.ExternalLink(str(other), "/x")
        else:
            inner.create_dataset("kernel", (100,), "f8", external=[(str(other), 0, 800)])
    with pytest.raises(ModelError, match="takes kernel from another file"):
        find_model(str(model))
