"""Which tensor of a file is which weight of the network: all that are needed are there, and nothing is left over.

Pure decisions over names, shapes and dtypes; needs neither the numbers nor TensorFlow. A tensor's name is PyTorch's
(``bert.encoder.layer.0.output.dense.weight``) or TensorFlow's (``bert/encoder/layer_._0/output/dense/kernel:0``), where
kernels lie the other way round. What wraps a network while it is trained, such as ``module.``, leaves its name in those
of the tensors; it is dropped, since what remains has to fit to the last tensor.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ig_worker.errors import ModelError
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.layers import NetworkShape
from ig_worker.models.weights import weight_parts, weight_shapes

FLOATING = ("float16", "bfloat16", "float32", "float64")
_SHOWN = 3  # names in a message

# DistributedDataParallel, torch.compile, FullyShardedDataParallel and activation checkpointing; Lightning's is first.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_OUTER_WRAPPER = "model"
_ENCODER_PARTS = {"embeddings", "embeddings_project", "encoder", "transformer", "pooler", "layers", "final_norm"}
# What PyTorch calls each part of a weight; early checkpoints kept TensorFlow's gamma and beta.
_LEAVES = {
    "kernel": ("weight", "kernel"),
    "bias": ("bias",),
    "gamma": ("weight", "gamma"),
    "beta": ("bias", "beta"),
    "weight": ("weight", "embeddings"),
    "embeddings": ("weight", "embeddings"),
}
# No part of a classifier: buffers of position and token type numbers, the heads of pretraining, states of optimizers.
_BUFFERS = r"embeddings\.(position_ids|token_type_ids)"
_OPTIMIZERS = r"(.+\.)?(adam_[mv]|lamb_[mv]|AdamWeightDecayOptimizer(_1)?|global_step)|optimizer_weights\..+"
_UNUSED = {name: re.compile(rf"{_BUFFERS}|{one.leftovers}|{_OPTIMIZERS}") for name, one in ENCODERS.items()}


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, without its numbers."""

    shape: tuple[int, ...]
    dtype: str  # as numpy and ml_dtypes write it, such as float32
    file: str = ""  # the file's name
    place: str = ""  # its name there


@dataclass(frozen=True)
class Source:
    """Where a weight comes from."""

    tensor: str
    turned: bool  # whether the tensor is its transpose, as PyTorch's kernels are


def find_sources(
    name: str, shape: NetworkShape, stored: Mapping[str, Stored], *, base: bool = False
) -> dict[str, Source]:
    """Where each weight of transformers' network comes from, by its name in `weights`.

    Of a network with a head of this project's own, that is the encoder and, if the file has one, BERT's pooler.

    Args:
        name: of the model, for messages.
        shape: what config.json says.
        stored: the tensors, by name.
        base: whether the network is yet to be trained: then its head may lack or be of other sizes, and the file may
            have another one.

    Raises:
        ModelError: a tensor is missing, left over, of another shape, there twice, or no floating-point number.
    """
    own = shape.transformers_own
    shapes, known = weight_shapes(own), _known_names(own)
    head = {weight for weight in shapes if weight.startswith("head/")}
    if shape.head is not None and not base:
        known = {tensor: source for tensor, source in known.items() if source[0] not in head or "pooler" in tensor}
    found, strange = _match(name, shape.architecture, stored, known)
    if base:  # another head is no fault
        parts = [_canonical(tensor, shape.architecture).split(".")[0] for tensor in strange]
        strange = [tensor for tensor, part in zip(strange, parts, strict=True) if part in _ENCODER_PARTS]
    _refuse_codes(name, stored, [*(source.tensor for source in found.values()), *strange])
    _refuse_lack(name, shapes.keys() - found.keys() - (head if base or shape.head is not None else set()), shape, base)
    if strange:
        raise ModelError(
            f"the weights in {name} have {_some(strange)}, for which the network of config.json has no place",
            expected="a tensor for each of its weights and no other",
            remedy="give weights and a config.json that belong together",
        )
    unfit = {weight for weight, source in found.items() if _shape_of(source, stored) != shapes[weight]}
    for weight in sorted(unfit - (head if base else set())):
        source = found[weight]
        wanted = shapes[weight][::-1] if source.turned else shapes[weight]
        raise ModelError(
            f"the weights in {name} have {source.tensor} of shape {list(stored[source.tensor].shape)}",
            expected=f"{list(wanted)}, by config.json",
            remedy="give weights and a config.json that belong together",
        )
    return {weight: source for weight, source in found.items() if weight not in unfit}


def _match(
    name: str, architecture: str, stored: Mapping[str, Stored], known: Mapping[str, tuple[str, bool]]
) -> tuple[dict[str, Source], list[str]]:
    """(weight -> its tensor, tensors that are none and have no other known use)."""
    found: dict[str, Source] = {}
    strange = []
    for tensor in stored:
        canonical = _canonical(tensor, architecture)
        if canonical not in known:
            strange += [] if _UNUSED[architecture].fullmatch(canonical) else [tensor]
            continue
        weight, turned = known[canonical]
        if weight in found:
            raise ModelError(
                f"the weights in {name} have {found[weight].tensor} and {tensor}, which are the same part of it",
                expected="each part once",
            )
        found[weight] = Source(tensor, turned)
    return found, strange


def _canonical(tensor: str, architecture: str) -> str:
    """A tensor's name with dots, without what wraps the network and without the encoder's own name."""
    parts = tensor.removesuffix(":0").replace("_._", ".").replace("/", ".").split(".")
    parts = [part for part in parts if part not in _WRAPPERS]
    if parts[0] == _OUTER_WRAPPER:
        del parts[0]
    if len(parts) > 1 and parts[0] == ENCODERS[architecture].prefix and parts[1] in _ENCODER_PARTS:
        del parts[0]
    return ".".join(parts)


def _known_names(shape: NetworkShape) -> dict[str, tuple[str, bool]]:
    """Canonical name -> (weight, whether the tensor is its transpose)."""
    known = {}
    paths = [
        (weight, path) for weight, part in weight_parts(shape).items() for path in (part.path, part.pytorch) if path
    ]
    for weight, path in paths:
        *layer, leaf = path.replace("_._", "/").replace(".", "/").split("/")
        for own in _LEAVES[leaf]:
            known[".".join([*layer, own])] = (weight, leaf == "kernel" and own == "weight")
    return known


def _shape_of(source: Source, stored: Mapping[str, Stored]) -> tuple[int, ...]:
    shape = stored[source.tensor].shape
    return shape[::-1] if source.turned else shape


def _refuse_codes(name: str, stored: Mapping[str, Stored], tensors: Sequence[str]) -> None:
    """Raise ModelError where a tensor holds no floating-point numbers: a quantised checkpoint holds codes for them."""
    codes = [tensor for tensor in tensors if stored[tensor].dtype not in FLOATING]
    if codes:
        raise ModelError(
            f"the weights in {name} have {_some(codes)} as {stored[codes[0]].dtype}",
            expected=f"one of {', '.join(FLOATING)}",
            remedy="give the checkpoint from before it was quantised",
        )


def _refuse_lack(name: str, lacking: Collection[str], shape: NetworkShape, base: bool) -> None:
    if not lacking:
        return
    names = {weight: canonical for canonical, (weight, _) in reversed(_known_names(shape.transformers_own).items())}
    what = f"the weights in {name} lack {_some(sorted(names[weight] for weight in lacking))}"
    if base:
        raise ModelError(what, expected=f"a pretrained {shape.architecture} encoder", remedy="give another --base")
    if all(weight.startswith("head/") for weight in lacking):
        if not set(lacking).issuperset({"head/logits/kernel", "head/logits/bias"}):
            raise ModelError(what, expected="a whole classifier", remedy="copy or save it once more")
        raise ModelError(
            what,
            expected="a fine-tuned classifier, not a bare encoder",
            remedy="fine-tune it first, for instance with jobs.finetune",
        )
    raise ModelError(
        what,
        expected=f"a {shape.architecture} network of {shape.blocks} blocks, as config.json says",
        remedy="give weights and a config.json that belong together",
    )


def _some(tensors: Sequence[str]) -> str:
    more = f" and {len(tensors) - _SHOWN} more" if len(tensors) > _SHOWN else ""
    return f"{', '.join(tensors[:_SHOWN])}{more}"
