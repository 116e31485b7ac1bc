"""The pure forward pass against transformers, layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ig_worker.errors import ModelError
from ig_worker.models.files import find_model
from ig_worker.models.inputs import ModelInput
from ig_worker.models.layers import layer_depth
from ig_worker.models.shape import read_shape
from tests.models.checkpoints import copy_of, pytorch_state
from tests.tiny import IN_TENSORFLOW
from tests.truth import true_network

IDS = np.array([[2, 5, 8, 11, 3, 0, 0, 0], [2, 30, 31, 12, 13, 14, 15, 3]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]], np.int32)


def load(directory: Path):
    from ig_worker.models.classifier import load_classifier

    return load_classifier(find_model(str(directory)))


def reference(directory: Path):
    """transformers' own network with the weights that are read here."""
    from ig_worker.models.pretrained import reference_network

    return reference_network(find_model(str(directory)), load(directory).weights)


def text_of(classifier) -> ModelInput:
    return ModelInput.single(IDS, MASK, classifier.counting)


def inputs(classifier) -> dict[str, np.ndarray]:
    """What transformers' network is given. Its RoBERTa takes 1 for the padding id, whatever config.json says."""
    text = text_of(classifier)
    counted = {"position_ids": text.positions} if classifier.shape.unused_positions else {}
    return {"input_ids": text.ids, "attention_mask": text.mask, **counted}


@pytest.mark.parametrize("architecture", IN_TENSORFLOW)
def test_every_layer_gives_what_transformers_gives(tiny_models: dict[str, Path], architecture: str) -> None:
    classifier = load(tiny_models[architecture])
    output = reference(tiny_models[architecture])(**inputs(classifier), output_hidden_states=True)
    for layer, theirs in zip(["embeddings", "block:0", "block:1", "block:2"], output.hidden_states, strict=True):
        truth = true_network(classifier, layer).below(text_of(classifier)).numpy()[MASK == 1]
        off, theirs_off = (
            np.abs(values.numpy()[MASK == 1] - truth).max()
            for values in (classifier.split(layer).below(text_of(classifier)), theirs)
        )
        # Sums in another order are another machine's rounding: no further from float64 than transformers, times two.
        assert off <= 2 * theirs_off + 4 * np.finfo(np.float32).eps * np.abs(truth).max(), layer
        assert theirs_off < 1e-4, layer


@pytest.mark.parametrize("architecture", IN_TENSORFLOW)
@pytest.mark.parametrize("layer", ["embeddings", "block:1", "block:2"])
def test_both_halves_together_give_the_probabilities(tiny_models, architecture: str, layer: str) -> None:
    from ig_worker.models.runtime import tf

    classifier = load(tiny_models[architecture])
    halves = classifier.split(layer)
    theirs = tf.nn.softmax(reference(tiny_models[architecture])(**inputs(classifier)).logits)
    np.testing.assert_allclose(halves.above(halves.below(text_of(classifier)), MASK), theirs, atol=1e-6)


def test_a_single_logit_is_read_as_two_classes(tmp_path: Path) -> None:
    from ig_worker.models.runtime import tf
    from tests.tiny import save_tiny_model

    directory = save_tiny_model(tmp_path / "one", "distilbert", num_labels=1)
    classifier = load(directory)
    halves = classifier.split("embeddings")
    p = tf.sigmoid(reference(directory)(input_ids=IDS, attention_mask=MASK).logits)[:, 0]
    ours = halves.above(halves.below(text_of(classifier)), MASK)
    np.testing.assert_allclose(ours, np.stack([1 - p, p], axis=1), atol=1e-6)
    assert classifier.shape.classes == 2


@pytest.mark.parametrize("logits", [[0.0, 12.0], [-14.0, 0.5, 1.0], [12.0], [-15.0], [3.0, 3.0, 16.0, -9.0]])
def test_saturated_probabilities_keep_the_digits_of_their_gradient(logits: list[float]) -> None:
    """By tf.nn.softmax's gradient, 1 − p at p = 0.99999 is off by a part in a hundred."""
    from ig_worker.models.elementwise import sigmoid
    from ig_worker.models.network import probabilities
    from ig_worker.models.runtime import tf

    def gradients(function, dtype) -> np.ndarray:
        x = tf.constant([logits], dtype)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            classes = tf.unstack(function(x), axis=1)
        return np.array([tape.gradient(p, x).numpy()[0] for p in classes])

    def plain(x):
        pair = tf.concat([tf.zeros_like(x), x], axis=1) if x.shape[-1] == 1 else x
        return tf.nn.softmax(pair, axis=-1)

    np.testing.assert_allclose(gradients(probabilities, tf.float32), gradients(plain, tf.float64), rtol=5e-6)
    each, alone = gradients(sigmoid, tf.float32), gradients(tf.nn.sigmoid, tf.float64)  # of labels
    np.testing.assert_allclose(each, alone, rtol=5e-6)


@pytest.mark.parametrize("architecture", IN_TENSORFLOW)
def test_the_weights_are_those_that_transformers_reads(tiny_models: dict[str, Path], architecture: str) -> None:
    from transformers import TFAutoModelForSequenceClassification

    theirs = TFAutoModelForSequenceClassification.from_pretrained(tiny_models[architecture]).weights
    pairs = [*zip(reference(tiny_models[architecture]).weights, theirs, strict=True)]
    if architecture == "mpnet":  # transformers gives it a pooler that its classifier does not read
        pairs = [(mine, weight) for mine, weight in pairs if "pooler" not in weight.name]
    distinct = {id(weight) for weight in load(tiny_models[architecture]).weights.values()}  # blocks may share theirs
    assert len(pairs) == len(distinct)
    for mine, weight in pairs:
        np.testing.assert_array_equal(mine, weight, err_msg=weight.name)


def test_a_variable_of_transformers_without_a_weight_is_refused(tiny_models: dict[str, Path]) -> None:
    from ig_worker.models.pretrained import reference_network

    files, weights = find_model(str(tiny_models["bert"])), dict(load(tiny_models["bert"]).weights)
    del weights["1/widen/bias"]
    with pytest.raises(ModelError, match=r"nothing in the weights of .* is .*layer_\._1/intermediate/dense/bias"):
        reference_network(files, weights)


def test_weights_that_are_not_numbers_are_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    state = pytorch_state(tiny_models["distilbert"])
    state["distilbert.transformer.layer.1.ffn.lin1.weight"][3, 5] = np.nan
    with pytest.raises(ModelError, match=r"1/widen/kernel are not finite"):
        load(copy_of(tiny_models["distilbert"], tmp_path / "broken", state))


@pytest.mark.parametrize(("layer", "depth"), [("embeddings", 0), ("block:0", 1), ("block:11", 12)])
def test_layers_are_named_by_the_contract(layer: str, depth: int) -> None:
    assert layer_depth(layer, 12) == depth


@pytest.mark.parametrize("layer", ["block:12", "block:-1", "block", "Embeddings", "block:1x", ""])
def test_an_unknown_layer_is_refused_with_what_there_is(layer: str) -> None:
    with pytest.raises(Exception, match=r"block:0 to block:11, as this model has 12 blocks"):
        layer_depth(layer, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "'gpt2'; expected one of distilbert, bert"),
        ({"problem_type": "single_label"}, "'single_label'"),
        ({"hidden_size": 16}, "dim 8 and hidden_size 16; expected one number"),
        ({"n_layers": None, "num_hidden_layers": "1"}, "n_layers '1'"),
        ({"dim": None}, "has dim None; expected a whole number"),
        ({"dim": "32"}, "has dim '32'; expected a whole number"),
        ({"n_heads": 3}, "8 hidden units and 3 heads"),
        ({"activation": "mish"}, "activation is 'mish'; expected one of gelu"),
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"id2label": {"a": "x"}}, "id2label"),
        ({"id2label": {}}, "id2label"),
        ({"id2label": {"0": "x", "5": "y"}}, "a name for each class from 0"),
        ({"num_labels": "two"}, "num_labels 'two'"),
        ({"ig_worker_head": {"kind": "mean"}}, "ig_worker_head"),
    ],
)
def test_a_configuration_that_cannot_be_explained_is_refused(change: dict, message: str) -> None:
    config = {
        "model_type": "distilbert",
        "dim": 8,
        "n_layers": 1,
        "n_heads": 1,
        "hidden_dim": 8,
        "vocab_size": 9,
        "max_position_embeddings": 9,
        "activation": "gelu",
    }
    config = {key: value for key, value in (config | change).items() if value is not None}
    with pytest.raises(ModelError, match=message):
        read_shape(config)
