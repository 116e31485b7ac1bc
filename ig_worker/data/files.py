"""Where a data file is and how its bytes are read: local paths and whatever URIs ``pyarrow.fs`` understands."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from ig_worker.data.access import reason_of
from ig_worker.errors import DataError

_BLOCK = 1 << 20
_SHOWN = 160  # characters of somebody else's message that ours repeats: some quote a whole row
# Packings of text files, by the end of a name, and how what they packed begins.
_PACKED_SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2"}
PACKINGS = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd", "bz2": b"BZh"}


@dataclass(frozen=True)
class DataFile:
    """A file that was there when `find_file` looked."""

    place: str  # as the user wrote it
    path: str  # as `filesystem` knows it
    filesystem: pafs.FileSystem
    size: int = 0  # bytes

    @property
    def name(self) -> str:
        """What messages call the file."""
        return printable(self.place)

    @property
    def suffixes(self) -> tuple[str, str]:
        """(what the name says of its format, of its packing), such as ``(".csv", ".gz")``; empty where nothing."""
        return suffixes_of(self.path)

    @property
    def packing(self) -> str | None:
        """One of `PACKINGS`, or None."""
        return _PACKED_SUFFIXES.get(self.suffixes[1])

    @property
    def short_name(self) -> str:
        """The last part of the path, as messages show it."""
        return printable(self.path.rpartition("/")[2])

    def open(self) -> pa.NativeFile:
        """For reading at any position; the caller closes it."""
        return self.filesystem.open_input_file(self.path)

    def open_stream(self) -> pa.NativeFile:
        """For reading from first to last."""
        return self.filesystem.open_input_stream(self.path, compression=None)

    def beside(self, name: str) -> str:
        """The path or URI of a file called `name` in the same folder."""
        head, slash, _ = without_query(self.place).rpartition("/")
        return head + slash + name + self.place[len(without_query(self.place)) :]

    def digest(self) -> str:
        """SHA-256 of the file's bytes, hex; of what was packed, where it is packed."""
        total = hashlib.sha256()
        with file_faults(self.name), self.open_stream() as packed:
            stream = pa.CompressedInputStream(packed, self.packing) if self.packing else packed
            while block := stream.read(_BLOCK):
                total.update(block)
        return total.hexdigest()


def suffixes_of(path: str) -> tuple[str, str]:
    """(end of a name that says its format, that says its packing), in small letters; empty where there is none."""
    name = path.rpartition("/")[2].lower()
    stem, dot, last = name.rpartition(".")
    packing = dot + last if dot + last in _PACKED_SUFFIXES else ""
    _, dot, last = (stem if packing else name).rpartition(".")
    return dot + last if dot else "", packing


def find_place(place: str, flag: str = "--dataset") -> tuple[pafs.FileSystem, str, pafs.FileInfo]:
    """(file system, path there, what is there) of a path or URI.

    Raises:
        DataError: the place cannot be reached.
    """
    try:
        place.encode()  # a name that is not UTF-8, which pyarrow cannot open
        if "://" in place:
            filesystem, path = pafs.FileSystem.from_uri(place)
        else:
            filesystem, path = pafs.LocalFileSystem(), str(Path(place).expanduser().absolute())
        return filesystem, path, filesystem.get_file_info(path)
    except (pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{printable(place)} cannot be reached ({printable(brief(error))})",
            expected="a path, or a URI such as s3://bucket/reviews.parquet",
            remedy=f"check the path given with {flag}, and that this machine may read it",
        ) from error


def find_file(place: str, flag: str = "--dataset") -> DataFile:
    """The file at a path or URI that a flag gives.

    Raises:
        DataError: there is none, or it is a folder.
    """
    filesystem, path, info = find_place(place, flag)
    if info.type != pafs.FileType.File:
        raise DataError(
            f"{printable(place)} {'is a folder' if info.type == pafs.FileType.Directory else 'does not exist'}",
            expected="a file",
            remedy=f"check the path given with {flag}",
        )
    return DataFile(place, path, filesystem, info.size)


@contextmanager
def file_faults(name: str) -> Iterator[None]:
    """Turns what Arrow and the operating system raise about a broken file into a DataError about `name`."""
    try:
        yield
    except PermissionError as error:
        raise DataError(
            f"{name} cannot be read ({reason_of(error, None if '://' in name else name)})",
            expected="a file that this user may read",
        ) from error
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise DataError(
            f"{name} cannot be read ({brief(error)})",
            expected="a whole file of the format that its name says",
            remedy="mend or export it again",
        ) from error


def printable(place: str) -> str:
    """A path or URI as messages show it: without secrets, and without characters that could move a cursor."""
    text = without_secrets(place)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def without_query(place: str) -> str:
    """`place` without the options that a URI may end with; in a path ``?`` is a character like any other."""
    return place.partition("?")[0] if "://" in place else place


def without_secrets(place: str) -> str:
    """`place` without the key and secret that a URI can carry (``s3://KEY:SECRET@bucket``): messages end in logs."""
    # A secret that was not percent-encoded may hold a slash, an @ or a space; a port is no secret.
    return re.sub(r"://(?:[^/@:\s]*:(?!\d+/)[^?\n]*@|[^/@\s]*@)", "://...@", place)


def brief(error: Exception) -> str:
    """An exception's message on one line of bearable length."""
    text = " ".join(str(error).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
