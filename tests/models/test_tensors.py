"""Every tensor of a file is used, or the file is refused: decided from names, shapes and dtypes alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ig_worker.errors import ModelError
from ig_worker.models.files import find_model
from ig_worker.models.layers import NetworkShape
from ig_worker.models.network_weights import find_weights
from ig_worker.models.tensors import FLOATING, Stored, find_sources
from ig_worker.models.weights import weight_shapes
from tests.fuzz import quick
from tests.models.checkpoints import headers, pytorch_state

few = settings(quick, max_examples=30)  # of each form of file
Checkpoint = tuple[NetworkShape, dict[str, Stored]]


@pytest.fixture(scope="module", params=["distilbert", "bert", "distilbert h5", "bert h5", "bert-head"])
def good(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Checkpoint:
    """A network's shape and its tensors, as PyTorch or as TensorFlow writes them."""
    name, _, form = request.param.partition(" ")
    shape = find_model(str(tiny_models[name])).shape
    if form == "h5" or name == "bert-head":
        return shape, find_weights(name, tiny_models[name], shape).stored
    return shape, headers(pytorch_state(tiny_models[name]))


def refused(checkpoint: Checkpoint, stored: dict[str, Stored]) -> None:
    with pytest.raises(ModelError) as caught:
        find_sources("model", checkpoint[0], stored)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_each_tensor_of_a_good_file_is_a_weight(good: Checkpoint) -> None:
    shape, stored = good
    sources = find_sources("model", shape, stored)
    assert {source.tensor for source in sources.values()} == stored.keys()
    needed = {name for name in weight_shapes(shape) if shape.head is None or not name.startswith("head/")}
    assert needed <= sources.keys()


@few
@given(data=st.data())
def test_a_tensor_that_is_dropped_is_missed(good: Checkpoint, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(name for name in good[1] if "pooler" not in name or not good[0].head)))
    refused(good, {tensor: part for tensor, part in good[1].items() if tensor != name})


@few
@given(data=st.data())
def test_a_tensor_of_another_shape_is_refused(good: Checkpoint, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(good[1])))
    part = good[1][name]
    other = data.draw(
        st.one_of(st.permutations(part.shape).map(tuple), st.lists(st.integers(0, 99), max_size=3).map(tuple))
    )
    assume(other != part.shape)
    refused(good, good[1] | {name: replace(part, shape=other)})


@few
@given(
    data=st.data(), dtype=st.sampled_from(["int8", "uint8", "int32", "bool", "complex64", "F8_E4M3", "F4", "object"])
)
def test_numbers_that_are_no_floating_point_numbers_are_refused(good: Checkpoint, data, dtype: str) -> None:
    name = data.draw(st.sampled_from(sorted(good[1])))
    refused(good, good[1] | {name: replace(good[1][name], dtype=dtype)})


@few
@given(data=st.data(), dtype=st.sampled_from(FLOATING))
def test_floating_point_numbers_of_any_width_are_read(good: Checkpoint, data, dtype: str) -> None:
    name = data.draw(st.sampled_from(sorted(good[1])))
    assert find_sources("model", good[0], good[1] | {name: replace(good[1][name], dtype=dtype)})


def names_like(names: list[str]) -> st.SearchStrategy[str]:
    """Other names of tensors: of a further layer, with a part more, less or exchanged, or any text."""
    piece = st.sampled_from(
        ["weight", "SCB", "lora_A", "distance_embedding", "9", "bias_scale", "qa_outputs", "module"]
    )
    name = st.sampled_from(names)
    return st.one_of(
        st.text(min_size=1, max_size=20),
        st.builds(lambda n, p: f"{n}.{p}", name, piece),
        st.builds(lambda n, p: f"{p}.{n}", name, piece),
        st.builds(lambda n, p: ".".join([*n.replace("/", ".").split(".")[:-1], p]), name, piece),
        name.map(lambda n: n.replace("layer.0", "layer.3").replace("layer_._0", "layer_._3")),
    )


@few
@given(data=st.data(), shape=st.lists(st.integers(1, 64), max_size=2).map(tuple))
def test_a_tensor_more_is_refused(good: Checkpoint, data: st.DataObject, shape: tuple[int, ...]) -> None:
    name = data.draw(names_like(sorted(good[1])))
    assume(name not in good[1])
    refused(good, good[1] | {name: Stored(shape, "float32")})


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.position_ids",
        "cls.predictions.decoder.weight",
        "cls.seq_relationship.bias",
        "mlm___cls/predictions/bias:0",
        "vocab_projector.bias",
        "bert.pooler.dense.weight.adam_m",
        "global_step",
        "optimizer_weights/Adam/iteration:0",
    ],
)
def test_what_no_classifier_reads_is_left_aside(tiny_models: dict[str, Path], name: str) -> None:
    model = tiny_models["distilbert" if name.startswith("vocab") else "bert"]
    stored, shape = headers(pytorch_state(model)), find_model(str(model)).shape
    assert find_sources("model", shape, stored | {name: Stored((3,), "int64")}) == find_sources("model", shape, stored)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "model.", "model._orig_mod."])
@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
def test_what_wrapped_a_network_leaves_no_trace(tiny_models, prefix: str, architecture: str) -> None:
    stored = headers(pytorch_state(tiny_models[architecture]))
    shape = find_model(str(tiny_models[architecture])).shape
    wrapped = {prefix + name: part for name, part in stored.items()}
    found = find_sources("model", shape, wrapped)
    assert {weight: source.tensor.removeprefix(prefix) for weight, source in found.items()} == {
        weight: source.tensor for weight, source in find_sources("model", shape, stored).items()
    }


def test_one_part_under_two_names_is_refused(tiny_models: dict[str, Path]) -> None:
    stored = headers(pytorch_state(tiny_models["bert"]))
    twice = stored | {"module.classifier.bias": stored["classifier.bias"]}
    with pytest.raises(ModelError, match=r"classifier\.bias and module\.classifier\.bias, which are the same part"):
        find_sources("model", find_model(str(tiny_models["bert"])).shape, twice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {n: p for n, p in s.items() if "layer.2" not in n}, r"lack encoder\.layer\.2.*network of 3 blocks"),
        (lambda s: {n: p for n, p in s.items() if "classifier" not in n}, r"lack classifier\.bias.*not a bare encoder"),
        (lambda s: s | {"qa_outputs.weight": Stored((2, 32), "float32")}, r"have qa_outputs\.weight, for which"),
        (lambda s: {n: replace(p, dtype="int8") for n, p in s.items()}, "and 54 more as int8.*before it was quantised"),
    ],
)
def test_a_refusal_says_what_is_wrong(tiny_models: dict[str, Path], change, message: str) -> None:
    stored = headers(pytorch_state(tiny_models["bert"]))
    with pytest.raises(ModelError, match=message):
        find_sources("model", find_model(str(tiny_models["bert"])).shape, change(stored))
