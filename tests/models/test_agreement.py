"""Which loads hold a network against transformers' own, and what becomes of a difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ig_worker.errors import ModelError
from ig_worker.models import agreement
from ig_worker.models.classifier import load_classifier
from ig_worker.models.files import find_model
from ig_worker.models.pretrained import reference_network
from tests.models.checkpoints import copy_of, pytorch_state


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names of the models that are held against transformers, on a machine that has seen none."""
    names: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(agreement, "reference_network", lambda f, w: (names.append(f.name), reference_network(f, w))[1])
    return names


def test_a_machine_checks_a_model_once(tiny_models: dict[str, Path], checked: list[str]) -> None:
    for name in ("bert", "distilbert", "bert"):
        load_classifier(find_model(str(tiny_models[name])))
    assert checked == [str(tiny_models["bert"]), str(tiny_models["distilbert"])]


def test_other_numbers_under_the_same_name_are_checked_again(tiny_models, checked: list[str], tmp_path: Path) -> None:
    state = pytorch_state(tiny_models["bert"])
    copy = copy_of(tiny_models["bert"], tmp_path / "copy", state)
    load_classifier(find_model(str(copy)))
    config = (copy / "config.json").read_text().replace('"gelu"', '"relu"')
    (copy / "config.json").write_text(config)
    load_classifier(find_model(str(copy)))
    assert checked == [str(copy), str(copy)]


@pytest.mark.parametrize("package", ["tensorflow", "transformers"])
def test_another_version_is_checked_again(tiny_models, checked: list[str], monkeypatch, package: str) -> None:
    files = find_model(str(tiny_models["bert"]))
    load_classifier(files)
    known = agreement.version
    monkeypatch.setattr(agreement, "version", lambda name: "9" if name == package else known(name))
    load_classifier(files)
    assert len(checked) == 2


def test_a_difference_is_found_each_time(tiny_models: dict[str, Path], checked: list[str]) -> None:
    files = find_model(str(tiny_models["bert"]))
    weights = load_classifier(files).weights
    wrong = replace(files, shape=replace(files.shape, activation="gelu_new"), weights_digest="another")
    for _ in range(2):
        with pytest.raises(ModelError, match="logits that differ by"):
            agreement.require_agreement_once(wrong, weights)
    assert len(checked) == 3


def test_a_machine_that_cannot_remember_checks_each_time(tiny_models, checked: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    for _ in range(2):
        load_classifier(find_model(str(tiny_models["bert"])))
    assert len(checked) == 2
