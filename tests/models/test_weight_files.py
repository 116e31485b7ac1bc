"""Files of weights in every form that people have, and which one is read where there are several."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.errors import ModelError
from ig_worker.models.files import find_model
from ig_worker.models.network_weights import find_weights
from tests.fuzz import damaged, one_line, quick
from tests.models.checkpoints import State, as_bfloat16, copy_of, pytorch_state, write_safetensors, write_shards


@pytest.fixture
def state(tiny_models: dict[str, Path]) -> State:
    return pytorch_state(tiny_models["bert"])


def values(directory: Path) -> dict[str, np.ndarray]:
    return dict(find_weights("it", directory, find_model(str(directory)).shape).values())


def assert_same(one: Path, other: Path, rounding: float = 0.0) -> None:
    ours, theirs = values(one), values(other)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert weight.dtype == np.float32
        np.testing.assert_allclose(weight, theirs[name], rtol=rounding, atol=rounding, err_msg=name)


def gamma_and_beta(state: State) -> State:
    """As the first checkpoints of BERT name them, and so bert-base-uncased still."""
    renamed = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    return {name.replace(key := ".".join(name.split(".")[-2:]), renamed.get(key, key)): v for name, v in state.items()}


FORMS: dict[str, tuple[Callable[[State], State], float]] = {
    "wrapped": (lambda state: {f"module.{name}": value for name, value in state.items()}, 0),
    "gamma and beta": (gamma_and_beta, 0),
    "float64": (lambda state: {name: value.astype(np.float64) for name, value in state.items()}, 0),
    "float16": (lambda state: {name: value.astype(np.float16) for name, value in state.items()}, 2**-10),
    "bfloat16": (lambda state: {name: as_bfloat16(value) for name, value in state.items()}, 2**-7),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_checkpoint_gives_the_same_numbers(tiny_models, tmp_path: Path, state: State, form) -> None:
    change, rounding = FORMS[form]
    assert_same(copy_of(tiny_models["bert"], tmp_path / "it", change(state)), tiny_models["bert"], rounding)


def test_a_checkpoint_without_metadata_and_one_in_parts_are_read(tiny_models, tmp_path: Path, state: State) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it", state)
    write_safetensors(model / "model.safetensors", state, None)
    assert_same(model, tiny_models["bert"])
    (model / "model.safetensors").unlink()
    write_shards(model, state)
    assert_same(model, tiny_models["bert"])
    before = find_model(str(model)).weights_digest
    (model / "model-00001-of-00002.safetensors").write_bytes(b"of an earlier save")
    assert find_model(str(model)).weights_digest == before


def test_a_part_that_is_missing_is_named(tiny_models, tmp_path: Path, state: State) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it", state)
    (model / "model.safetensors").unlink()
    write_shards(model, state)
    (model / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lack the file model-00002-of-00003\.safetensors; expected all 3 files that"):
        find_model(str(model))


@pytest.mark.parametrize(
    "index", ['{"weight_map": {"a": "../x.safetensors"}}', '{"weight_map": {}}', "[]", "{", "[" * 10**5]
)
def test_an_index_of_other_files_is_refused(tiny_models, tmp_path: Path, index: str) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it")
    (model / "tf_model.h5").unlink()
    (model / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        find_model(str(model))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 267832558\n",
            "git's note .* lfs pull",
        ),
        (b"", "cannot be read: model.safetensors"),
        (b"<html>404</html>", "cannot be read: model.safetensors"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(tiny_models, tmp_path: Path, content: bytes, message: str) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it", {})
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        find_model(str(model))


@quick
@given(data=st.data(), form=st.sampled_from(["model.safetensors", "tf_model.h5"]))
def test_a_damaged_file_of_weights_is_read_or_refused_in_one_line(tiny_models, tmp_path_factory, form, data) -> None:
    model = tmp_path_factory.getbasetemp() / "damaged"
    if not model.exists():
        copy_of(tiny_models["distilbert"], model)
        write_safetensors(model / "whole", {"pre_classifier.bias": np.zeros(32, np.float32)}, {"format": "pt"})
        (model / "tf_model.h5").rename(model / "whole.h5")
    for name in ("model.safetensors", "tf_model.h5"):
        (model / name).unlink(missing_ok=True)
    whole = (model / ("whole" if form == "model.safetensors" else "whole.h5")).read_bytes()
    (model / form).write_bytes(data.draw(damaged(whole)))
    with one_line(ModelError):
        values(model)


def test_a_whole_file_beside_one_in_parts_and_variants_of_it_is_read(tiny_models, tmp_path: Path, state: State) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it", state)
    digest = find_model(str(model)).weights_digest
    other = {name: value + 1 for name, value in state.items()}
    (model / "onnx").mkdir()
    for stray in ("model.fp16.safetensors", "adapter_model.safetensors", "onnx/model.safetensors"):
        write_safetensors(model / stray, other)
    assert find_model(str(model)).notes == ()
    write_shards(model, other)
    assert_same(model, tiny_models["bert"])
    found = find_model(str(model))
    assert found.weights_digest == digest
    assert found.notes[0].endswith(
        "the weights are read from model.safetensors, as transformers does, and not from model.safetensors.index.json "
        "beside it; model.safetensors.index.json holds other numbers: remove it if it is an older state"
    )


@pytest.mark.parametrize("half", [False, True])
def test_two_files_of_the_same_numbers_are_told_in_one_line(
    tiny_models, tmp_path: Path, state: State, half: bool
) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it", state)
    shutil.copy(tiny_models["bert"] / "tf_model.h5", model)
    if half:
        write_safetensors(model / "model.safetensors", {name: as_bfloat16(value) for name, value in state.items()})
    assert find_model(str(model)).notes == (
        f"model {model}: the weights are read from model.safetensors, as transformers does, and not from tf_model.h5 "
        "beside it",
    )


def test_an_older_file_of_tensorflow_loses_against_newer_safetensors(tiny_models, tmp_path: Path, state: State) -> None:
    newer = {name: value + np.float32(0.25) for name, value in state.items()}
    model = copy_of(tiny_models["bert"], tmp_path / "it", newer)
    alone = shutil.copytree(model, tmp_path / "alone")
    shutil.copy(tiny_models["bert"] / "tf_model.h5", model)
    assert_same(model, Path(alone))
    assert "tf_model.h5 holds other numbers" in find_model(str(model)).notes[0]
    assert find_model(str(model)).weights_digest == find_model(str(alone)).weights_digest


def test_a_file_that_is_not_read_but_is_another_network_is_refused(tiny_models, tmp_path: Path, state: State) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it", state)
    shutil.copy(tiny_models["distilbert"] / "tf_model.h5", model)
    with pytest.raises(ModelError, match=r"model\.safetensors and tf_model\.h5 in .* are different networks, of which"):
        find_model(str(model))
    (model / "tf_model.h5").write_bytes(b"half a download")
    assert find_model(str(model)).notes


def test_a_file_that_does_not_fit_names_the_one_that_is_not_read(tiny_models, tmp_path: Path, state: State) -> None:
    model = copy_of(tiny_models["distilbert"], tmp_path / "it")
    write_safetensors(model / "model.safetensors", state)
    with pytest.raises(ModelError, match=r"it/model\.safetensors lack .*; tf_model\.h5 beside it would be read"):
        find_model(str(model))


def test_a_pickle_that_transformers_would_take_is_told(tiny_models, tmp_path: Path) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it")
    (model / "pytorch_model.bin").write_bytes(b"a pickle")
    assert (
        find_model(str(model))
        .notes[0]
        .endswith("read from tf_model.h5; transformers would take pytorch_model.bin, a pickle, which may hold others")
    )


def test_an_adapter_is_refused(tiny_models, tmp_path: Path) -> None:
    model = copy_of(tiny_models["bert"], tmp_path / "it")
    (model / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has an adapter .* merge_and_unload"):
        find_model(str(model))


@pytest.mark.parametrize("change", ["missing", "reshaped", "int", "more"])
def test_a_head_of_this_project_is_held_to_its_sizes(tiny_models, tmp_path: Path, change: str) -> None:
    from safetensors.numpy import load_file, save_file

    model = Path(shutil.copytree(tiny_models["bert-head"], tmp_path / "it"))
    head = load_file(model / "head.safetensors")
    if change == "missing":
        del head["logits/bias"]
    elif change == "reshaped":
        head["hidden/kernel"] = head["hidden/kernel"].reshape(16, -1)
    else:
        head["more" if change == "more" else "hidden/bias"] = np.zeros(16, np.int8)
    save_file(head, model / "head.safetensors")
    with pytest.raises(ModelError, match=r"head\.safetensors in .* has .*; expected hidden/bias \[16\], hidden/kernel"):
        find_model(str(model))


def test_a_kernel_in_hdf5_of_another_shape_is_refused_not_reshaped(tiny_models, tmp_path: Path) -> None:
    import h5py

    model = copy_of(tiny_models["distilbert"], tmp_path / "it")
    with h5py.File(model / "tf_model.h5", "r+") as content:
        found: list[str] = []
        content.visit(lambda name: found.append(name) if name.endswith("layer_._0/ffn/lin1/kernel:0") else None)
        turned = content[found[0]][()].T.copy()
        del content[found[0]]
        content[found[0]] = turned
    with pytest.raises(ModelError, match=r"lin1/kernel:0 of shape \[64, 32\]; expected \[32, 64\]"):
        find_model(str(model))


def test_a_model_on_a_store_brings_all_that_decides_it(tiny_models, tmp_path: Path, monkeypatch) -> None:
    from ig_worker.models import files

    wanted = {"added_tokens.json", "adapter_config.json", "model.safetensors.index.json", "tf_model-00001-of-00002.h5"}
    import fnmatch

    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in files._PATTERNS) for name in wanted)
    assert not any(fnmatch.fnmatch("pytorch_model.bin", pattern) for pattern in files._PATTERNS)


@pytest.mark.parametrize("file", ["tf_model.h5", "model.safetensors"])
def test_a_file_that_this_user_may_not_read_is_told_with_its_owner(
    tiny_models, tmp_path: Path, monkeypatch, file
) -> None:
    model = copy_of(tiny_models["distilbert"], tmp_path / "model")
    (model / "tf_model.h5").unlink()
    (model / file).write_bytes(b"")  # whoever runs this, such as root, must not get on
    (model / file).chmod(0o600)
    opened = Path.open

    def denied(path: Path, *arguments, **more):
        if path.name == file:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(
        ModelError, match=f"{file} cannot be read .Permission denied; mode 0600 of .*; as their owner: chmod"
    ):
        find_model(str(model))
