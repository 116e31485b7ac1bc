"""The sizes of a network, read from its config.json. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ig_worker.errors import ModelError, UsageError
from ig_worker.models.encoders import ENCODERS, TITLES
from ig_worker.models.encoders.encoder import Encoder, one_of, whole
from ig_worker.models.layers import ACTIVATIONS, CLASSES, HEAD_KEY, LABELS, VALUES, FlattenHead, NetworkShape

_EPSILON = 1e-12  # of layer normalisations, where config.json has none
_PROBLEMS = {
    "single_label_classification": CLASSES,
    "multi_label_classification": LABELS,
    "regression": VALUES,
}
AUTO = "auto"
SETTINGS = {AUTO: "", "single-label": CLASSES, "multi-label": LABELS, "regression": VALUES}  # of --outputs
_MOST_CLASSES = 100_000  # whose names are made up where there are none: more than any network has


def read_shape(config: Mapping[str, Any]) -> NetworkShape:
    """The shape in a transformers ``config.json``.

    Raises:
        ModelError: another architecture, or a value is missing or none that can be.
    """
    architecture = config.get("model_type")
    if not isinstance(architecture, str) or architecture not in ENCODERS:
        raise ModelError(
            f"the model's type is {architecture!r}",
            expected=f"one of {', '.join(ENCODERS)}",
            remedy=f"give a sequence classifier of {', '.join(TITLES[:-1])} or {TITLES[-1]}",
        )
    encoder = ENCODERS[architecture]
    config = {**encoder.usual, **_with_first_names(config, encoder)}
    sizes = {key: whole(config, name) for key, name in encoder.sizes.items()}
    if sizes["hidden"] % sizes["heads"]:
        raise ModelError(
            f"the model's config.json has {sizes['hidden']} hidden units and {sizes['heads']} heads",
            expected="a multiple of the number of heads",
        )
    activation = config.get(encoder.activation)
    if activation not in ACTIVATIONS:
        raise ModelError(f"the model's activation is {activation!r}", expected=f"one of {', '.join(ACTIVATIONS)}")
    labels = _labels(config)
    return NetworkShape(
        architecture=architecture,
        activation=activation,
        epsilon=_epsilon(config, encoder.epsilon),
        logits=len(labels),
        names=labels,
        outputs=_outputs(config),
        assumed=config.get("problem_type") is None,
        head=_flatten_head(config.get(HEAD_KEY)),
        **sizes,
        **encoder.further(config),
    )


def _with_first_names(config: Mapping[str, Any], encoder: Encoder) -> dict[str, Any]:
    """The configuration with each size under its first name. transformers lets the second name win."""
    named = dict(config)
    for first, second in encoder.second_names.items():
        if second in config and config.get(first, config[second]) != config[second]:
            raise ModelError(
                f"the model's config.json has {first} {config[first]!r} and {second} {config[second]!r}",
                expected=f"one number: to transformers, {second} is another name of {first}",
            )
        if second in config:
            named[first] = config[second]
    return named


def _outputs(config: Mapping[str, Any]) -> str:
    """What the logits say, by ``problem_type``; where it says nothing, classes that exclude each other."""
    if config.get("problem_type") is None:
        return CLASSES
    return _PROBLEMS[one_of(config, "problem_type", [*_PROBLEMS])]


def with_outputs(shape: NetworkShape, setting: str) -> NetworkShape:
    """The network, with its logits read as ``--outputs`` says: one of `SETTINGS`.

    Raises:
        UsageError: there is a head on all positions, which is trained for classes.
    """
    if setting == AUTO:
        return shape
    if shape.head is not None and SETTINGS[setting] != CLASSES:
        raise UsageError(f"--outputs is {setting}", expected="single-label: this model's head is trained for classes")
    return replace(shape, outputs=SETTINGS[setting], assumed=False)


def _epsilon(config: Mapping[str, Any], name: str | None) -> float:
    value = config.get(name, _EPSILON) if name else _EPSILON
    if type(value) in (int, float) and 0 <= value < 1:
        return float(value)
    raise ModelError(f"the model's config.json has {name} {value!r}", expected="a number from 0 to 1")


def _flatten_head(sizes: Any) -> FlattenHead | None:
    if sizes is None:
        return None
    try:
        if sizes["kind"] == "flatten":
            return FlattenHead(int(sizes["length"]), int(sizes["hidden"]), float(sizes["dropout"]))
    except (TypeError, KeyError, ValueError, OverflowError):
        pass
    raise ModelError(f"config.json has {HEAD_KEY} {sizes!r}", expected="kind flatten with length, hidden and dropout")


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names, by class number; transformers leaves them out where there are two without names."""
    count = min(whole({"num_labels": 2, **config}, "num_labels"), _MOST_CLASSES)
    named = config.get("id2label")
    if named is None:
        named = {str(i): str(i) for i in range(count)}
    try:
        numbered = {int(number): str(name) for number, name in named.items()}
    except (AttributeError, ValueError):
        numbered = {}
    if not numbered or sorted(numbered) != list(range(len(numbered))):
        raise ModelError(f"the model's config.json has id2label {named!r}", expected="a name for each class from 0")
    return tuple(numbered[i] for i in range(len(numbered)))
