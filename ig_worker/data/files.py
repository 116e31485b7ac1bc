"""Where a data file is and how its bytes are read: local paths and whatever URIs ``pyarrow.fs`` understands."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from ig_worker.data.access import reason_of
from ig_worker.errors import DataError

_BLOCK = 1 << 20
_SHOWN = 160  # characters of somebody else's message that ours repeats: some quote a whole row


@dataclass(frozen=True)
class Rows:
    """The rows of one file or data set."""

    count: int
    batches: Callable[[], Iterator[pa.RecordBatch]]  # each call begins at the first row; batches of `faults.DOCUMENTS`


@dataclass(frozen=True)
class DataFile:
    """A file that was there when `find_file` looked."""

    place: str  # as the user wrote it
    path: str  # as `filesystem` knows it
    filesystem: pafs.FileSystem

    @property
    def name(self) -> str:
        """What messages call the file."""
        return without_secrets(self.place)

    @property
    def short_name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def open(self) -> pa.NativeFile:
        """For reading at any position; the caller closes it."""
        return self.filesystem.open_input_file(self.path)

    def open_stream(self) -> pa.NativeFile:
        """For reading from first to last."""
        return self.filesystem.open_input_stream(self.path, compression=None)

    def beside(self, name: str) -> str:
        """The path or URI of a file called `name` in the same folder."""
        path, mark, query = self.place.partition("?") if "://" in self.place else (self.place, "", "")
        head, slash, _ = path.rpartition("/")
        return head + slash + name + mark + query

    def digest(self) -> str:
        """SHA-256 of the file's bytes, hex."""
        total = hashlib.sha256()
        with file_faults(self.name), self.open() as stream:
            while block := stream.read(_BLOCK):
                total.update(block)
        return total.hexdigest()


def find_file(place: str) -> DataFile:
    """The file at a path or URI.

    Raises:
        DataError: there is none, or it is a folder.
    """
    try:
        if "://" in place:
            filesystem, path = pafs.FileSystem.from_uri(place)
        else:
            filesystem, path = pafs.LocalFileSystem(), str(Path(place).expanduser().absolute())
        kind = filesystem.get_file_info(path).type
    except (pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{without_secrets(place)} cannot be reached ({without_secrets(brief(error))})",
            expected="a path, or a URI such as s3://bucket/reviews.parquet",
            remedy="check the path given with --dataset or --word-index, and that this machine may read it",
        ) from error
    if kind != pafs.FileType.File:
        raise DataError(
            f"{without_secrets(place)} {'is a folder' if kind == pafs.FileType.Directory else 'does not exist'}",
            expected="a file",
            remedy="check the path given with --dataset or --word-index",
        )
    return DataFile(place, path, filesystem)


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
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            f"{name} cannot be read ({brief(error)})",
            expected="a whole file of the format that its name says",
            remedy="mend or export it again",
        ) from error


def without_secrets(place: str) -> str:
    """`place` without the key and secret that a URI can carry (``s3://KEY:SECRET@bucket``): messages end in logs."""
    # A secret that was not percent-encoded may hold a slash, an @ or a space; a port is no secret.
    return re.sub(r"://(?:[^/@:\s]*:(?!\d+/)[^?\n]*@|[^/@\s]*@)", "://...@", place)


def brief(error: Exception) -> str:
    """An exception's message on one line of bearable length."""
    text = " ".join(str(error).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
