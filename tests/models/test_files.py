"""What a model directory must hold, found out without TensorFlow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ig_worker.errors import ModelError
from ig_worker.models.files import find_model


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


@pytest.mark.parametrize("content", ["{", "[]", '"text"'])
def test_a_broken_configuration_is_refused(model: Path, content: str) -> None:
    (model / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        find_model(str(model))


def test_a_name_that_is_neither_directory_nor_reachable_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"--model nobody/nothing is no directory .* give its directory"):
        find_model("nobody/nothing")


def test_one_logit_and_many_labels_are_read_from_the_configuration(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["id2label"] = {"0": "bad", "1": "so so", "2": "good"}
    (model / "config.json").write_text(json.dumps(config))
    assert find_model(str(model)).shape.labels == ("bad", "so so", "good")
    config["id2label"] = {"0": "LABEL_0"}
    (model / "config.json").write_text(json.dumps(config))
    assert find_model(str(model)).shape.classes == 2
