"""Reads archives like Keras' ``imdb.npz`` without ever running the pickle inside.

The review arrays of such a file are object arrays, which numpy stores as pickles, and a pickle is a program. Three
fences, each sufficient against code in the file, together also against files that would fill the memory:

1. The pickle's bytes must match a grammar of the few opcodes that a list of lists of integers needs (no ``INST``,
   ``NEWOBJ``, ``EXT`` or persistent ids; memo indices, whose table the unpickler allocates at once, stay small).
2. The few names that numpy writes are replaced by inert stand-ins, every other name is refused. No callable of numpy
   or of any other module is reachable, so none can be abused with odd arguments.
3. What comes out must be lists of non-negative integers, no more of them than the file has bytes.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ig_worker.data.files import brief
from ig_worker.errors import DataError

# Keras' largest member has 14 MB. A hostile one of this size costs at most a few GB of memory while it is read.
MAX_MEMBER_BYTES = 64 * 2**20
_INT32_MAX = 2**31 - 1
_SPLITS = ("train", "test")
_REMEDY = "download imdb.npz again"


class Reviews(NamedTuple):
    """One split of the archive, in the archive's own order."""

    ranks: list[np.ndarray]  # int32 [words] each: the words' ranks, 1 is the most frequent word
    labels: np.ndarray  # int32 [reviews]


class _Inert:
    """A stand-in that a pickle can neither change nor call, unless a subclass says how."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a state is set on something that has none")


class _Array(_Inert):
    """Stands in for an instance of ``numpy.ndarray``; keeps the shape and the list of elements."""

    __slots__ = ("elements", "shape")

    def __setstate__(self, state: Any) -> None:
        _, self.shape, _, _, self.elements = state


class _Dtype(_Inert):
    """Stands in for an instance of ``numpy.dtype``; its state (byte order and the like) is of no interest."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        del state


class _DtypeType(_Inert):
    """Stands in for the type ``numpy.dtype``."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> _Dtype:
        return _Dtype()


class _Reconstruct(_Inert):
    """Stands in for the function that makes the empty array of which the state is then set."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> _Array:
        return _Array()


class _Encode(_Inert):
    """Stands in for the function that makes bytes: Python 3 spells them so in protocol 2, and old numpy wrote that."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> None:
        return None


_NAMES: dict[tuple[str, str], _Inert] = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),  # numpy 2
    ("numpy", "ndarray"): _Inert(),
    ("numpy", "dtype"): _DtypeType(),
    ("_codecs", "encode"): _Encode(),
}


def _grammar() -> re.Pattern[bytes]:
    """The pickles that are read: opcodes of protocols 2 to 5 with their arguments, as one pattern.

    Each alternative begins with another byte, so the possessive repetition is exact, and takes some 0.1 s for 14 MB.
    """

    def counted(code: bytes, after: bytes = b"") -> bytes:  # opcode, length below 64, that many bytes
        return b"|".join(code + re.escape(bytes([n])) + after + b".{%d}" % n for n in range(64))

    put = rb"(?:q.|r..[\x00-\x0f]\x00|\x94)"  # BINPUT, LONG_BINPUT, MEMOIZE
    opcodes = [
        rb"K.|M..|J....",  # integers of 1, 2 and 4 bytes
        rb"\]" + put,  # an empty list, memoised as picklers do
        put,
        rb"h.|j..[\x00-\x0f]\x00",  # BINGET, LONG_BINGET
        rb"[(aetNRb)\x85-\x89\x93]",  # MARK, APPEND(S), tuples, None, booleans, REDUCE, BUILD, STACK_GLOBAL
        rb"c[\w.]{1,64}\n[\w.]{1,64}\n",  # GLOBAL
        rb"\x95.{8}",  # FRAME
        counted(rb"\x8a"),  # LONG1
        counted(b"U"),  # SHORT_BINSTRING, Python 2
        counted(b"C"),  # SHORT_BINBYTES
        counted(rb"\x8c"),  # SHORT_BINUNICODE
        counted(b"X", after=rb"\x00\x00\x00"),  # BINUNICODE
    ]
    return re.compile(rb"\x80[\x02-\x05](?:" + b"|".join(opcodes) + rb")*+", re.DOTALL)


_PICKLE = _grammar()
_STOP = b"."


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(io.BytesIO(data))
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise DataError(
                f"{self._name} asks for {module}.{name}, which no data file needs",
                expected="an archive of numbers and lists of numbers",
                remedy=f"do not use this file: it may run code in other programs; {_REMEDY}",
            ) from None


def read_reviews(file: str | Path | BinaryIO, name: str = "") -> dict[str, Reviews]:
    """The splits ``train`` and ``test`` of an archive with ``x_train, y_train, x_test, y_test``, as Keras' imdb.npz.

    Args:
        file: a path, or a seekable binary file.
        name: what messages call the file; by default its path.

    Raises:
        DataError: not such an archive, damaged, too large, or with a pickle that asks for more than lists of integers.
    """
    name = name or str(file)
    arrays = read_object_arrays(file, [f"{axis}_{split}" for split in _SPLITS for axis in "xy"], name)
    return {split: _reviews(arrays[f"x_{split}"], arrays[f"y_{split}"], split, name) for split in _SPLITS}


def _reviews(
    ranks: list[np.ndarray] | np.ndarray, labels: list[np.ndarray] | np.ndarray, split: str, name: str
) -> Reviews:
    if isinstance(labels, list) or labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise _unusable(name, f"y_{split} is not a row of integers")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) <= _INT32_MAX:
        raise _unusable(name, f"y_{split} has labels below 0 or above {_INT32_MAX}")
    if not isinstance(ranks, list):  # reviews of one length make a plain matrix
        if ranks.ndim != 2 or ranks.dtype.kind not in "iu":
            raise _unusable(name, f"x_{split} is not made of lists of word ranks")
        ranks = [_checked_ranks(row.tolist(), f"x_{split}", name) for row in ranks]
    if len(ranks) != len(labels):
        raise _unusable(name, f"x_{split} has {len(ranks)} reviews and y_{split} {len(labels)} labels")
    return Reviews(ranks, labels.astype(np.int32))


def read_object_arrays(
    file: str | Path | BinaryIO, keys: list[str], name: str = ""
) -> dict[str, list[np.ndarray] | np.ndarray]:
    """The arrays called `keys` of an ``.npz`` archive; object arrays as lists of int32 arrays, one per element.

    Raises:
        DataError: as in `read_reviews`.
    """
    name = name or str(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = set(archive.namelist())
            missing = [key for key in keys if f"{key}.npy" not in members]
            if missing:
                raise _unusable(name, f"it has no array {', '.join(missing)}", f"the arrays {', '.join(keys)}")
            return {key: _read_member(archive, key, name) for key in keys}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise _unusable(name, f"it cannot be read as a zip archive ({brief(error)})") from error


def _read_member(archive: zipfile.ZipFile, key: str, name: str) -> list[np.ndarray] | np.ndarray:
    info = archive.getinfo(f"{key}.npy")
    if info.file_size > MAX_MEMBER_BYTES:
        raise _unusable(name, f"{key} has {info.file_size} bytes", f"at most {MAX_MEMBER_BYTES}")
    with archive.open(info) as member:
        data = member.read()  # zipfile stops at the declared size and checks the checksum
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, _, dtype = read_header(stream)
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        raise _unusable(name, f"{key} has no readable array header ({brief(error)})") from error
    body = data[stream.tell() :]
    if dtype.hasobject:
        return _read_lists(body, shape, f"{name}, {key},", key)
    return _read_numbers(body, shape, dtype, name, key)


def _read_numbers(body: bytes, shape: tuple[int, ...], dtype: np.dtype, name: str, key: str) -> np.ndarray:
    # Against the bytes that are there, before anything of the claimed shape is allocated.
    count = 1
    for extent in shape:
        count *= extent
    if dtype.kind not in "biuf" or count < 0 or count * dtype.itemsize != len(body):
        raise _unusable(name, f"{key} is said to be {dtype} {list(shape)} and has {len(body)} bytes")
    return np.frombuffer(body, dtype=dtype).reshape(shape)


def _read_lists(body: bytes, shape: tuple[int, ...], name: str, key: str) -> list[np.ndarray]:
    _check_grammar(body, name)
    try:
        array = _Unpickler(body, name).load()
        elements = array.elements if isinstance(array, _Array) else None
    except DataError:
        raise
    except Exception as error:
        raise _unusable(name, f"its pickle is malformed ({type(error).__name__}: {brief(error)})") from error
    if not isinstance(elements, list) or (len(elements),) != shape:
        raise _unusable(name, "it does not hold the one row of lists that its header announces")
    if sum(len(element) for element in elements if isinstance(element, list)) > len(body):
        raise _unusable(name, "it repeats one list many times over")
    return [_checked_ranks(element, key, name) for element in elements]


def _check_grammar(body: bytes, name: str) -> None:
    match = _PICKLE.match(body)
    end = match.end() if match else 0
    if body[end:] == _STOP:
        return
    if end >= len(body):
        raise _unusable(name, "its pickle is cut short")
    asked = re.match(rb"[ci]([^\n]{1,80})\n([^\n]{1,80})\n", body[end:])
    what = b".".join(asked.groups()).decode(errors="replace") if asked else f"opcode 0x{body[end]:02x} at byte {end}"
    raise DataError(
        f"{name} holds a pickle with {what}, which lists of numbers do not need",
        expected="an archive of numbers and lists of numbers",
        remedy=f"do not use this file: it may run code in other programs; {_REMEDY}",
    )


def _checked_ranks(element: object, key: str, name: str) -> np.ndarray:
    if not isinstance(element, list) or not set(map(type, element)) <= {int}:
        raise _unusable(name, f"an element of {key} is not a list of integers")
    if element and not 0 <= min(element) <= max(element) <= _INT32_MAX:
        raise _unusable(name, f"a word rank in {key} is below 0 or above {_INT32_MAX}")
    return np.array(element, dtype=np.int32)


def _unusable(
    name: str, what: str, expected: str = "x_train, y_train, x_test, y_test as in Keras' imdb.npz"
) -> DataError:
    return DataError(f"{name} cannot be used: {what}", expected=expected, remedy=_REMEDY)
