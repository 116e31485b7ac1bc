"""Files of weights: which of a directory's is read, what is in it, and the numbers. Needs no TensorFlow.

Read are formats that cannot carry code: safetensors and HDF5, never a pickle. Which one, where there are several, is
what transformers' PyTorch classes take: one safetensors file, then one in parts, then TensorFlow's files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.errors import ModelError
from ig_worker.models.stand_ins import other_formats, unreadable
from ig_worker.models.tensors import Source, Stored

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
H5, H5_INDEX = "tf_model.h5", "tf_model.h5.index.json"
ORDER = (SAFE, SAFE_INDEX, H5, H5_INDEX)
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "I8": "int8", "U8": "uint8"}
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WeightFiles:
    """The files that hold a network's weights."""

    paths: tuple[Path, ...]  # of tensors
    index: Path | None = None  # what names the parts

    @property
    def name(self) -> str:
        """What messages call them."""
        return (self.index or self.paths[0]).name


def choose_files(name: str, directory: Path) -> tuple[WeightFiles, list[str]]:
    """The files to read of a model's directory, and the names of others that hold a network, in transformers' order.

    Args:
        name: of the model, for messages.
        directory: the model's.

    Raises:
        ModelError: there are none that can be read.
    """
    there = [file for file in ORDER if (directory / file).is_file()]
    pickles = [file for file in PICKLES if (directory / file).is_file()]
    if there:
        return _files(name, directory / there[0]), [*there[1:], *pickles]
    if pickles or any(directory.glob("pytorch_model*.bin")):
        raise ModelError(
            f"model directory {name} has its weights in pytorch_model.bin, a pickle, which could run code",
            expected=f"{SAFE} or {H5}",
            remedy="--revision refs/pr/N, where a hub keeps converted weights; or where torch is installed, "
            "AutoModelForSequenceClassification.from_pretrained(DIR).save_pretrained(DIR, safe_serialization=True) "
            "writes model.safetensors",
        )
    variants = sorted(path.name for path in directory.glob("*.safetensors") if path.is_file())
    found = f", only {', '.join(variants[:3])}, which transformers does not read by itself" if variants else ""
    others = other_formats(directory)
    if others and not variants:
        found = f", only {', '.join(others[:3])}, of a format that is not read here"
    raise ModelError(
        f"model directory {name} has no weights{found}",
        expected=f"{SAFE} or {H5}",
        remedy="write it with save_pretrained, or train one with jobs.finetune",
    )


def files_called(name: str, directory: Path, file: str) -> WeightFiles:
    """The files behind one of the names that `choose_files` tells of.

    Raises:
        ModelError: a part is missing.
    """
    return _files(name, directory / file)


def _files(name: str, path: Path) -> WeightFiles:
    if path.name not in (SAFE_INDEX, H5_INDEX):
        return WeightFiles((path,))
    try:
        parts = sorted({str(part) for part in json.loads(path.read_bytes())["weight_map"].values()})
        inside = all(Path(part).name == part and Path(part).suffix in (".safetensors", ".h5") for part in parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(name, path, error) from error
    if not parts or not inside:
        raise ModelError(f"{path.name} in {name} names no files of weights", expected="files beside it")
    lacking = [part for part in parts if not (path.parent / part).is_file()]
    if lacking:
        raise ModelError(
            f"the weights in {name} lack the file {lacking[0]}",
            expected=f"all {len(parts)} files that {path.name} names",
            remedy="copy or download it once more",
        )
    return WeightFiles(tuple(path.parent / part for part in parts), path)


def read_headers(name: str, files: WeightFiles) -> dict[str, Stored]:
    """The tensors of `files`, by name; of HDF5, by the name within the layer's group and the network's scope.

    Raises:
        ModelError: a file cannot be read, holds a tensor twice, or takes one from another file.
    """
    stored: dict[str, Stored] = {}
    for path in files.paths:
        with _readable(name, path):
            found = _h5_header(path) if path.suffix == ".h5" else _safetensors_header(path)
            for tensor, header in found:
                if tensor in stored:
                    raise ModelError(f"the weights in {name} have {tensor} twice", expected="each tensor once")
                stored[tensor] = header
    return stored


def read_values(
    name: str, files: WeightFiles, stored: Mapping[str, Stored], sources: Mapping[str, Source]
) -> Iterator[tuple[str, Floats]]:
    """Each weight with its numbers, float32, of the shape that the network gives it; one at a time is in memory.

    Raises:
        ModelError: a file cannot be read.
    """
    for path in files.paths:
        with _readable(name, path):
            within = {weight: source for weight, source in sources.items() if stored[source.tensor].file == path.name}
            read = _h5_values if path.suffix == ".h5" else _safetensors_values
            for weight, values in read(path, {weight: stored[source.tensor] for weight, source in within.items()}):
                yield weight, np.ascontiguousarray(values.T if within[weight].turned else values)


@contextmanager
def _readable(name: str, path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, RecursionError, SafetensorError) as error:
        raise unreadable(name, path, error) from error


def _safetensors_header(path: Path) -> Iterator[tuple[str, Stored]]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as archive:  # checks sizes and offsets
        for tensor in archive.keys():  # noqa: SIM118 (it is no mapping)
            part = archive.get_slice(tensor)
            dtype = _DTYPES.get(part.get_dtype(), part.get_dtype())
            yield tensor, Stored(tuple(part.get_shape()), dtype, path.name, tensor)


def _safetensors_values(path: Path, wanted: Mapping[str, Stored]) -> Iterator[tuple[str, Floats]]:
    """numpy knows no bfloat16, so the bytes are taken as they lie: header's size, header, tensors."""
    if not wanted:
        return
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    content = np.memmap(path, np.uint8, "r", offset=8 + size)
    for weight, part in wanted.items():
        first, last = header[part.place]["data_offsets"]
        yield weight, _as_float32(content[first:last], part.dtype).reshape(part.shape)


def _as_float32(data: npt.NDArray[np.uint8], dtype: str) -> Floats:
    if dtype == "bfloat16":  # the upper half of a float32
        return (data.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return data.view(np.dtype(dtype).newbyteorder("<")).astype(np.float32)


def _h5_header(path: Path) -> Iterator[tuple[str, Stored]]:
    import h5py

    found: dict[str, Any] = {}

    def look(group: Any, place: str) -> None:
        for key in group:
            here = f"{place}/{key}"
            if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
                raise _foreign(path, key)
            item = group.get(key)
            if isinstance(item, h5py.Group):
                look(item, here)
            elif isinstance(item, h5py.Dataset):
                # HDF5 can take numbers from any file of this machine, and so bring that file's bytes into a model.
                if item.external or item.is_virtual:
                    raise _foreign(path, key)
                found[here] = (item.shape, item.dtype)

    with h5py.File(path, "r") as content:
        look(content, "")
    for place, (shape, dtype) in found.items():
        yield _within_scope(place), Stored(tuple(shape), str(np.dtype(dtype)), path.name, place)


def _within_scope(place: str) -> str:
    """``/bert/tf_bert_for_sequence_classification/bert/pooler/…`` without what Keras puts before a variable's name."""
    parts = place.split("/")[1:]
    return "/".join(parts if len(parts) <= 3 or parts[0] == "optimizer_weights" else parts[2:])


def _foreign(path: Path, tensor: str) -> ModelError:
    return ModelError(
        f"{path} takes {tensor} from another file",
        expected="weights that are all in their own file",
        remedy="do not use it; ask for model.safetensors",
    )


def _h5_values(path: Path, wanted: Mapping[str, Stored]) -> Iterator[tuple[str, Floats]]:
    import h5py

    with h5py.File(path, "r") as content:
        for weight, part in wanted.items():
            yield weight, np.asarray(content[part.place][()], np.float32)
