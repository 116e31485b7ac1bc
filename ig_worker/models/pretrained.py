"""transformers' own TensorFlow networks: what is trained, and what the functions of `network` are held against.

Their weights are read in `network_weights` and not by transformers' loaders, which leave random what a file lacks, drop
what config.json has no place for, reshape what does not fit, and read codes as numbers, all with a warning at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.files import ModelFiles
from ig_worker.models.head import head_classifier
from ig_worker.models.layers import Weights
from ig_worker.models.network_weights import find_weights
from ig_worker.models.runtime import tf
from ig_worker.models.weights import find_variable, weight_paths

# What a call returns is up to its caller: other settings in config.json would change its form.
_OUTPUTS = {"return_dict": True, "torchscript": False, "output_attentions": False, "output_hidden_states": False}


def load_pretrained(factory: Any, files: ModelFiles, config: Any) -> Any:
    """A transformers network with the weights of `files`; a head that they lack, or that is of another size, is random.

    Args:
        factory: one of transformers' TFAutoModel classes.
        files: a directory that save_pretrained wrote, or a copy of a hub model, found as a base.
        config: transformers' configuration of the network.

    Raises:
        ModelError: weights that cannot be read, or lack a part of the encoder.
    """
    model = build_network(factory, config, files)
    by_name, paths = _variables(model), weight_paths(files.shape.transformers_own)
    for weight, values in find_weights(files.name, Path(files.directory), files.shape, base=True).values():
        if weight.startswith("head/") and not any(name.endswith(paths[weight]) for name in by_name):
            continue  # of a head that this network does not have
        variable = find_variable(by_name, paths[weight])
        if tuple(variable.shape) == values.shape:  # else a head for other classes
            variable.assign(values)
    return model


def reference_network(files: ModelFiles, weights: Weights) -> Any:
    """transformers' own classifier of `files`, what the functions of `models.network` are held against.

    Args:
        files: of the model.
        weights: all of the classifier's, by their names in `weights`.

    Raises:
        ModelError: transformers cannot make it, or it has a variable of which there is no weight.
    """
    from transformers import TFAutoModel, TFAutoModelForSequenceClassification

    shape = files.shape
    factory = TFAutoModelForSequenceClassification if shape.head is None else TFAutoModel
    with _no_random_weights():
        model = build_network(factory, read_config(files), files)
    head = {name: value for name, value in weights.items() if shape.head is not None and name.startswith("head/")}
    own = {name: value for name, value in weights.items() if name not in head}
    paths = weight_paths(shape.transformers_own)
    lacking = _assign(model, own, paths)
    if not any("pooler" in paths[name] for name in own if name in paths):  # no such head reads it
        lacking = [name for name in lacking if "pooler" not in name]
    if lacking:
        raise ModelError(f"nothing in the weights of {files.name} is {lacking[0]}", expected="all of the network")
    if shape.head is None:
        return model
    values = {name.removeprefix("head/"): value for name, value in head.items()}
    return head_classifier(model, values, shape.head, shape.hidden, shape.logits)


def _assign(model: Any, weights: Weights, paths: Mapping[str, str]) -> list[str]:
    """Give the network's variables their values; the names of those for which there is none."""
    by_name = _variables(model)
    variables = {name: find_variable(by_name, path) for name, path in paths.items() if name in weights}
    for name, variable in variables.items():
        if variable.shape != weights[name].shape:
            raise ModelError(
                f"transformers' TensorFlow network has {variable.name} of shape {list(variable.shape)}, the model's is "
                f"{list(weights[name].shape)}",
                expected="a configuration that transformers follows, to hold the model against",
            )
        variable.assign(weights[name])
    filled = {variable.ref() for variable in variables.values()}
    return [variable.name for variable in model.weights if variable.ref() not in filled]


def read_config(files: ModelFiles) -> Any:
    """transformers' own reading of config.json.

    Raises:
        ModelError: transformers cannot read it.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(files.directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise _unbuildable(files, error) from error
    for name, value in _OUTPUTS.items():
        setattr(config, name, value)
    return config


@contextmanager
def _no_random_weights() -> Iterator[None]:
    """Networks made within begin as zeros: drawing random numbers would take most of the time of a load."""
    initializer = tf.keras.initializers.TruncatedNormal
    drawn = initializer.__call__
    initializer.__call__ = lambda _, shape, dtype=None, **__: tf.zeros(shape, dtype or tf.float32)
    try:
        yield
    finally:
        initializer.__call__ = drawn


def build_network(factory: Any, config: Any, files: ModelFiles) -> Any:
    """A network of transformers with random weights.

    Raises:
        ModelError: transformers cannot make one of this configuration.
    """
    try:
        model = factory.from_config(config)
        model.build_in_name_scope()
    except Exception as error:
        raise _unbuildable(files, error) from error
    return model


def _unbuildable(files: ModelFiles, error: Exception) -> ModelError:
    return ModelError(
        f"transformers cannot make a network of config.json in {files.name} ({type(error).__name__}: {error})",
        expected="a configuration that save_pretrained wrote",
    )


def _variables(model: Any) -> dict[str, Any]:
    return {variable.name.split(":")[0]: variable for variable in model.weights}
