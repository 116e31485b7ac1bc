"""Pretrained encoders load from every form in which the hub has them, and half an encoder is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.errors import ModelError
from ig_worker.models.layers import HEAD_KEY, FlattenHead
from ig_worker.models.recipes import RECIPES, revise
from tests.models.checkpoints import as_pytorch
from tests.models.reviews import save_encoder

CLASSES = ("bad", "soso", "good")


def build_on(directory: Path) -> Any:
    from ig_worker.models.build import build, find_base, find_tokenizer

    recipe = revise(RECIPES["bert"], base=str(directory), max_length=24)
    base = find_base(str(directory), recipe)
    return build(recipe, base, find_tokenizer(recipe, base, None, []), CLASSES).classifier


@pytest.mark.parametrize("form", ["safetensors", "h5", "pytorch", "pytorch and h5"])
def test_an_encoder_is_trained_end_to_end_from_its_weights(form: str, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    directory, encoder = save_encoder(tmp_path / "encoder")
    if form != "safetensors":
        (directory / "model.safetensors").unlink()
        encoder.save_pretrained(directory, safe_serialization=False)
    if form.startswith("pytorch"):
        save_file(as_pytorch(encoder.weights), directory / "model.safetensors", metadata={"format": "pt"})
    if form == "pytorch":
        (directory / "tf_model.h5").unlink()
    model = build_on(directory)
    for mine, theirs in zip(model.bert.weights, encoder.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=theirs.name)
    assert model.config.id2label == dict(enumerate(CLASSES))
    assert model(np.zeros((1, 2), np.int32)).logits.shape == (1, 3)


def test_a_head_on_all_positions_does_not_follow_its_encoder(tmp_path: Path) -> None:
    directory, _ = save_encoder(tmp_path / "encoder")
    config = json.loads((directory / "config.json").read_text())
    head = {HEAD_KEY: FlattenHead(24, 16, 0.1).as_json()}
    (directory / "config.json").write_text(json.dumps(config | head))
    assert HEAD_KEY not in build_on(directory).config.to_dict()


@pytest.mark.parametrize("form", ["tensorflow", "pytorch"])
def test_half_an_encoder_is_refused(form: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    directory, encoder = save_encoder(tmp_path / "encoder")
    path, kind = directory / "model.safetensors", {"tensorflow": "tf", "pytorch": "pt"}[form]
    kept = load_file(path) if form == "tensorflow" else as_pytorch(encoder.weights)
    save_file({name: value for name, value in kept.items() if "intermediate" not in name}, path, {"format": kind})
    with pytest.raises(ModelError, match=r"lack .*intermediate.*; expected a pretrained bert encoder; give another"):
        build_on(directory)


def test_a_head_for_other_classes_is_trained_anew(tmp_path: Path) -> None:
    from ig_worker.models.build import build, find_base, find_tokenizer

    directory, _ = save_encoder(tmp_path / "encoder")
    model = build_on(directory)
    model.save_pretrained(tmp_path / "three", safe_serialization=True)
    for file in directory.glob("*tok*"):
        (tmp_path / "three" / file.name).write_bytes(file.read_bytes())
    recipe = replace(RECIPES["bert"], base=str(tmp_path / "three"), max_length=24)
    base = find_base(str(tmp_path / "three"), recipe)
    two = build(recipe, base, find_tokenizer(recipe, base, None, []), ("bad", "good")).classifier
    assert two.config.num_labels == 2
    np.testing.assert_array_equal(two.bert.weights[0], model.bert.weights[0])
