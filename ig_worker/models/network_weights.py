"""A model directory's weights: the file that they are read from, whether they fit config.json, and their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ig_worker.errors import ModelError
from ig_worker.models.layers import NetworkShape
from ig_worker.models.stored import PICKLES, Floats, WeightFiles, choose_files, files_called, read_headers, read_values
from ig_worker.models.tensors import FLOATING, Source, Stored, find_sources
from ig_worker.models.weights import weight_shapes

HEAD_WEIGHTS = "head.safetensors"  # see `models.head`
_ROUNDING = 2.0**-7  # two files of one network may differ by that of the shorter format; bfloat16 keeps 8 bits


@dataclass(frozen=True)
class Weights:
    """Weights in files, each with its tensor: all that `find_sources` asks for are there, and nothing is left over."""

    model: str  # for messages
    files: WeightFiles
    stored: dict[str, Stored]
    sources: dict[str, Source]

    def values(self, only: set[str] | None = None) -> Iterator[tuple[str, Floats]]:
        """Each weight, or those named, with its numbers, by its name in `weights`."""
        wanted = {name: source for name, source in self.sources.items() if only is None or name in only}
        return read_values(self.model, self.files, self.stored, wanted)

    def agrees(self, other: Weights) -> bool:
        """Whether both hold the same numbers, by biases, normalisations and the head: few numbers, of every layer."""
        flat = {name for name, source in self.sources.items() if len(self.stored[source.tensor].shape) == 1}
        small = flat | {name for name in self.sources if name.startswith("head/")}
        if self.sources.keys() != other.sources.keys():
            return False
        theirs = dict(other.values(small))
        return all(
            np.allclose(values, theirs[name], rtol=_ROUNDING, atol=1e-5, equal_nan=True)
            for name, values in self.values(small)
        )


def find_weights(name: str, directory: Path, shape: NetworkShape, *, base: bool = False) -> Weights:
    """The weights of transformers' own network in a model's directory.

    Args:
        name: of the model, for messages.
        directory: the model's.
        shape: what config.json says.
        base: whether the network is yet to be trained; see `tensors.find_sources`.

    Raises:
        ModelError: they are not those of the network in config.json, or cannot be read.
    """
    files, others = choose_files(name, directory)
    try:
        return _open(name, files, shape, base)
    except ModelError as error:
        if not others:
            raise
        aside = f"{' and '.join(others)} beside it would be read only if {files.name} were not there"
        raise ModelError(error.what, expected=error.expected, remedy=f"{error.remedy}; {aside}") from error


def classifier_values(name: str, directory: Path, shape: NetworkShape) -> Iterator[tuple[str, Floats]]:
    """Each weight of a classifier with its numbers, float32, by its name in `weights`; one at a time is in memory.

    Raises:
        ModelError: a weight is missing, left over, of another shape or dtype, or cannot be read.
    """
    for weight, values in find_weights(name, directory, shape).values():
        if shape.head is None or not weight.startswith("head/"):  # else BERT's pooler, which no such head reads
            yield weight, values
    if shape.head is not None:
        yield from ((f"head/{tensor}", values) for tensor, values in find_head(name, directory, shape).values())


def _open(name: str, files: WeightFiles, shape: NetworkShape, base: bool) -> Weights:
    stored = read_headers(name, files)
    return Weights(name, files, stored, find_sources(f"{name}/{files.name}", shape, stored, base=base))


def choice_of_files(weights: Weights, directory: Path, shape: NetworkShape, *, base: bool = False) -> str:
    """One line on which of several files the weights are read from; empty where there is one file only.

    Raises:
        ModelError: another file holds another network.
    """
    read = weights.files.name
    _, others = choose_files(weights.model, directory)
    if not others:
        return ""
    line = f"the weights are read from {read}, as transformers does, and not from {' and '.join(others)} beside it"
    if read.startswith("tf_model") and set(others) & set(PICKLES):
        line = (
            f"the weights are read from {read}; transformers would take {others[-1]}, a pickle, which may hold others"
        )
    for other in (other for other in others if other not in PICKLES):
        try:
            beside = files_called(weights.model, directory, other)
            read_headers(weights.model, beside)
        except ModelError:
            continue  # it is not read, whatever is wrong with it
        try:
            theirs = _open(weights.model, beside, shape, base)
        except ModelError as error:
            raise ModelError(
                f"{read} and {other} in {weights.model} are different networks, of which {read} fits config.json; "
                f"as to {other}, {error.what}",
                expected="files of one network",
                remedy="remove the one that is not meant",
            ) from error
        if not weights.agrees(theirs):
            line += f"; {other} holds other numbers: remove it if it is an older state"
    return line


def find_head(name: str, directory: Path, shape: NetworkShape) -> Weights:
    """The weights of a head of this project's own, by their names in the file: ``hidden/kernel`` and so on.

    Raises:
        ModelError: they are not the four of the head in config.json, or cannot be read.
    """
    path = directory / HEAD_WEIGHTS
    if not path.is_file():
        raise ModelError(
            f"model directory {name} has no {HEAD_WEIGHTS}",
            expected="what jobs.finetune --recipe bert-head wrote",
            remedy="copy the whole directory",
        )
    files = WeightFiles((path,))
    stored = read_headers(name, files)
    head = {key.removeprefix("head/"): size for key, size in weight_shapes(shape).items() if key.startswith("head/")}
    sound = all(part.dtype in FLOATING for part in stored.values())
    if not sound or {tensor: part.shape for tensor, part in stored.items()} != head:
        found = ", ".join(f"{tensor} {list(part.shape)} {part.dtype}" for tensor, part in sorted(stored.items())[:5])
        raise ModelError(
            f"{HEAD_WEIGHTS} in {name} has {found or 'no tensors'}",
            expected=", ".join(f"{tensor} {list(size)}" for tensor, size in sorted(head.items())),
            remedy="copy the whole directory that jobs.finetune wrote",
        )
    return Weights(name, files, stored, {tensor: Source(tensor, False) for tensor in stored})
